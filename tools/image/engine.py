"""A Docker engine to build and run with: the one that is there, else a private one for as long as it is needed."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 30


class EngineError(Exception):
    """No Docker engine can be used; the message says what to do about it."""


@contextlib.contextmanager
def docker_engine() -> Iterator[dict[str, str]]:
    """Yield environment variables under which the `docker` command reaches a running engine.

    An engine that runs already is used as it is. Otherwise one is started with its data, sockets and process ids
    in a directory of its own, without touching the machine's firewall or bridges (so containers need
    ``--network host``), and stopped at the end. Its images are kept for the next time.

    Raises:
        EngineError: there is no engine, and none can be started here.
    """
    if not shutil.which("docker"):
        raise EngineError("There is no `docker` command. Install Docker (on Debian: apt-get install docker.io).")
    if _answers({}):
        yield {}
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        raise EngineError(
            "No Docker engine answers. Start one or point DOCKER_HOST to one. "
            "As root with `dockerd` installed (on Debian: apt-get install docker.io), one is started for you."
        )
    home = private_directory()
    with _locked(home / "lock"), _started(home) as environment:
        yield environment


def private_directory() -> Path:
    """Return a directory that only this user can enter, made under the system's temporary directory.

    Raises:
        EngineError: somebody else made it.
    """
    home = Path(tempfile.gettempdir()) / f"destination-cleverpush-docker-{os.geteuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077 or home.is_symlink():
        raise EngineError(f"{home} is not private to this user. Remove it and try again.")
    return home


def _answers(environment: dict[str, str]) -> bool:
    answer = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )
    return answer.returncode == 0


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another run that has the private Docker engine ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _started(home: Path) -> Iterator[dict[str, str]]:
    socket = home / "docker.sock"
    environment = {"DOCKER_HOST": f"unix://{socket}"}
    log = home / "dockerd.log"
    (home / "daemon.json").write_text("{}")
    (home / "docker.pid").unlink(missing_ok=True)
    command = [
        "dockerd",
        f"--config-file={home / 'daemon.json'}",
        f"--data-root={home / 'data'}",
        f"--exec-root={home / 'exec'}",
        f"--pidfile={home / 'docker.pid'}",
        f"--host=unix://{socket}",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--default-ulimit=nofile=20000:20000",
    ]
    print(f"Starting a private Docker engine in {home}", flush=True)
    with log.open("w") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not _answers(environment):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise EngineError(f"The private Docker engine did not start; {log} ends with:\n{_tail(log)}")
            time.sleep(0.2)
        yield environment
    finally:
        daemon.terminate()
        try:
            daemon.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
