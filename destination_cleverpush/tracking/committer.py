"""The memory as a keeper: what has gathered is made durable together, and told of (group commit)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from destination_cleverpush.errors import Failure
from destination_cleverpush.storage.group_commit import GroupCommit
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
        self._waiting: GroupCommit[Job] = GroupCommit(
            NAME,
            self._commit,
            on_failure,
            flush_seconds=flush_seconds,
            most=_JOBS_PER_COMMIT,
            late=f"{NAME} did not store the last rows in time.",
            thread="change-tracking",
        )
        self.close = self._waiting.close  # the memory stays open
        self.hurry = self._waiting.hurry

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
        self._waiting.take(jobs)
        return jobs

    def _commit(self, jobs: list[Job]) -> None:
        gone = [job.note.removal for job in jobs if job.note.done]
        if gone:
            self._memory.gone(gone)
        else:
            self._memory.commit()
        self._on_kept(jobs)
