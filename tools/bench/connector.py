"""The connector as Airbyte runs it: its console command, fed with a file of Airbyte lines."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration_tests.messages import catalog, stream
from integration_tests.platform_double import CONNECTOR
from tools.bench.work import CHANNEL, KEY, STREAM, write_airbyte_lines


@dataclass(frozen=True)
class Run:
    """What a run left behind: states that came out, peak resident memory in bytes, and CPU seconds."""

    states: int
    peak_memory: int
    cpu_seconds: float


def write_files(directory: Path, url: str, **advanced: Any) -> tuple[Path, Path]:
    """A configuration and a configured catalog, as files."""
    config = directory / "config.json"
    catalog_path = directory / "catalog.json"
    config.write_text(
        json.dumps(
            {
                "channel_id": CHANNEL,
                "api_key": KEY,
                "object_type": "subscriptions",
                "advanced": {"base_url": url, "progress_interval_seconds": 0, **advanced},
            }
        )
    )
    catalog_path.write_text(json.dumps(catalog(stream(STREAM, mode="append_dedup"))))
    return config, catalog_path


def write_rows(path: Path, rows: int, *, rows_per_state: int) -> Path:
    """Records of some 270 bytes, each of another subscription, with a state after every so many and at the end."""
    return write_airbyte_lines(path, "subscriptions", rows, rows_per_state)


def run_connector(directory: Path, rows: Path, url: str, **advanced: Any) -> Run:
    """Run `destination-cleverpush write` to its end.

    Raises:
        RuntimeError: it failed.
    """
    config, catalog_path = write_files(directory, url, **advanced)
    output, usage = run_command(rows, config, catalog_path, directory / "output")
    return Run(output.count(b'"type": "STATE"'), peak_memory(usage), usage.ru_utime + usage.ru_stime)


def peak_memory(usage: resource.struct_rusage) -> int:
    """Peak resident memory in bytes."""
    # Linux counts in KiB, and from before exec: the caller must be smaller than the connector, which it is.
    return usage.ru_maxrss * 1024


def run_command(rows: Path, config: Path, catalog_path: Path, sink: Path) -> tuple[bytes, resource.struct_rusage]:
    """Run `destination-cleverpush write` to its end; what it printed, and what it used.

    Raises:
        RuntimeError: it failed.
    """
    with rows.open("rb") as lines, sink.open("wb") as output:
        process = subprocess.Popen(
            [*CONNECTOR, "write", "--config", config, "--catalog", catalog_path], stdin=lines, stdout=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    printed = sink.read_bytes()
    sink.unlink()
    if process.returncode != 0:
        raise RuntimeError(f"The connector ended with {process.returncode}: {printed[-2000:].decode()}")
    return printed, usage
