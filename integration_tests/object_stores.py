"""Object stores on this machine's loopback for tests: moto's server, Azurite, and one that answers as it is told."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from destination_cleverpush.dead_letter.rows import is_part, order
from destination_cleverpush.dead_letter.store import NAME, DeadLetterStore
from destination_cleverpush.errors import Failure
from destination_cleverpush.storage.objects import SYNC_PATIENCE, Objects, open_objects
from destination_cleverpush.storage.settings import Settings
from destination_cleverpush.words import Job, RejectedRow, StreamId

REPOSITORY = Path(__file__).parents[1]


def a_row(position: int, stream: str = "users") -> RejectedRow:
    """A rejected row of some 500 bytes."""
    return RejectedRow(
        stream=StreamId(stream, "crm"),
        position=position,
        subscription_id=f"sub-{position}",
        code="unknown_tag",
        reason="CleverPush does not know the tag.",
        status=404,
        answer="Tag not found: vip",
        data={"subscription_id": f"sub-{position}", "tags": "vip", "id": 2**60 + position, "text": "x" * 200},
        emitted_at=1_700_000_000_000,
        rejected_at=datetime.now(timezone.utc),
        attempts=1,
    )


def waiting(row: RejectedRow) -> tuple[Job, RejectedRow]:
    """A rejected row and its job, as the settlement hands them over; the job's origin is the row's position."""
    return Job(row.stream, "", None, origin=row.position), row


@dataclass
class Notes:
    """What a dead letter store tells: positions of rows that are kept, and failures."""

    kept: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def keep(self, jobs: list[Job]) -> None:
        with self.changed:
            self.kept += [job.origin for job in jobs]
            self.changed.notify_all()

    def wait_for(self, rows: int) -> None:
        """Wait until so many rows are kept."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.kept) >= rows, 60)


def a_store(settings: Settings, notes: Notes, label: str = "sync-1", **options: Any) -> DeadLetterStore:
    """A dead letter store that tells the notes."""
    return DeadLetterStore(settings, label, notes.keep, notes.failures.append, **options)


def opened(settings: Settings) -> Objects:
    """What a dead letter store writes to."""
    return open_objects(settings, NAME, SYNC_PATIENCE)


def stored_rows(settings: Settings) -> list[dict[str, Any]]:
    """All rows in a store, object by object in the order of their names."""
    objects = opened(settings)
    rows: list[dict[str, Any]] = []
    for name in sorted(filter(is_part, objects.names()), key=order):
        with objects.read(name) as file, gzip.GzipFile(fileobj=file) as lines:
            rows += map(json.loads, lines)
    return rows


@dataclass
class Server:
    """A store in a process of its own."""

    endpoint: str
    log: Path

    def requests(self, words: str) -> int:
        """How many lines of the store's log hold the words."""
        return sum(words in line for line in self.log.read_text().splitlines())


@contextmanager
def start_moto(folder: Path) -> Iterator[Server]:
    """Run moto's server: S3, IAM and STS over HTTP."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _process(command, port, folder / "moto.log"):
        yield Server(f"http://127.0.0.1:{port}", folder / "moto.log")


def azurite() -> str | None:
    """The emulator of Azure's blob storage (npm package azurite), where it is installed."""
    local = REPOSITORY / "node_modules" / ".bin"
    return (
        shutil.which("azurite-blob") or shutil.which("azurite-blob", path=str(local)) or os.environ.get("AZURITE_BLOB")
    )


@contextmanager
def start_azurite(command: str, folder: Path) -> Iterator[Server]:
    """Azurite, with its well-known account."""
    port = _free_port()
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder / "blobs")]
    options += ["--skipApiVersionCheck", "--disableTelemetry"]
    with _process([command, *options], port, folder / "azurite.log"):
        yield Server(f"http://127.0.0.1:{port}/devstoreaccount1", folder / "azurite.log")


@dataclass
class Answers:
    """A store that answers as it is told: `status` and `body`, or the next of `queue`, once `gate` is open."""

    endpoint: str = ""
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    queue: list[tuple[int, str]] = field(default_factory=list)
    seen: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)


@contextmanager
def start_answers() -> Iterator[Answers]:
    """A store, in a thread, whose answers the test chooses. Its gate is open at first."""
    answers = Answers()
    answers.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answers.bodies.append(body.decode("latin-1"))
            answers.seen.append((self.command, self.path, dict(self.headers)))
            answers.gate.wait(60)
            status, text = answers.queue.pop(0) if answers.queue else (answers.status, answers.body)
            self.send_response(status)
            for name, value in {**answers.headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_PUT = do_POST = do_GET = do_DELETE = _answer  # noqa: N815 (the standard library's names)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    answers.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield answers
    finally:
        answers.gate.set()
        server.shutdown()
        server.server_close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _process(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start: {log.read_text()}") from None
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)
