"""Run a command and write down what it took; a small process of its own, so that its own memory is not what is seen.

usage: python -I -S meter.py FILE SECONDS COMMAND...

FILE becomes JSON: `exit_code` (null: killed after SECONDS), `seconds`, `cpu_seconds` (user and system, with all
processes that the command started and waited for), `peak_memory` in bytes: the most that all processes of its session
held together at a moment, looked at twice a second, and at least the peak of the largest one. Shared pages count for
each process. Only the standard library is used here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_LOOK_SECONDS = 0.5
_SESSION = 3  # the field of /proc/<id>/stat, counted after the name in brackets
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(session: int) -> int:
    """Bytes that the processes of a session hold."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if int((process / "stat").read_text().rpartition(")")[2].split()[_SESSION]) == session:
                total += int((process / "statm").read_text().split()[1]) * _PAGE
    return total


def main(file: str, seconds: str, *command: str) -> None:
    """Run the command with this process's standard input and output."""
    began, peak = time.monotonic(), 0
    deadline = began + float(seconds)
    process = subprocess.Popen(command, start_new_session=True)
    ended = threading.Event()
    killed = False

    def look() -> None:
        nonlocal peak, killed
        while not ended.wait(_LOOK_SECONDS):
            peak = max(peak, resident(process.pid))
            if time.monotonic() > deadline and not killed:
                killed = True
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:  # interrupted, too, nothing of the session stays behind
        ended.set()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    took = time.monotonic() - began
    looker.join()
    found = {
        "exit_code": None if killed else os.waitstatus_to_exitcode(status),
        "seconds": round(took, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_memory": max(peak, usage.ru_maxrss * 1024),  # Linux counts in KiB
    }
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
