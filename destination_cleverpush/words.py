"""The vocabulary that the rooms exchange. Values only: no behaviour beyond what a value can say of itself."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, Protocol

from destination_cleverpush.errors import Failure

# --- what comes in


class StreamId(NamedTuple):
    """A stream's identity: its name, and its namespace where it has one."""

    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


@dataclass(frozen=True)
class Stream:
    """A stream that the sync is configured with.

    Attributes:
        schema: its JSON schema, empty where it has none.
        sync_mode: how the source is read, `full_refresh` or `incremental`; None where nobody said.
        destination_sync_mode: `append`, `append_dedup`, `overwrite` and their like; None where nobody said.
        generation_id, minimum_generation_id: equal where everything of older generations is to go; None where the
            platform has no generations.
        sync_id: the platform's job, equal over its attempts.
        object_name: the CleverPush object that the stream is to become, where the platform says so.
        primary_key: paths of the columns that identify a row.
    """

    id: StreamId
    schema: Mapping[str, Any]
    sync_mode: str | None = None
    destination_sync_mode: str | None = None
    generation_id: int | None = None
    minimum_generation_id: int | None = None
    sync_id: int | None = None
    object_name: str | None = None
    primary_key: tuple[tuple[str, ...], ...] = ()


class Row(NamedTuple):
    """A record's data, and where it came from.

    `position` counts the rows of the stream in this attempt, from 1; `size` is in bytes, as the row came in;
    `emitted_at` is in epoch milliseconds.
    """

    stream: StreamId
    data: Mapping[str, Any]
    emitted_at: int | None
    size: int
    position: int


class State(NamedTuple):
    """A checkpoint of the source. What it says is opaque to all rooms but the one that read it.

    `stream` is the one that it covers, None for all; `size` is the memory in bytes that it takes while it waits.
    """

    stream: StreamId | None
    size: int
    content: Any


class Complete(NamedTuple):
    """The source says that it has read a stream whole."""

    stream: StreamId


class PassedOver(NamedTuple):
    """A line of the input that could not be told: it may have been a row of any stream."""


class DueState(NamedTuple):
    """A state that may leave, and how many rows it confirms as delivered and as rejected."""

    state: State
    delivered: int
    rejected: int


# --- what CleverPush holds


@dataclass(frozen=True)
class Channel:
    """What exists in the channel's settings: IDs and their names, as read at the start; None where it was not read."""

    tags: Mapping[str, str] | None = None
    topics: Mapping[str, str] | None = None
    attributes: Mapping[str, str] | None = None


NOTHING_READ = Channel()


_PERSONAL_ID = re.compile(r".*@.*|\+[\d\s()./-]{6,}", re.DOTALL)


def may_be_told(identifier: str) -> bool:
    """Whether an ID may stand in a log: not if it is an email address or a phone number."""
    return not _PERSONAL_ID.fullmatch(identifier)


# --- what is called


@dataclass(frozen=True, eq=False)
class Action:
    """What a call does to a subscription.

    Attributes:
        name: for logs and tests, such as `add_tag`.
        routes: the paths that may serve it, by the name of the option in the form that chooses them; the first is the
            one to begin with.
        option: the field under Advanced that chooses among them, None where there is only one route.
        done: what has been done when it is delivered, for the summary, such as `tags added`.
    """

    name: str
    routes: Mapping[str, str]
    option: str | None = None
    done: str = "called"

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing: its route begins with `GET `, and its payload becomes the query."""
        return next(iter(self.routes.values())).startswith("GET ")


class Tolerance(Enum):
    """Which answers to an operation judge neither its row nor the sync: the script sees to them."""

    NOTHING = "none"
    GONE = "that the subscription does not exist"
    ANYTHING = "all that are for good"


class Operation(NamedTuple):
    """One API call meant for one subscription: what to do and the request body, without the channel."""

    action: Action
    payload: dict[str, Any]
    tolerates: Tolerance = Tolerance.NOTHING

    def takes(self, answer: Answer) -> bool:
        """Whether an answer that is no success is for the script to see to."""
        return self.tolerates is Tolerance.ANYTHING or (self.tolerates is Tolerance.GONE and answer.gone)


# --- what becomes of it


class Reason(NamedTuple):
    """A kind of rejection: a stable code, and what to do, in the words of CleverPush's and Airbyte's screens."""

    code: str
    advice: str


UNKNOWN_TAG = Reason(
    "unknown_tag",
    "Tags must be created in CleverPush before they can be assigned. Compare the tag IDs in your data with "
    "Channel Settings > Tags.",
)
UNKNOWN_TOPIC = Reason(
    "unknown_topic", "Compare the topic IDs in your data with the topics of the channel in CleverPush."
)


class RowRejected(Exception):
    """A row that cannot be sent.

    Attributes:
        reason: the kind.
        sentence: what is wrong with this row; names fields and never quotes their values.
        named: what is at fault where it is an ID or a name that may be told, such as tags.
    """

    def __init__(self, reason: Reason, sentence: str, named: Iterable[str] = ()) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.named = tuple(named)


class Verdict(Enum):
    """What an answer means for the operation."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    RETRY = "retry"
    THROTTLED = "throttled"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Answer:
    """One attempt's outcome.

    Attributes:
        verdict: what it means.
        reason: for REJECTED, and for RETRY should the retries be used up.
        summary: what happened, free of personal data: what CleverPush did, such as "answered 500", or, where the
            connector judges by itself, a whole sentence.
        status: HTTP status, None where no answer came.
        words: CleverPush's own words; they may quote the row.
        delay: seconds that the server asked to wait, None where it named none.
        congested: a sign that fewer requests should be in flight.
        local: the connector or the way to CleverPush ran out of something (descriptors, connections): it judges no
            row, and fewer requests must be in flight.
        lost: no route was found for the call: that judges neither the row nor CleverPush; other rows are to be tried.
        failure: for FATAL, what ends the sync.
        named: what is at fault in the row where it is an ID that may be told, such as tags.
        ids: CleverPush's own ids of the subscriptions that a 2xx answer names.
        gone: REJECTED, since the subscription does not exist.
        unsure: REJECTED after all tries, so that nobody knows whether one of them had its effect.
    """

    verdict: Verdict
    reason: Reason | None = None
    summary: str = ""
    status: int | None = None
    words: str | None = None
    delay: float | None = None
    congested: bool = False
    local: bool = False
    lost: bool = False
    failure: Failure | None = None
    named: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    gone: bool = False
    unsure: bool = False


DELIVERED = Answer(Verdict.DELIVERED, status=200)


class Underway(Protocol):
    """A call that was made, and whose answer is not there yet."""

    @property
    def due(self) -> float:
        """When to look also if nothing has come, on the monotonic clock."""

    @property
    def blocks(self) -> bool:
        """Whether looking does not help any more: somebody has to :meth:`wait`."""

    def fileno(self) -> int:
        """The descriptor on which the answer comes."""

    def look(self) -> Answer | None:
        """Take what has come, without waiting; None while more must come, or while it :attr:`blocks`."""

    def wait(self) -> Answer:
        """The answer, waited for."""


Script = Generator[Operation, Answer, None]
"""A row's operations, one after the other: each is yielded, and its answer sent in once it is answered for good.

It is run under the lock that all senders want: quick, without I/O. It may raise :class:`RowRejected`.
"""


@dataclass(slots=True, eq=False)
class Job:
    """A row on its way through delivery, and in the end what became of it.

    Attributes:
        stream: whose row it is.
        lane: jobs of one lane are done one after the other; empty where no call is needed.
        script: the calls that bring it to CleverPush; None where it needs none, or was refused before any.
        origin: the caller's own reference, the :class:`Row`.
        size: bytes that it takes while it is on its way.
        refusal: why it is given up; at the end None means delivered.
        attempts: calls that were tried for it.
        ticket, behind: delivery's own.
        removed_by: the column that marks the row as removed; None where it is not, or where every row is removed.
        held: it waits in its lane until much of the input is known.
        note: change tracking's own.
        effect: what became of it, in words for the summary, where its calls do not say so.
        is_row: a row of the input asks for it; else it is not counted among the rows.
    """

    stream: StreamId
    lane: str
    script: Script | None
    origin: Any = None
    size: int = 0
    refusal: Answer | None = None
    attempts: int = 0
    ticket: Any = None
    behind: Job | None = None
    removed_by: str | None = None
    held: bool = False
    note: Any = None
    effect: str = ""
    is_row: bool = True


class Pulse(NamedTuple):
    """How delivery is doing at this moment.

    Attributes:
        calls: that were started, retries included.
        in_flight, limit: calls on their way, and how many may be.
        retries, throttled: calls that failed or were answered 429, and are made again.
        paused_seconds: how long nothing could start since CleverPush asked for it, so far.
        oldest_state_seconds: how long the oldest state has waited, 0 where none waits.
        cause: what the rows on their way wait for.
        pace: calls per second that may start; None where only the answers limit them.
    """

    calls: int
    in_flight: int
    limit: int
    retries: int
    throttled: int
    paused_seconds: float
    oldest_state_seconds: float
    cause: str
    pace: float | None = None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was given up, and why.

    Attributes:
        stream: the row's stream.
        position: 1-based position of the row among the rows of its stream in this attempt.
        subscription_id: as mapped, or None where the row has none.
        code: a stable code.
        reason: one sentence for people, free of personal data.
        status: HTTP status of CleverPush's answer, None where the row never became a call.
        answer: CleverPush's own words (may hold personal data: for the store only), None without a call.
        data: the row as it came.
        emitted_at: the record's `emitted_at` in epoch milliseconds as it came, or None.
        rejected_at: when it was given up, aware datetime in UTC.
        attempts: how many calls were tried for it, 0 where it never became a call.
    """

    stream: StreamId
    position: int
    subscription_id: str | None
    code: str
    reason: str
    status: int | None
    answer: str | None
    data: Mapping[str, Any]
    emitted_at: int | None
    rejected_at: datetime
    attempts: int
