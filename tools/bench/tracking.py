"""Refreshes with change tracking: a memory that is filled without calls, and the connector that reads a model again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from destination_cleverpush.config import parse_config
from destination_cleverpush.objects.plan import plan_streams
from destination_cleverpush.tracked import fingerprint
from destination_cleverpush.tracking.care import open_place
from destination_cleverpush.tracking.local import LocalPlace
from destination_cleverpush.tracking.memory import Memory
from destination_cleverpush.words import Row, Stream, StreamId
from integration_tests.messages import catalog, record, stream
from tools.bench.connector import peak_memory, run_command
from tools.bench.work import CHANNEL, KEY, STREAM

_BATCH = 5_000
_BATCHES_IN_A_COMMIT = 40


class Refresh(NamedTuple):
    """What a refresh took: seconds from the first row to the last settled one, calls, and peak memory in bytes."""

    seconds: float
    calls: int
    peak_memory: int


class Model:
    """A model of so many rows, and a memory that knows them all.

    Args:
        tracks: there is a memory.
        storage: of the memory, as the form has it; None: a directory of its own.

    Attributes:
        fill_seconds: that it took to fill the memory.
        megabytes: that are stored of it.
    """

    def __init__(
        self, directory: Path, people: int, url: str, *, tracks: bool = True, storage: Mapping[str, Any] | None = None
    ) -> None:
        self._directory = directory
        self._people = people
        self._form: dict[str, Any] = {
            "channel_id": CHANNEL,
            "api_key": KEY,
            "object_type": "subscriptions",
            "audience_mode": "mirror",
            "unmapped_fields": "send",
            "advanced": {"base_url": url, "progress_interval_seconds": 0},
        }
        self._generation, self._news, self._every = 1, 0, 1
        self.fill_seconds = self.megabytes = 0.0
        if tracks:
            memory = directory / "memory"
            memory.mkdir()
            local = {"storage_type": "local", "destination_path": str(memory)}
            self._form["change_tracking"] = storage or local
            began = time.monotonic()
            # In a process of its own, for the memory that it takes would count as the connector's.
            with ProcessPoolExecutor(1, get_context("spawn")) as other:
                size = other.submit(_fill, self._form, people).result()
            self.fill_seconds = time.monotonic() - began
            self.megabytes = (size if storage else sum(each.stat().st_size for each in memory.iterdir())) / 1e6

    def refresh(self, changed: float = 0.0) -> Refresh:
        """Read the model whole once more; so large a share of the rows, each time the same ones, has changed."""
        self._generation += 1
        if changed:
            self._news, self._every = self._generation, round(1 / changed)
        rows, config, configured = (self._directory / name for name in ("rows", "config.json", "catalog.json"))
        with rows.open("w") as lines:
            for person in range(self._people):
                news = self._news if person % self._every == 0 else 0
                lines.write(json.dumps(record(_row(person, news), STREAM)) + "\n")
            lines.write(json.dumps({"type": "TRACE", "trace": _COMPLETE}) + "\n")
        config.write_text(json.dumps(self._form))
        ids: dict[str, Any] = {"generation_id": self._generation, "sync_id": 10 + self._generation}
        configured.write_text(json.dumps(catalog(stream(STREAM, **ids))))
        output, usage = run_command(rows, config, configured, self._directory / "output")
        (found,) = re.findall(rb"\d+ calls in ([\d.]+) s", output)
        (calls,) = re.findall(rb"(\d+) calls in", output)
        return Refresh(float(found), int(calls), peak_memory(usage))

    def restore(self) -> float:
        """Seconds that it takes to make a memory that lies in a cloud store ready for use."""
        config = parse_config(self._form)
        assert config.change_tracking is not None
        began = time.monotonic()
        place = open_place(config.change_tracking, CHANNEL)
        seconds = time.monotonic() - began
        place.close()
        return seconds


def _fill(form: dict[str, Any], people: int) -> int:
    """Have a memory know so many people; returns how many bytes a cloud store holds of it."""
    config = parse_config(form)
    assert config.change_tracking is not None
    described = Stream(StreamId(STREAM), {}, "full_refresh", "append", 1, 1, 11)
    plan = plan_streams(config.objects, [described])[described.id]
    today = int(datetime.now(timezone.utc).timestamp() // 86_400)
    place = open_place(config.change_tracking, CHANNEL)
    memory = Memory(place, today, 11)
    memory.open_stream(described, plan.object.name, *plan.population)
    for number, rows in enumerate(_batches(described.id, people), 1):
        members = memory.meet(described.id, [(str(row.data["subscription_id"]), ("",)) for row in rows])
        for row, member in zip(rows, members, strict=True):
            native = (f"{row.position:024x}",)
            member.took(fingerprint(plan.draft(row).operations), today, 11, native=native)
        memory.settle((member, False) for member in members)
        if number % _BATCHES_IN_A_COMMIT == 0:
            memory.commit()
    memory.end_pass(described.id)
    memory.close()
    return 0 if isinstance(place, LocalPlace) else place.size


def _batches(name: StreamId, people: int) -> Iterator[list[Row]]:
    for first in range(0, people, _BATCH):
        yield [Row(name, _row(n, 0), None, 100, n) for n in range(first, min(people, first + _BATCH))]


_COMPLETE = {
    "type": "STREAM_STATUS",
    "emitted_at": 0,
    "stream_status": {"stream_descriptor": {"name": STREAM}, "status": "COMPLETE"},
}


def _row(person: int, news: int) -> dict[str, Any]:
    return {"subscription_id": f"{person:024}", "email": f"{person}@example.com", "country": "DE", "news": news}
