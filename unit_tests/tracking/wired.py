"""The same attempts as of `world`, but by the connector's own stage: `destination_cleverpush.tracked`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from destination_cleverpush.config import Config
from destination_cleverpush.objects.known import Identities
from destination_cleverpush.objects.plan import StreamPlan, plan_streams
from destination_cleverpush.tracked import Tracked
from destination_cleverpush.tracking.memory import Memory
from destination_cleverpush.words import Answer, Job, Operation, Reason, RowRejected, StreamId, Verdict
from destination_cleverpush.words import Row as Message
from unit_tests.configurations import make_config, mapped
from unit_tests.tracking.world import TODAY, Attempt, Load, Row

_REFUSED = Answer(Verdict.REJECTED, Reason("refused", ""), "answered 400", status=400)

_UNSURE = replace(_REFUSED, summary="gave no answer", status=None, unsure=True)


@dataclass
class Wired(Attempt):
    """One attempt: each job's script is run to its end before the next one's.

    Attributes:
        form: fields of the configuration form that are not as always.
        effects: what became of the rows, in words.
        behind: so many batches are planned before the first one's turn comes.
        unsure: IDs whose calls take effect and are given up without an answer; the sync goes on.
        lost: the same, but without effect.
        refuses: IDs whose calls CleverPush refuses.
    """

    form: dict[str, Any] = field(default_factory=dict)
    today: int = TODAY
    behind: int = 0
    unsure: str = ""
    lost: str = ""
    refuses: str = ""
    _planned: deque[tuple[Load, Row, Job]] = field(default_factory=deque)
    effects: list[str] = field(default_factory=list)

    def _open(self, memory: Memory) -> None:
        plans: dict[StreamId, StreamPlan] = {}
        config = self._config(self.loads[0])
        identities = Identities(config.objects.subscription_id_kind)
        for load in self.loads:
            plans |= plan_streams(self._config(load).objects, [load.stream], identities=identities)
        tracking = config.change_tracking
        assert tracking is not None
        self._tracked = Tracked(
            memory,
            tracking,
            [load.stream for load in self.loads],
            plans=plans,
            identities=identities,
            tell=lambda _, sentence: self.notices.append(sentence),
            today=self.today,
            sync_id=self.loads[0].sync,
        )

    def _config(self, load: Load) -> Config:
        form: dict[str, Any] = {
            "object_type": self.object_name,
            "audience_mode": "mirror",
            "removed_field": "gone",
            "unmapped_fields": "send",
            "subscription_id_kind": "native",
            "max_removal_ratio": self.ratio,
            "field_mapping": mapped(subscription_id=f"id_{load.signature}"),
            "change_tracking": {"storage_type": "local", "destination_path": "/nowhere"},
        }
        return make_config(**{**form, **self.form})

    def _deliver(self, memory: Memory, load: Load, rows: Sequence[Row]) -> None:
        messages = [_message(load, row, position) for position, row in enumerate(rows, 1)]
        jobs = self._tracked.jobs(messages)
        self._planned += [(load, row, job) for row, job in zip(rows, jobs, strict=True)]
        self._work_off(memory, self.behind * self.batch)

    def _on_their_way(self, load: Load) -> int:
        return sum(of is load for of, _, _ in self._planned)

    def _work_off(self, memory: Memory, left: int) -> None:
        while len(self._planned) > left:
            load, row, job = self._planned.popleft()
            what = "mark" if row.does == "mark" or self.form.get("audience_mode") == "remove" else "put"
            self._run(job, load.name, what, row.value, refused=row.does == "refused")
            if job.note.member is not None:
                memory.settle([(job.note.member, job.note.noted)])
            if job.note.removed:
                memory.count(job.stream, removed=job.note.removed)
            self.effects.append(job.effect)
            if self.often:
                memory.commit()

    def _end(self, memory: Memory) -> None:
        self._work_off(memory, 0)
        complete = {load.stream.id for load in self.loads if load.complete}
        for jobs in self._tracked.removals(complete):
            for job in jobs:
                self._run(job, job.stream.name, "remove")
                if job.note.done:
                    memory.gone([job.note.removal])
        self._tracked.end()
        self.done = True

    def _run(self, job: Job, stream: str, what: str, value: bytes = b"", *, refused: bool = False) -> None:
        """Run a script to its end, if there is one."""
        answer: Answer | None = None
        try:
            while job.script is not None:
                operation = next(job.script) if answer is None else job.script.send(answer)
                answer = self._call(operation, stream, what, value, refused=refused)
        except (StopIteration, RowRejected):
            pass

    def _call(self, operation: Operation, stream: str, what: str, value: bytes, *, refused: bool) -> Answer:
        payload = operation.payload
        if refused or payload["subscriptionId"] in self.refuses:
            self.world.point()
            return _REFUSED
        if operation.action.name == "remove_tag" and what == "put":
            what = "mark"  # a tag that the row does not list
        if payload["subscriptionId"] in self.lost:
            self.world.point()
            return _UNSURE
        self.world.call(what, stream, payload["subscriptionId"], payload.get("tagId", ""), value)
        return _UNSURE if payload["subscriptionId"] in self.unsure else Answer(Verdict.DELIVERED, status=200)


def _message(load: Load, row: Row, position: int) -> Message:
    data: dict[str, object] = {"value": row.value.decode(), "gone": row.does == "mark"}
    if row.does != "no id":
        data[f"id_{load.signature}"] = row.id
    if row.tags != ("",):
        data["tags"] = list(row.tags)
    if row.does == "invalid":  # rejected before any call
        data |= {"tags": {"t": 1}} if "tags" in data else {"email": True}
    return Message(load.stream.id, data, None, 100, position)
