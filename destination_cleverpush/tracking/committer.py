"""The memory as a keeper: a thread of its own that makes durable what has gathered, and tells of it (group commit)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from destination_cleverpush.errors import Failure, system_error, transient_error
from destination_cleverpush.tracking.entries import Member
from destination_cleverpush.tracking.memory import Memory, Removal
from destination_cleverpush.tracking.place import NAME
from destination_cleverpush.words import Job, RejectedRow

FLUSH_SECONDS = 0.2
_JOBS_PER_COMMIT = 4_000
"""Less than half of the rows that may be on their way: while some are stored, others gather."""


@dataclass(slots=True, eq=False)
class Note:
    """What change tracking knows of a job.

    Attributes:
        member: whom its row means; None where nobody can tell.
        noted: it was told to :meth:`.memory.Memory.note_in_doubt`.
        removed: members (tags: pairs) that it began to remove since its row is marked.
        removal: for a job that no row asks for: whom it removes.
        done: the removal was made, or there was nothing to remove.
    """

    member: Member | None = None
    noted: bool = False
    removed: int = 0
    removal: Removal | None = None
    done: bool = False


class Committer:
    """Commits what settles, `flush_seconds` after the first job that waits for it, or when many wait.

    It sees all jobs with a :class:`Note`, whether they changed something or not: that their rows were seen is to be
    durable, too, before their states leave.

    Args:
        on_kept: called from the thread with the jobs whose rows are durable.
        on_failure: called once, from the thread, when nothing more can be stored.
    """

    def __init__(
        self,
        memory: Memory,
        on_kept: Callable[[list[Job]], None],
        on_failure: Callable[[Failure], None],
        *,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._memory = memory
        self._on_kept = on_kept
        self._on_failure = on_failure
        self._flush = flush_seconds
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._closing = False
        self._ended = True
        self._failure: Failure | None = None
        self._deadline = float("inf")

    def keep(self, outcomes: Sequence[tuple[Job, RejectedRow | None]]) -> list[Job]:
        """Take settled jobs, without waiting. Returns those that will be told as kept, unless the sync fails."""
        jobs: list[Job] = []
        ended: list[tuple[Member, bool]] = []
        for job, _ in outcomes:
            note: Note | None = job.note
            if note is None:
                continue
            jobs.append(job)
            member = note.member
            if member is not None and (note.noted or member.dirty):
                ended.append((member, note.noted))
            if note.removed:
                self._memory.count(job.stream, removed=note.removed)
        if ended:
            self._memory.settle(ended)
        with self._changed:
            if not jobs or self._closing or self._failure is not None:
                return jobs
            if self._ended:
                self._ended = False
                threading.Thread(target=self._run, name="change-tracking", daemon=True).start()
            before = len(self._waiting)
            self._waiting += jobs
            if not before or before < _JOBS_PER_COMMIT <= len(self._waiting):
                self._changed.notify_all()
        return jobs

    def close(self) -> None:
        """Commit what waits, and tell of it; the memory stays open.

        Raises:
            Failure: the memory's; `transient_error` when the time is up.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while not self._ended:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise transient_error(f"{NAME} did not store the last rows in time.")
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
        if self._failure is not None:
            raise self._failure

    def hurry(self, seconds: float) -> None:
        """Have :meth:`close`, now or later, wait for so many seconds from now at most; from any thread."""
        with self._changed:
            self._deadline = min(self._deadline, time.monotonic() + seconds)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while jobs := self._gather():
                gone = [job.note.removal for job in jobs if job.note.done]
                if gone:
                    self._memory.gone(gone)
                else:
                    self._memory.commit()
                self._on_kept(jobs)
        except Failure as failure:
            self._fail(failure)
        except Exception as error:  # noqa: BLE001 (nobody waits for this thread: it must tell of any failure)
            self._fail(system_error(f"{NAME} failed for a reason that the connector does not know.", repr(type(error))))
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _fail(self, failure: Failure) -> None:
        with self._changed:
            self._failure = failure
            self._waiting = []
        self._on_failure(failure)

    def _gather(self) -> list[Job]:
        """The jobs of the next commit; none when it is closing and all are stored."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: self._closing or len(self._waiting) >= _JOBS_PER_COMMIT, timeout=self._flush)
            jobs, self._waiting = self._waiting, []
            return jobs
