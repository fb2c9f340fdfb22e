"""Who takes part, and how each of them is run: a command with its files, in an environment of its own."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration_tests.platform_double import CONNECTOR
from tools.bench import work
from tools.environments import ROOT, environment
from tools.peers import meter
from tools.pyairbyte import ENVIRONMENTS

IN_FLIGHT = 64
REQUIREMENTS = {
    "dlt": ("dlt==1.31.0", "requests==2.34.2", "urllib3==2.8.0"),
    "drt": ("drt-core==1.2.1", "httpx==0.28.1"),
    "plain": ("requests==2.34.2", "urllib3==2.8.0"),
    "pyairbyte": (ENVIRONMENTS["pyairbyte"],),
}
DLT_WORKERS = 20  # this and the next are dlt's own defaults
DLT_BATCH = 10


@dataclass(frozen=True)
class Job:
    """One run's work.

    Attributes:
        directory: for files, empty at first.
        url: of the server.
        rows: how many.
        rows_per_state: in Airbyte's lines.
        seconds: that wrk runs, which has no rows.
    """

    directory: Path
    url: str
    kind: work.Kind
    rows: int
    rows_per_state: int = 100
    seconds: int = 5


@dataclass(frozen=True)
class Call:
    """A command, the file on its standard input, and what is added to its environment variables."""

    command: list[str]
    stdin: Path | None = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """Somebody who sends rows.

    Attributes:
        label: for tables and pictures.
        in_flight, ceiling, start_seconds: roughly its requests at a time, its rows per second without latency and how
            long it takes to start; by these it is chosen how many rows it gets, and nothing else.
        has_rows: False for wrk alone, which sends one and the same.
    """

    label: str
    prepare: Callable[[Job], Call]
    in_flight: int
    ceiling: float
    start_seconds: float = 4.0
    has_rows: bool = True

    def guess(self, latency: float) -> float:
        """Rows per second, roughly, where the server takes so many seconds."""
        return min(self.ceiling, self.in_flight / (latency + 0.002))


@dataclass(frozen=True)
class Ran:
    """What the meter saw of a run, and how many states came out. `exit_code` is None where it was killed."""

    exit_code: int | None
    seconds: float
    cpu_seconds: float
    peak_memory: int
    states: int


def run(contender: Contender, job: Job, *, at_most: float) -> Ran:
    """Run a contender to its end, or until it has taken `at_most` seconds."""
    call = contender.prepare(job)
    output, found = job.directory / "output", job.directory / "metered"
    # Nobody gets this process's PYTHONPATH but the connector, which may be run from a checkout by it.
    variables = {"HOME": str(job.directory), "DO_NOT_TRACK": "1", **call.variables}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-I", "-S", str(Path(meter.__file__)), str(found), str(at_most), *call.command]
    with (call.stdin or Path(os.devnull)).open("rb") as lines, output.open("wb") as sink:
        subprocess.run(
            command,
            stdin=lines,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=job.directory,
            env=kept | variables,
            check=True,
        )
    states = sum(1 for line in output.open("rb") if b'"type": "STATE"' in line)
    return Ran(states=states, **json.loads(found.read_text()))


def connector_config(job: Job, **advanced: Any) -> Path:
    """The connector's configuration, as a file."""
    path = job.directory / "config.json"
    form: dict[str, Any] = {"channel_id": work.CHANNEL, "api_key": work.KEY, "object_type": job.kind}
    form["advanced"] = {"base_url": job.url, "progress_interval_seconds": 0, **advanced}
    path.write_text(json.dumps(form))
    return path


def _connector(**advanced: Any) -> Callable[[Job], Call]:
    def prepare(job: Job) -> Call:
        catalog = job.directory / "catalog.json"
        stream = {"name": work.STREAM, "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
        modes = {"sync_mode": "full_refresh", "destination_sync_mode": "append"}
        generation = {"generation_id": 0, "minimum_generation_id": 0, "sync_id": 1}
        catalog.write_text(json.dumps({"streams": [{"stream": stream, **modes, **generation}]}))
        options = ["--config", str(connector_config(job, **advanced)), "--catalog", str(catalog)]
        return Call([*CONNECTOR, "write", *options], _lines(job), _own_path())

    return prepare


def _plain(job: Job) -> Call:
    return Call([*_module("plain", "plain_destination"), job.url], _lines(job), _root_path())


def _dlt(workers: int, batch: int) -> Callable[[Job], Call]:
    # With one file, as dlt writes it where nobody says otherwise, one worker does all the work. More files than workers
    # are slower: it looks only now and then whether there are more to load.
    def prepare(job: Job) -> Call:
        rows = work.write_json_lines(job.directory / "rows.jsonl", job.kind, job.rows)
        per_file = str(max(1, math.ceil(job.rows / workers)))
        variables = {
            "LOAD__WORKERS": str(workers),
            "DATA_WRITER__FILE_MAX_ITEMS": per_file,
            "DATA_WRITER__BUFFER_MAX_ITEMS": per_file,
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        command = [*_module("dlt", "dlt_destination"), job.url, str(rows), str(batch)]
        return Call(command, variables=_root_path() | variables)

    return prepare


def _drt(job: Job) -> Call:
    database = work.write_sqlite(job.directory / "rows.sqlite", job.kind, job.rows)
    path, body = work.call(next(work.rows(job.kind, 1)))
    row = next(work.rows(job.kind, 1))
    sync = {
        "name": "users",
        "model": "SELECT * FROM users",
        "destination": {
            "type": "rest_api",
            "url": job.url + path,
            "method": "POST",
            "headers": {"Content-Type": "application/json", "Authorization": work.KEY},
            "body_template": drt_template(body, row),
        },
        # Its default is 10 requests per second; here it is to go as fast as it can.
        "sync": {"mode": "full", "rate_limit": {"requests_per_second": 1_000_000}},
    }
    profile = {"default": {"type": "sqlite", "database": str(database)}}
    files: dict[str, Any] = {
        "drt_project.yml": {"name": "peers", "profile": "default"},
        "syncs/users.yml": sync,
        ".drt/profiles.yml": profile,
    }
    for name, content in files.items():
        file = job.directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content))  # JSON is YAML
    return Call([str(_bin("drt") / "drt"), "run", "--quiet"])


def drt_template(body: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The template of a body, for drt: what stands in a column of the row comes from there."""
    columns = {value: column for column, value in row.items()}

    def part(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{json.dumps(name)}: {part(inner)}" for name, inner in value.items()) + "}"
        if value in columns:
            return f"{{{{ row.{columns[value]} | tojson_safe }}}}"
        return json.dumps(value)

    return part(body)


def _pyairbyte(job: Job) -> Call:
    source = job.directory / "source-of-lines"
    source.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tools.peers.source_of_lines "$@"\n')
    source.chmod(0o755)
    properties: dict[str, Any] = {column: {} for column in next(work.rows(job.kind, 1))}
    variables = {"LINES": str(_lines(job)), "PROPERTIES": json.dumps(properties), "AIRBYTE_OFFLINE_MODE": "1"}
    options = [str(source), *CONNECTOR, str(connector_config(job))]
    return Call([*_module("pyairbyte", "pyairbyte_sync"), *options], variables=_root_path() | variables)


def _wrk(job: Job) -> Call:
    path, body = work.call(next(work.rows(job.kind, 1)))
    script = job.directory / "post.lua"
    # For these texts, JSON's quoting is Lua's.
    headers = {"Content-Type": "application/json", "Authorization": work.KEY}
    lines = [f'wrk.method = "POST"\nwrk.path = "{path}"\nwrk.body = {json.dumps(json.dumps(body))}']
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    script.write_text("\n".join(lines) + "\n")
    return Call(
        [shutil.which("wrk") or "wrk", "-t1", f"-c{IN_FLIGHT}", f"-d{job.seconds}s", "-s", str(script), job.url]
    )


ALL: Mapping[str, Contender] = {
    "ours": Contender("this connector", _connector(), 32, 2_500),
    "ours-64": Contender("this connector, 64 in flight", _connector(max_concurrency=IN_FLIGHT), IN_FLIGHT, 2_500),
    "dlt": Contender("dlt, 20 workers", _dlt(DLT_WORKERS, DLT_BATCH), DLT_WORKERS, 350),
    "dlt-64": Contender("dlt, 64 workers", _dlt(IN_FLIGHT, DLT_BATCH), IN_FLIGHT, 350),
    "dlt-row": Contender("dlt, 20 workers, batches of one", _dlt(DLT_WORKERS, 1), DLT_WORKERS, 200),
    "drt": Contender("drt", _drt, 1, 450),
    "plain": Contender("plain Python destination", _plain, 1, 400, 1.0),
    "pyairbyte": Contender("PyAirbyte with this connector", _pyairbyte, 32, 2_000, 20.0),
    "wrk": Contender("wrk, 64 connections", _wrk, IN_FLIGHT, 50_000, 0.0, has_rows=False),
}


def versions() -> dict[str, str]:
    """The versions of what takes part, by name."""
    found = dict(pin.split("==") for pins in REQUIREMENTS.values() for pin in pins)
    for name, argument in (("nginx", "-v"), ("wrk", "-v")):
        command = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin") or name
        told = subprocess.run([command, argument], capture_output=True, text=True, check=False)
        found[name] = (told.stdout + told.stderr).split("\n", 1)[0].replace("nginx version: nginx/", "")
        found[name] = found[name].removeprefix("wrk ").split(" ", 1)[0]
    return found


def make_environments() -> None:
    """Make the environments that are missing, so that no run waits for them."""
    for name in REQUIREMENTS:
        _bin(name)


def _bin(name: str) -> Path:
    folder = name if name == "pyairbyte" else f"peer-{name}"  # that one is there for other tools, too
    return environment(folder, *REQUIREMENTS[name])


def _module(name: str, module: str) -> list[str]:
    return [str(_bin(name) / "python"), "-m", f"tools.peers.{module}"]


def _lines(job: Job) -> Path:
    return work.write_airbyte_lines(job.directory / "lines.jsonl", job.kind, job.rows, job.rows_per_state)


def _root_path() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT)}


def _own_path() -> dict[str, str]:
    own = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": own} if own else {}
