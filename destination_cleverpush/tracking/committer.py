"""The memory as a keeper: a thread of its own that makes durable what has gathered, and tells of it (group commit)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from destination_cleverpush.errors import Failure, system_error, transient_error
from destination_cleverpush.tracking.entries import Member
from destination_cleverpush.tracking.memory import Memory
from destination_cleverpush.tracking.place import NAME
from destination_cleverpush.words import Job

LOCAL_FLUSH_SECONDS = 0.2
REMOTE_FLUSH_SECONDS = 2.0
_JOBS_PER_COMMIT = 20_000


class Committer:
    """Commits what settles, `flush_seconds` after the first job that waits for it, or when many wait.

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
        flush_seconds: float,
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

    def keep(self, jobs: Sequence[Job], members: Iterable[tuple[Member, bool]]) -> None:
        """Take settled jobs, without waiting; each will be told as kept, or the sync has failed.

        Args:
            jobs: all of the streams that are remembered, whether they changed something or not: that they were seen is
                to be durable too.
            members: of those of them that were noted in doubt or made a call: see :meth:`.memory.Memory.settle`.
        """
        self._memory.settle(members)
        with self._changed:
            if not jobs or self._closing or self._failure is not None:
                return
            if self._ended:
                self._ended = False
                threading.Thread(target=self._run, name="change-tracking", daemon=True).start()
            before = len(self._waiting)
            self._waiting += jobs
            if not before or before < _JOBS_PER_COMMIT <= len(self._waiting):
                self._changed.notify_all()

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
