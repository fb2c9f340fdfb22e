"""A command that :mod:`integration_tests.preloaded` carries out. Starts in no time, since it imports next to nothing.

usage: python -I -S preloaded_command.py SOCKET ARGUMENT ...
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress


def main(address: str, *arguments: str) -> int:
    """Hand over the streams, pass SIGTERM on, and return the exit code, or end by the signal that ended the command."""
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        child = int(connection.recv(64))
        signal.signal(signal.SIGTERM, lambda number, _: _pass_on(child, number))
        code = int(connection.recv(64) or 70)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _pass_on(child: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, number)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
