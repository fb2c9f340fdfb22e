"""Group commit: jobs are told once what they changed is durable, and never after a failure."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.tracking.changes import Changes
from destination_cleverpush.tracking.committer import Committer, Note
from destination_cleverpush.tracking.entries import Member, Standing
from destination_cleverpush.tracking.memory import Memory
from destination_cleverpush.words import Job, Stream, StreamId
from unit_tests.tracking.world import SamePlace

USERS = StreamId("users")


def a_memory(place: SamePlace) -> Memory:
    memory = Memory(place)
    memory.open_stream(Stream(USERS, {}, "full_refresh", None, 1, 1, 100), "subscriptions", "own", "s")
    return memory


def a_job(member: Member | None = None) -> Job:
    return Job(USERS, "", None, note=Note(member, noted=member is not None))


def test_jobs_are_told_when_they_are_durable() -> None:
    place = SamePlace(Path(":memory:"))
    memory = a_memory(place)
    kept: list[Job] = []
    at_that_time: list[int] = []

    def on_kept(jobs: list[Job]) -> None:
        kept.extend(jobs)
        at_that_time.append(place.database.count(1).get(Standing.TAKEN, 0))

    committer = Committer(memory, on_kept, lambda failure: None, flush_seconds=0.01)
    jobs = []
    for number in range(50):
        (member,) = memory.meet(USERS, [(f"{number}", None)])
        memory.note_in_doubt([(member, ("",))])
        member.begin()
        member.took(b"1", 1, None)
        jobs.append(a_job(member))
        assert committer.keep([(jobs[-1], None)]) == [jobs[-1]]
    assert committer.keep([(Job(USERS, "", None), None)]) == [], "it is of no stream that is remembered"
    committer.close()
    assert kept == jobs
    assert at_that_time[-1] == 50
    committer.keep([(a_job(), None)])
    assert kept == jobs


def test_a_failure_is_told_once_and_no_job_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    place = SamePlace(Path(":memory:"))
    memory = a_memory(place)
    failures: list[Failure] = []
    failed = threading.Event()

    def fail(changes: Changes) -> None:
        raise Failure(FailureKind.TRANSIENT, "disk full")

    def on_failure(failure: Failure) -> None:
        failures.append(failure)
        failed.set()

    monkeypatch.setattr(place, "commit", fail)
    kept: list[list[Job]] = []
    committer = Committer(memory, kept.append, on_failure, flush_seconds=0)
    memory.meet(USERS, [("a", None)])
    committer.keep([(a_job(), None)])
    assert failed.wait(10)
    committer.keep([(a_job(), None)])
    with pytest.raises(Failure, match="disk full"):
        committer.close()
    assert (len(failures), kept) == (1, [])


def test_it_ends_in_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    place = SamePlace(Path(":memory:"))
    memory = a_memory(place)
    go_on = threading.Event()
    monkeypatch.setattr(place, "commit", lambda changes: go_on.wait(30))
    committer = Committer(memory, lambda jobs: None, lambda failure: None, flush_seconds=0)
    memory.meet(USERS, [("a", None)])
    committer.keep([(a_job(), None)])
    committer.hurry(0.05)
    with pytest.raises(Failure, match="in time"):
        committer.close()
    go_on.set()
