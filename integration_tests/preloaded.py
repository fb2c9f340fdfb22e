"""The console command without the seconds that its imports take, for tests that run it often.

A process that is kept has imported it, and forks for each command. So a command still is a process of its own, with
its own arguments, environment, standard streams, signals and exit code. Needs Linux' pidfd; elsewhere it is the
console command itself.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

_COMMAND = Path(__file__).with_name("preloaded_command.py")
_LONGEST_REQUEST = 1 << 20


@contextmanager
def preloaded(command: Sequence[str]) -> Iterator[Sequence[str]]:
    """What to start within the block in place of `command`, a console command without arguments."""
    if not hasattr(os, "pidfd_open"):
        yield command
        return
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "socket")
        kept = [sys.executable, "-m", "integration_tests.preloaded", Path(command[0]).name, address]
        root = Path(__file__).parents[1]
        with subprocess.Popen(kept, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                if not process.stdout.readline():
                    raise RuntimeError(f"{command[0]} could not be imported")
                yield (sys.executable, "-I", "-S", str(_COMMAND), address)
            finally:
                process.kill()


def keep(name: str, address: str) -> int:
    """Import the console command and fork for each request; returns, in the fork, the command's exit code."""
    (script,) = entry_points(group="console_scripts", name=name)
    main = script.load()
    import_module("destination_cleverpush.airbyte.destination")  # the command itself does so once it can be ended
    gc.freeze()  # else each fork copies and collects all that was imported when it ends
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, streams, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 3)
    child = os.fork()
    if child:
        _watch(child, connection, streams)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    asked = json.loads(request)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv[:] = [name, *asked["arguments"]]
    code: int | None = main()
    return code or 0


def _watch(child: int, connection: socket.socket, streams: Sequence[int]) -> None:
    """Tell the command's process id and how it ends; kill it when the one who asked is killed."""
    for stream in streams:
        os.close(stream)
    connection.send(str(child).encode())
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, connection.fileno()], [], [])[0]:
        os.kill(child, signal.SIGKILL)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


if __name__ == "__main__":
    sys.exit(keep(*sys.argv[1:]))
