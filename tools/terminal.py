"""The console command at a terminal of a certain width, and what stands on it in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+|\x1b")


def at_terminal(command: Sequence[str], width: int, folder: Path | None = None) -> tuple[int, list[str]]:
    """The exit code of a command, and its lines, with their colours as ANSI codes."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, cwd=folder, env=environment)
    os.close(its)
    written = b""
    with suppress(OSError):  # how Linux says that nobody writes any more
        while part := os.read(ours, 1 << 16):
            written += part
    os.close(ours)
    return process.wait(60), _lines(written.decode())


def _lines(written: str) -> list[str]:
    """What stands on the terminal, of text whose lines are erased whole before they are written again."""
    lines, row = [""], 0
    for token in _TOKEN.finditer(written):
        if token[0] == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif token[2] == "A":
            row = max(0, row - int(token[1] or 1))
        elif token[2] == "K":
            lines[row] = ""
        elif token[0] != "\r" and token[2] in (None, "m"):
            lines[row] += token[0]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines
