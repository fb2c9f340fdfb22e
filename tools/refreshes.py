"""`python -m tools.refreshes`: a model is read whole over and over, with change tracking, and a process that dies.

Between two refreshes rows come, change and leave, and some of those who left come back as they were. Each refresh is a
sync of its own, whose process is killed (SIGKILL) at random moments and started again: from the beginning, or after the
last state that came out. After each refresh CleverPush must hold what the model says, and, where nothing was killed,
have been called for the true changes alone.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration_tests.messages import Row, catalog, record, stream, stream_state
from integration_tests.platform_double import CONNECTOR
from integration_tests.simulator.process import Simulator, start_simulator

STREAM = "people"
KINDS = ("by_call", "external")
OBJECTS = ("subscriptions", "tags")
_TAGS = tuple(f"tag-{letter}" for letter in "abcdef")
_STATE_EVERY = 10

Model = dict[int, Any]
"""By person: a tier, or a set of tags."""


@dataclass
class Refreshes:
    """What is tried.

    Attributes:
        people: in the model, at the start.
        kills: between the first refresh and the last.
    """

    object_type: str
    kind: str
    people: int
    refreshes: int
    kills: int
    seed: int

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.seed} {self.object_type} {self.kind}")

    def next(self, model: Model, gone: Model) -> Model:
        """The model a while later: one in fifty changed, one in a hundred left, new ones came, some came back."""
        found: Model = {}
        for person, said in model.items():
            luck = self.rng.random()
            if luck < 0.01:
                gone[person] = said
            else:
                found[person] = self._other(said) if luck < 0.03 else said
        for person in self.rng.sample(sorted(gone), len(gone) // 4):
            found[person] = gone.pop(person)
        newest = max([*model, *gone], default=-1) + 1
        for person in range(newest, newest + max(1, self.people // 100)):
            found[person] = self.said()
        return found

    def kills_in(self, number: int) -> int:
        """How often the process of a refresh is killed; the first is left alone."""
        rest = max(1, self.refreshes - 1)
        return 0 if number == 1 else self.kills * (number - 1) // rest - self.kills * (number - 2) // rest

    def said(self) -> Any:
        """What a row says."""
        if self.object_type == "subscriptions":
            return self.rng.choice(("free", "silver", "gold"))
        return frozenset(self.rng.sample(_TAGS, self.rng.randint(1, 3)))

    def row(self, person: int, said: Any) -> Row:
        """The row of a person."""
        if self.object_type == "subscriptions":
            return {"subscription_id": f"u{person}", "email": f"u{person}@example.com", "tier": said}
        return {"subscription_id": f"u{person}" if self.kind == "external" else f"Nat{person}", "tags": sorted(said)}

    def changes(self, before: Model, after: Model) -> int:
        """How many calls lead from the one to the other."""
        if self.object_type == "subscriptions":
            changed = [person for person, said in after.items() if before.get(person) != said]
            return len(before.keys() - after.keys()) + len(changed)
        none: frozenset[str] = frozenset()
        return sum(len(before.get(p, none) ^ after.get(p, none)) for p in before.keys() | after.keys())

    def _other(self, said: Any) -> Any:
        while (other := self.said()) == said:
            pass
        return other


def run(plan: Refreshes) -> list[tuple[int, int, int]]:
    """Do it; returns for each refresh the true changes, the calls that wrote, and the kills.

    Raises:
        AssertionError: CleverPush does not hold what the model says, or was called for more than changed.
    """
    most = plan.people * 2
    held = [] if plan.object_type == "subscriptions" else [{"id": f"Nat{n}", "user_id": f"u{n}"} for n in range(most)]
    channel = {"attributes": ["user_id", "tier"], "tags": list(_TAGS), "subscriptions": held, "_id": "channel"}
    account = {"api_key": "key", "channels": [channel]}
    told = []
    with (
        tempfile.TemporaryDirectory() as name,
        start_simulator(accounts=[account], behaviour={"unsubscribe_deletes": True}, keep_calls=0) as simulator,
    ):
        folder = Path(name)
        (folder / "memory").mkdir()
        config = simulator.connector_config(
            plan.object_type,
            audience_mode="mirror",
            subscription_id_kind=plan.kind,
            change_tracking={"storage_type": "local", "destination_path": str(folder / "memory")},
            advanced={"progress_interval_seconds": 0},
        )
        (folder / "config.json").write_text(json.dumps(config))
        gone: Model = {}
        model: Model = {}
        for number in range(1, plan.refreshes + 1):
            before = model
            model = plan.next(model, gone) if model else {person: plan.said() for person in range(plan.people)}
            kills = plan.kills_in(number)
            calls = _writes(simulator)
            _refresh(plan, folder, model, number, kills)
            calls, changes = _writes(simulator) - calls, plan.changes(before, model)
            assert _holds(plan, simulator) == model, f"refresh {number}: CleverPush does not hold what the model says"
            assert calls >= changes, f"refresh {number}: {calls} calls for {changes} changes"
            if not kills:
                assert calls == changes, f"refresh {number}: {calls} calls for {changes} changes"
            told.append((changes, calls, kills))
    return told


def _refresh(plan: Refreshes, folder: Path, model: Model, number: int, kills: int) -> None:
    """One sync; after a kill the platform begins anew with a higher generation, or goes on after the last state."""
    resumes = number % 2 == 0
    generation, after = number * 100, 0
    for attempt in range(kills + 1):
        ids: dict[str, Any] = {
            "generation_id": generation,
            "minimum_generation_id": generation,
            "sync_id": 100 + number,
        }
        (folder / "catalog.json").write_text(json.dumps(catalog(stream(STREAM, **ids))))
        last = attempt == kills
        code, confirmed = _attempt(plan, folder, model, after, None if last else 1.5 + plan.rng.random() * 4.0)
        if code == 0:
            return
        assert not last, f"refresh {number}: the last attempt ended with {code}"
        after = max(after, confirmed) if resumes else 0
        generation += not resumes


def _attempt(
    plan: Refreshes, folder: Path, model: Mapping[int, Any], after: int, kill_after: float | None
) -> tuple[int, int]:
    """Exit code, and up to which row the states that came out confirm it."""
    command = [*CONNECTOR, "write", "--config", str(folder / "config.json"), "--catalog", str(folder / "catalog.json")]
    confirmed = after
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(kill_after, process.kill) if kill_after is not None else None
        feeder = threading.Thread(target=_feed, args=(process, _lines(plan, model, after)), daemon=True)
        feeder.start()
        if timer:
            timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("\n") and '"STATE"' in line:
                confirmed = json.loads(line)["state"]["stream"]["stream_state"]["cursor"]
        code = process.wait()
        if timer:
            timer.cancel()
        feeder.join()
    return code, confirmed


def _lines(plan: Refreshes, model: Mapping[int, Any], after: int) -> Iterator[str]:
    for number, (person, said) in enumerate(sorted(model.items()), 1):
        if number > after:
            yield json.dumps(record(plan.row(person, said), STREAM))
            if number % _STATE_EVERY == 0:
                yield json.dumps(stream_state(number, STREAM))
    status = {"stream_descriptor": {"name": STREAM}, "status": "COMPLETE"}
    yield json.dumps({"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 0, "stream_status": status}})


def _feed(process: subprocess.Popen[str], lines: Iterator[str]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it was killed
        for line in lines:
            process.stdin.write(line + "\n")
    with suppress(BrokenPipeError):
        process.stdin.close()


def _writes(simulator: Simulator) -> int:
    routes: Mapping[str, int] = simulator.stats()["by_route"]
    return sum(count for route, count in routes.items() if route.startswith("POST ") and route.endswith(" 200"))


def _holds(plan: Refreshes, simulator: Simulator) -> Model:
    found = {s["customAttributes"]["user_id"]: s for s in simulator.state()["subscriptions"]}
    if plan.object_type == "subscriptions":
        return {int(user[1:]): s["customAttributes"].get("tier") for user, s in found.items()}
    return {int(user[1:]): frozenset(s["tags"]) for user, s in found.items() if s["tags"]}


def main() -> None:
    """Run with what the command line says, and tell the counts."""
    parser = argparse.ArgumentParser(prog="python -m tools.refreshes", description=__doc__)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--refreshes", type=int, default=5)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=OBJECTS)
    args = parser.parse_args()
    for object_type in [args.only] if args.only else OBJECTS:
        for kind in KINDS:
            began = time.monotonic()
            told = run(Refreshes(object_type, kind, args.people, args.refreshes, args.kills, args.seed))
            print(f"{object_type}, {kind}: {args.people} people, {time.monotonic() - began:.0f} s: as the model says.")
            for changes, calls, kills in told:
                print(f"  {changes:7,} changes, {calls:7,} calls that wrote, {kills} kills", flush=True)


if __name__ == "__main__":
    main()
