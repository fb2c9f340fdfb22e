"""Random histories of syncs against a simple oracle: nobody is removed wrongly or forgotten, whatever is killed when.

The oracle knows the truth that the memory has to guess: which rows a source has, which of them an attempt goes on
after, what CleverPush has. It holds that

- nobody is removed for being absent whose row this attempt read, or an earlier attempt that it continues, or whom
  another stream of the catalog had last and has not let go by a whole pass, or who was set aside by a changed mapping;
- each mode makes its own calls only: `upsert` and `add` remove nobody, `remove` puts nobody, and `add` puts nobody
  twice;
- after a sync that ended well CleverPush has what each of its rows said last (`add`: has the member; `remove`, or a
  marked row: has it no more, unless another stream may have it, or has put it since), but for calls that were lost
  or refused;
- after a few whole passes nobody is left but the rows of the models, and no call is made any more.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from destination_cleverpush.tracking.entries import NO_TAG
from destination_cleverpush.tracking.place import Place
from unit_tests.tracking.places import BucketPlaces, DirectoryPlaces, OnePlace
from unit_tests.tracking.wired import Wired
from unit_tests.tracking.world import Attempt, Kill, Load, Row, World

Pair = tuple[str, str]

_CALLS = {"mirror": {"put", "mark", "remove"}, "upsert": {"put"}, "add": {"put"}, "remove": {"mark"}}

PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # to shrink a history takes minutes


@dataclass(frozen=True)
class Job:
    """One sync with its attempts.

    Attributes:
        client: `platform`, `platform resumes` (its retries go on after the last state), `pyairbyte` or `pipe`.
        models: by stream, what the source has; one for each attempt.
        kills: for each attempt, the point at which the process is killed, 0: none. One attempt more is made.
        recreated: the connection was deleted and made anew: its generations begin at 1.
        mode: the connector's `audience_mode`.
        how: what else :class:`Wired` is to know.
    """

    client: str
    models: dict[str, list[list[Row]]]
    kills: list[int]
    sync_mode: str
    complete: list[bool]
    recreated: bool
    signature: str
    batch: int
    mode: str = "mirror"
    how: dict[str, Any] = field(default_factory=dict)


_TAGS: dict[str, list[tuple[str, ...]]] = {"subscriptions": [(NO_TAG,)], "tags": [("t",), ("u",), ("t", "u")]}


def _rows(object_name: str, wired: bool) -> st.SearchStrategy[list[Row]]:
    row = st.builds(
        Row,
        st.sampled_from("abc" if wired else "abcde"),
        st.sampled_from([b"1"] if wired and object_name == "tags" else [b"1", b"2"]),
        st.sampled_from(["put"] * 8 + ["mark", "refused", "no id"] + ["invalid"] * wired),
        st.sampled_from(_TAGS[object_name]),
    )
    return st.lists(row, max_size=6).map(lambda rows: sorted(rows, key=lambda row: row.id))


@st.composite
def _jobs(draw: st.DrawFn, object_name: str, wired: bool) -> Job:
    kills = draw(st.lists(st.integers(0, 25), max_size=2))
    attempts = len(kills) + 1
    names = draw(st.sampled_from([["A"], ["A", "B"], ["B"]]))
    models: dict[str, list[list[Row]]] = {}
    for name in names:
        rows = _rows(object_name, wired)
        first = draw(rows)
        models[name] = [first if draw(st.booleans()) else draw(rows) for _ in range(attempts)]
    mode, how = "mirror", {}
    if wired:
        mode = draw(st.sampled_from(["mirror"] * 5 + ["upsert", "add", "remove"]))
        how = {
            "form": {"audience_mode": mode},
            "behind": draw(st.sampled_from([0, 1, 2])),
            "unsure": draw(st.sampled_from([""] * 5 + ["a", "ab"])),
            "lost": draw(st.sampled_from([""] * 5 + ["a", "bc"])),
            "refuses": draw(st.sampled_from([""] * 5 + ["a", "c"])),
        }
    return Job(
        client=draw(st.sampled_from(["platform", "platform resumes", "platform resumes", "pyairbyte", "pipe"])),
        models=models,
        kills=[*kills, 0],
        sync_mode=draw(st.sampled_from(["full_refresh"] * 4 + ["incremental"])),
        complete=[draw(st.sampled_from([True, True, True, False])) for _ in range(attempts)],
        recreated=draw(st.sampled_from([False] * 6 + [True])),
        signature=draw(st.sampled_from(["s"] * 8 + ["t"])),
        batch=draw(st.integers(1, 4)),
        mode=mode,
        how=how,
    )


@dataclass
class Truth:
    """What is so, whatever the memory thinks.

    Attributes:
        present: by stream, what it had last and has not let go.
        named: by stream, what its rows have named ever.
        abandoned: may have been set aside by a changed mapping.
        aside: were set aside, and nobody has named them before or since but the stream that had them.
    """

    object_name: str
    open_place: Callable[[], Place]
    kind: type[Attempt] = Attempt
    world: World = field(default_factory=World)
    present: dict[str, set[Pair]] = field(default_factory=lambda: defaultdict(set))
    generation: int = 0
    sync: int = 100
    signatures: dict[str, str] = field(default_factory=dict)
    named: dict[str, set[Pair]] = field(default_factory=lambda: defaultdict(set))
    abandoned: set[Pair] = field(default_factory=set)
    aside: dict[str, set[Pair]] = field(default_factory=dict)

    def job(self, job: Job, ratio: float = 1.0) -> Attempt | None:
        self.sync += 1
        self.generation = 1 if job.recreated else self.generation + 1
        continued: dict[str, list[Row]] = {name: [] for name in job.models}
        after = dict.fromkeys(job.models, "")
        came: set[str] = set()
        attempt = None
        for number, kill in enumerate(job.kills):
            resumes = job.client == "platform resumes"
            if number and job.client == "platform":
                self.generation += 1
            if not resumes:
                continued = {name: [] for name in job.models}
            ids = {"pyairbyte": (1, 1), "pipe": (None, None)}.get(job.client, (self.generation, self.sync))
            loads = [
                Load(
                    name,
                    models[number],
                    *ids,
                    job.sync_mode,
                    after[name] if resumes else "",
                    job.complete[number],
                    job.signature,
                )
                for name, models in job.models.items()
            ]
            stay = {load.name for load in loads if _all_stay(load, job.mode, came)}
            self._prepare(loads, continued, stay)
            attempt = self.kind(
                self.world,
                self.open_place(),
                loads,
                ratio=ratio,
                batch=job.batch,
                object_name=self.object_name,
                **job.how,
            )
            self.world.points_left = kill or -1
            calls = len(self.world.log)
            with suppress(Kill):
                attempt.run()
            self.world.points_left = -1
            assert not self.world.wrong, "removed wrongly"
            made = self.world.log[calls:]
            assert {what for what, *_ in made} <= _CALLS[job.mode], f"not what {job.mode} does"
            answered = [call for call in made if call[2] not in job.how.get("unsure", "")]
            assert job.mode != "add" or len(set(answered)) == len(answered), "added twice"
            for what, name, id_, tag in made:
                if what == "remove":  # rightly, as was seen: it may be called again until the memory knows of its end
                    self.present[name].discard((id_, tag))
            self._learn(attempt, loads, continued, stay, job)
            came.update(attempt.read)
            after.update(attempt.acknowledged)
            for name in job.models:
                rows = attempt.read.get(name, [])
                continued[name] += [row for row in rows if row.id <= attempt.acknowledged.get(name, "")]
            if attempt.done:
                break
        return attempt

    def _prepare(self, loads: list[Load], continued: dict[str, list[Row]], stay: set[str]) -> None:
        never: set[Pair] = set()
        for load in loads:
            if self.signatures.setdefault(load.name, load.signature) != load.signature:
                self._set_aside(load)
            if load.name in stay:
                never |= self.present[load.name]
            never |= _put_pairs(continued[load.name])
        self.world.never_remove = never.union(*self.aside.values())

    def _set_aside(self, load: Load) -> None:
        self.signatures[load.name] = load.signature
        self.abandoned |= self.world.has.keys()
        others = [pairs for name, pairs in self.named.items() if name != load.name]
        # Only the first time: where no row came since, a mapping that is taken back has its members again.
        first = load.name not in self.aside
        self.aside[load.name] = self.present[load.name].difference(*others) if first else set()
        self.present[load.name] = set()

    def _learn(
        self,
        attempt: Attempt,
        loads: list[Load],
        continued: dict[str, list[Row]],
        stay: set[str],
        job: Job | None = None,
    ) -> None:
        mode, how = (job.mode, job.how) if job else ("mirror", {})
        lost = how.get("lost", "") + how.get("refuses", "")
        known = {load.name: set(self.named[load.name]) for load in loads}
        rows_of = {load.name: [*continued[load.name], *attempt.read.get(load.name, [])] for load in loads}
        for name, rows in rows_of.items():
            found = self.present[name]
            for row in rows:
                pairs = {(row.id, tag) for tag in row.tags}
                self.named[name] |= pairs
                for aside in self.aside.values():
                    aside.difference_update(pairs)
                if _removes(row, mode):
                    found -= pairs
                elif row.does != "mark" and not _is_undone(row, attempt, name):
                    found |= pairs
        may_have_decided = all(_is_read(load, attempt) for load in loads)  # killed among the removals, it let go
        for name, rows in rows_of.items():
            if rows and name not in stay and may_have_decided:
                self.present[name] = _put_pairs(rows)
            if not attempt.done:
                continue
            others = set().union(*(self.named[other] for other in rows_of if other != name))
            last = {(row.id, tag): row for row in rows for tag in row.tags if row.id not in lost}
            for pair, row in last.items():
                has = self.world.has.get(pair, {})
                if _removes(row, mode):
                    # What another stream has put since it was removed costs no call.
                    kept = name in has or (has and pair not in known[name])
                    assert row.does not in ("put", "mark") or not kept or pair in others, f"kept: {name} {pair}"
                elif row.does == "put":
                    told = name in has if mode == "add" else has.get(name) == row.value
                    assert told, f"forgotten: {name} {pair}"


def _is_undone(row: Row, attempt: Attempt, name: str) -> bool:
    """Whether nothing was called for it, and the source was not told that it was taken: it says it again, or not."""
    return row.does == "invalid" and not attempt.done and row.id > attempt.acknowledged.get(name, "")


def _removes(row: Row, mode: str) -> bool:
    return mode == "remove" or (mode == "mirror" and row.does == "mark")


def _is_read(load: Load, attempt: Attempt) -> bool:
    rows = [row for row in load.rows if row.id > load.after and row.does != "no id"]
    return len(attempt.read.get(load.name, [])) == len(rows)


def _all_stay(load: Load, mode: str, came: set[str]) -> bool:
    """Whether nobody may be removed for being absent; `came`: streams of which a row came in an attempt before."""
    whole = mode == "mirror" and load.sync_mode == "full_refresh" and load.complete
    without_id = any(row.does == "no id" and row.id > load.after for row in load.rows)
    return not whole or without_id or not (load.rows or load.name in came)


def _put_pairs(rows: list[Row]) -> set[Pair]:
    last = {(row.id, tag): row.does for row in rows for tag in row.tags}
    return {pair for pair, does in last.items() if does != "mark"}


def _play(truth: Truth, history: list[Job], silent: dict[int, bool], final: dict[str, list[Row]]) -> None:
    truth.world.silent = silent
    for job in history:
        truth.job(job)
    truth.world.silent = {}
    signature = {name: truth.signatures.get(name, "s") for name in final}
    calls = 0
    for _ in range(5):
        truth.generation += 1
        truth.sync += 1
        loads = [
            Load(name, rows, truth.generation, truth.sync, signature=signature[name]) for name, rows in final.items()
        ]
        truth._prepare(loads, {name: [] for name in final}, set())
        calls = len(truth.world.log)
        attempt = truth.kind(truth.world, truth.open_place(), loads, object_name=truth.object_name).run()
        assert not truth.world.wrong, "removed wrongly"
        truth._learn(attempt, loads, {name: [] for name in final}, set())
        note(f"{loads} {attempt.notices}")
    assert len(truth.world.log) == calls, "calls for rows that did not change"
    wanted = set().union(*(_put_pairs(rows) for rows in final.values()))
    unclear = {row.id for rows in final.values() for row in rows if row.does == "invalid"}  # keep all their tags
    left = truth.world.has.keys() - truth.abandoned - wanted
    assert not [pair for pair in left if pair[0] not in unclear], "never removed"


def _histories(
    object_name: str, wired: bool
) -> st.SearchStrategy[tuple[list[Job], dict[int, bool], dict[str, list[Row]]]]:
    tags = ("t",) if object_name == "tags" else (NO_TAG,)
    does = st.sampled_from(["put"] * 5 + ["mark", "refused"] + ["invalid"] * wired)
    final = st.dictionaries(st.sampled_from("abcde"), does, min_size=1).map(
        lambda rows: [Row(id_, does=done, tags=tags) for id_, done in sorted(rows.items())]
    )
    return st.tuples(
        st.lists(_jobs(object_name, wired), min_size=1, max_size=6),
        st.dictionaries(st.integers(1, 30), st.booleans(), max_size=2),
        st.fixed_dictionaries({"A": final, "B": final}),
    )


@pytest.mark.parametrize("object_name", ["subscriptions", "tags"])
@pytest.mark.parametrize(
    ("kind", "attempt"), [(OnePlace, Attempt), (OnePlace, Wired), (DirectoryPlaces, Attempt), (BucketPlaces, Attempt)]
)
def test_nobody_is_removed_wrongly_or_forgotten(
    object_name: str,
    kind: type[OnePlace] | type[DirectoryPlaces] | type[BucketPlaces],
    attempt: type[Attempt],
) -> None:
    @settings(
        max_examples=kind.examples // (5 if attempt is Wired else 1),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        phases=PHASES,
    )
    @given(_histories(object_name, attempt is Wired))
    def check(history: tuple[list[Job], dict[int, bool], dict[str, list[Row]]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _play(Truth(object_name, kind(Path(folder)).open, attempt), *history)

    check()
