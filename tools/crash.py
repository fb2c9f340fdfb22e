"""`python -m tools.crash`: the connector is killed over and over, and nothing is lost.

Rows go through the console command to the simulator, which is slow and faulty, with a state after each record. The
process is killed (SIGKILL) at random moments and started again right after the record of the last state that came
out, as the platform does, until the input is through. At each kill, everything that a state has confirmed must be in
CleverPush at that moment; at the end, CleverPush must hold what the input says: the last row of each subscription, and
exactly the right tags. Moments, rows and faults come from the seed; the machine's own timing does not.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from integration_tests.messages import catalog, stream
from integration_tests.platform_double import CONNECTOR
from integration_tests.simulator.process import Simulator, start_simulator

STREAM = "people"
OBJECTS = ("subscriptions", "tags")

_CHANNEL = "5f3c1e7a9b2d4c0012ab34cd"
_TAGS = tuple(f"tag-{letter}" for letter in "abcdefgh")
_ROWS_PER_SUBSCRIPTION = 5
_NEAR = 20  # subscriptions among which the rows of one moment are spread
_HOT = 0.02  # share of the rows that are about one and the same subscription
_FAULTS: dict[str, Any] = {
    "latency": {"low": 0.001, "high": 0.01},
    "rules": [
        {"kind": "reset_before", "probability": 0.003},
        {"kind": "reset_after", "probability": 0.003},
        {"kind": "status", "status": 500, "probability": 0.003},
        {"kind": "status", "status": 503, "probability": 0.001, "headers": {"Retry-After": "0.2"}},
        {"kind": "truncated", "probability": 0.001},
        {"kind": "status", "status": 429, "probability": 0.0002, "headers": {"Retry-After": "0.3"}},
    ],
}


class Row(NamedTuple):
    """A row about one subscription; `number` counts from 1. Tags are added, or removed."""

    number: int
    subscription: str
    tags: tuple[str, ...]
    removed: bool


@dataclass
class Plan:
    """One crash test: what is sent, and to which object."""

    object_type: str
    rows: list[Row]
    subscriptions: list[str]

    def data(self, row: Row) -> dict[str, Any]:
        """The row as the source sends it."""
        data: dict[str, Any] = {"subscription_id": row.subscription}
        if self.object_type == "subscriptions":
            return data | {"email": f"{row.subscription}@example.com", "visits": row.number}
        return data | {"tags": ",".join(row.tags), "removed": row.removed}

    def lines(self, row: Row) -> str:
        """The row's record and the state after it."""
        record = {"stream": STREAM, "emitted_at": row.number, "data": self.data(row)}
        return f"{json.dumps({'type': 'RECORD', 'record': record})}\n{json.dumps(_state(row.number))}\n"

    def expected(self, upto: int) -> dict[str, Any]:
        """What CleverPush holds after so many rows: the number of a subscription's last row, or its tags."""
        if self.object_type == "subscriptions":
            return {row.subscription: row.number for row in self.rows[:upto]}
        tags: dict[str, Any] = {subscription: set() for subscription in self.subscriptions}
        for row in self.rows[:upto]:
            (tags[row.subscription].difference_update if row.removed else tags[row.subscription].update)(row.tags)
        return tags

    def found(self, simulator: Simulator) -> dict[str, Any]:
        """What CleverPush holds, in the same form."""
        if self.object_type == "subscriptions":
            return {user: held["customAttributes"]["visits"] for user, held in simulator.by_user().items()}
        return {native: set(held["tags"]) for native, held in simulator.by_id().items()}

    def check_confirmed(self, confirmed: int, found: dict[str, Any]) -> None:
        """Everything that a state has confirmed is in CleverPush, or has made room for later rows.

        Raises:
            AssertionError: it is not: a state was ahead.
        """
        if self.object_type == "subscriptions":
            for subscription, number in self.expected(confirmed).items():
                assert found.get(subscription, 0) >= number, f"row {number} of {subscription} is confirmed and missing"
            return
        later = {(row.subscription, tag) for row in self.rows[confirmed:] for tag in row.tags}
        for subscription, tags in self.expected(confirmed).items():
            for tag in _TAGS:
                if (subscription, tag) not in later:
                    held, due = tag in found[subscription], tag in tags
                    assert held == due, f"{tag} of {subscription}: confirmed as {due}, found as {held}"


@dataclass
class Outcome:
    """What happened: kills, those that hit a process before its first state, confirmed rows, calls at CleverPush."""

    kills: int = 0
    kills_before_first_state: int = 0
    confirmed: int = 0
    calls: int = 0


def make_plan(object_type: str, count: int, rng: random.Random) -> Plan:
    """Random rows: those of one subscription lie close together, but for one that is busy all the time."""
    subscriptions = [f"s-{number}" for number in range(max(1, count // _ROWS_PER_SUBSCRIPTION))]
    rows = [
        Row(
            number,
            subscriptions[0]
            if rng.random() < _HOT
            else subscriptions[max(0, (number - 1) // _ROWS_PER_SUBSCRIPTION - rng.randrange(_NEAR))],
            tuple(rng.sample(_TAGS, rng.randint(1, 3))),
            rng.random() < 0.4,
        )
        for number in range(1, count + 1)
    ]
    return Plan(object_type, rows, subscriptions)


def crash(
    object_type: str, rows: int, kills: int, seed: int, tell: Callable[[Outcome], None] = lambda _: None
) -> Outcome:
    """Run one crash test to its end; `tell` is called after each kill.

    Raises:
        AssertionError: a row was lost, overtaken or confirmed too early, or a state was not what it should be.
    """
    rng = random.Random(f"{seed}/{object_type}")
    plan = make_plan(object_type, rows, rng)
    channel = {
        "_id": _CHANNEL,
        "tags": list(_TAGS),
        "attributes": ["user_id", "visits"],
        "subscriptions": plan.subscriptions if object_type == "tags" else [],
    }
    accounts = [{"api_key": "private-key-of-the-crash-test", "channels": [channel]}]
    faults = {"seed": seed, **_FAULTS}
    outcome = Outcome()
    with (
        tempfile.TemporaryDirectory(prefix="cleverpush-crash-") as name,
        start_simulator(accounts=accounts, faults=faults, keep_calls=0) as simulator,
    ):
        directory = Path(name)
        offsets = _write_files(directory, plan, simulator)
        while True:
            states, after = _moment(rng, rows - outcome.confirmed, kills - outcome.kills)
            attempt = _Attempt(directory, offsets[outcome.confirmed], outcome.confirmed)
            killed = attempt.run(states, after)
            outcome.confirmed = attempt.confirmed
            if not killed:
                assert attempt.exit_code == 0, f"the connector ended with {attempt.exit_code}:\n{attempt.last_lines()}"
                break
            outcome.kills += 1
            outcome.kills_before_first_state += not attempt.came
            plan.check_confirmed(outcome.confirmed, plan.found(simulator))
            tell(outcome)
        assert outcome.confirmed == rows, f"the last state is that of row {outcome.confirmed} of {rows}"
        assert plan.found(simulator) == plan.expected(rows), "CleverPush does not hold what the input says"
        stats = simulator.stats()
        outcome.calls = stats["calls"]
        assert stats["most_in_flight_per_subscription"] == 1, "two calls for one subscription were under way at once"
    return outcome


class _Attempt:
    """One start of the connector, at one place of the input."""

    def __init__(self, directory: Path, offset: int, confirmed: int) -> None:
        self.confirmed = confirmed
        self.came = 0
        self.exit_code: int | None = None
        self._directory = directory
        self._offset = offset
        self._wrong: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._tail: list[str] = []

    def run(self, states: float, after: float) -> bool:
        """Run until so many states came and so many seconds passed then; returns whether it had to be killed."""
        command = [*CONNECTOR, "write", "--config", f"{self._directory}/config.json"]
        command += ["--catalog", f"{self._directory}/catalog.json"]
        with (self._directory / "input").open("rb") as lines:
            lines.seek(self._offset)
            process = subprocess.Popen(command, stdin=lines, stdout=subprocess.PIPE, text=True)
        with process:
            reader = threading.Thread(target=self._read, args=(process,))
            reader.start()
            try:
                with self._changed:
                    self._changed.wait_for(lambda: self.came >= states or self._ended)
                if not self._ended:
                    time.sleep(after)
            finally:
                process.kill()
                reader.join()  # what was in the pipe at the kill has come out
            self.exit_code = process.wait()
        assert not self._wrong, self._wrong[0]
        return self.exit_code == -9

    def last_lines(self) -> str:
        """The last of what it printed."""
        return "".join(self._tail)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.endswith("\n"):
                break  # cut off by the kill
            self._tail = [*self._tail[-9:], line]
            if '"STATE"' in line:
                with self._changed:
                    self._note(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _note(self, message: dict[str, Any]) -> None:
        stats = message["state"].pop("destinationStats", None)
        self.confirmed += 1
        self.came += 1
        if message != _state(self.confirmed):
            self._wrong.append(f"the state of row {self.confirmed} was due, and this came: {message}")
        if stats != {"recordCount": 1.0, "rejectedRecordCount": 0.0}:
            self._wrong.append(f"the state of row {self.confirmed} has these counts: {stats}")


def _state(number: int) -> dict[str, Any]:
    stream = {"stream_descriptor": {"name": STREAM}, "stream_state": {"row": number}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": stream, "id": number}}


def _moment(rng: random.Random, rows: int, kills: int) -> tuple[float, float]:
    """When to kill: after so many states and then so many seconds. Every sixth kill hits the start of the process."""
    if kills <= 0:
        return float("inf"), 0.0
    if rng.random() < 1 / 6:
        return 0, rng.uniform(0.2, 2.0)
    return rng.uniform(1, max(2.0, 1.4 * rows / (kills + 1))), rng.uniform(0.0, 0.03)


def _write_files(directory: Path, plan: Plan, simulator: Simulator) -> list[int]:
    """Write the input and what the command needs; returns where each row's lines begin, and where the input ends."""
    config = simulator.connector_config(
        plan.object_type, audience_mode="mirror", removed_field="removed", advanced={"progress_interval_seconds": 0}
    )
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "catalog.json").write_text(json.dumps(catalog(stream(STREAM, mode="append_dedup"))))
    offsets = [0]
    with (directory / "input").open("wb") as lines:
        for row in plan.rows:
            offsets.append(offsets[-1] + lines.write(plan.lines(row).encode()))
    return offsets


def _tell(outcome: Outcome) -> None:
    if outcome.kills % 10 == 0:
        print(f"  {outcome.kills} kills, {outcome.confirmed} rows confirmed", flush=True)


def main() -> None:
    """Run with what the command line says, and tell what happened."""
    parser = argparse.ArgumentParser(prog="python -m tools.crash", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="rows for each object")
    parser.add_argument("--kills", type=int, default=50, help="kills for each object")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=OBJECTS, help="one object only")
    args = parser.parse_args()
    for object_type in [args.only] if args.only else OBJECTS:
        began = time.monotonic()
        outcome = crash(object_type, args.rows, args.kills, args.seed, _tell)
        print(
            f"{object_type}: {args.rows} rows, {outcome.kills} kills ({outcome.kills_before_first_state} before the "
            f"first state), {outcome.calls} calls, {time.monotonic() - began:.0f} s: nothing lost, no state ahead.",
            flush=True,
        )


if __name__ == "__main__":
    main()
