"""A world for the dispatcher: a clock that jumps from event to event, and a server that answers as it is told.

It notes what happened, so that tests can judge it with their own, independent reading of the rules.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from destination_cleverpush.answers import Answer, Verdict
from destination_cleverpush.delivery.dispatcher import Attempt, Dispatcher, Row
from destination_cleverpush.operations import Action, Operation
from destination_cleverpush.protocol import State, StateKind, StreamId

Server = Callable[[Operation, int, float], tuple[Answer, float]]
"""An operation, how often it was tried before, and the time in seconds, to the answer and its latency in seconds."""

TAKEN = Answer(Verdict.DELIVERED)
REFUSED = Answer(Verdict.REJECTED, "payload_refused", "answered 400", 400, "no")
FAILED = Answer(Verdict.RETRY, "server_error", "answered 500", 500)


def throttled(delay: float | None = None) -> Answer:
    return Answer(Verdict.THROTTLED, "server_error", "answered 429", 429, delay=delay, congested=True)


def row(name: str, lane: str = "s1", operations: int = 1, stream: str = "users", *, refused: bool = False) -> Row:
    """A row whose operations carry its name, so that the server's side can be matched with the input's."""
    return Row(
        StreamId(stream),
        "" if refused else lane,
        [] if refused else [Operation(Action.ADD_TAG, {"row": name, "part": n}) for n in range(operations)],
        name,
        size=10,
        refusal=Answer(Verdict.REJECTED, "missing_tags", "tags is missing or empty.") if refused else None,
    )


def state(number: int, stream: str | None = None, kind: StateKind = StateKind.STREAM) -> State:
    """A state that can be told by its number."""
    body: dict[str, object] = {"type": kind.value, "id": number}
    if stream:
        body["stream"] = {"stream_descriptor": {"name": stream}}
    return State(kind, StreamId(stream) if stream else None, json.dumps({"type": "STATE", "state": body}))


@dataclass
class World:
    """What happened, in order: `("start" | "end" | "rejected" | "state", ...)`."""

    dispatcher: Dispatcher
    events: list[tuple[object, ...]] = field(default_factory=list)
    states: list[tuple[int, int, int]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    answers: list[tuple[float, float, Answer]] = field(default_factory=list)
    now: float = 0.0
    most_in_flight: int = 0


def simulate(  # noqa: PLR0912, PLR0915 - one loop over one clock
    items: Sequence[Row | State],
    server: Server,
    *,
    max_concurrency: int = 8,
    cap: float | None = None,
    seed: int = 0,
    feed: Callable[[], int] = lambda: 1_000_000,
    store_delay: float | None = None,
    most_events: int = 2_000_000,
) -> World:
    """Run the items through a dispatcher until it ends.

    Args:
        feed: how many items may be read before the next event.
        store_delay: seconds until a rejected row is kept; None: at once.
        most_events: a run that takes more of them counts as one that never ends.
    """
    happenings: list[tuple[float, int, Callable[[], None]]] = []
    sequence = 0

    def later(delay: float, action: Callable[[], None]) -> None:
        nonlocal sequence
        sequence += 1
        heapq.heappush(happenings, (world.now + delay, sequence, action))

    def on_rejected(rejected: Row, _answer: Answer) -> None:
        world.rejected.append(rejected.reference)
        if store_delay is None:
            dispatcher.rejection_stored(rejected)
        else:
            later(store_delay, lambda: dispatcher.rejection_stored(rejected))

    dispatcher = Dispatcher(max_concurrency, cap, on_rejected, random.Random(seed))
    world = World(dispatcher)
    tries: dict[int, int] = {}
    pending = list(reversed(items))

    def end(attempt: Attempt, answer: Answer) -> None:
        name = None if attempt.row.is_probe else attempt.row.reference
        world.events.append(("end", name, attempt.operation.payload["part"], answer.verdict))
        world.answers.append((attempt.started, world.now, answer))
        dispatcher.answered(attempt, answer, world.now)

    for _ in range(most_events):
        for _ in range(feed()):
            if not pending or dispatcher.full or dispatcher.failure:
                break
            item = pending.pop()
            if isinstance(item, Row):
                dispatcher.add_row(item)
            else:
                dispatcher.add_state(item)
        if not pending:
            dispatcher.end_input()
        while dispatcher.due(world.now) == 0:
            attempt = dispatcher.next(world.now)
            name = None if attempt.row.is_probe else attempt.row.reference
            world.events.append(("start", name, attempt.operation.payload["part"]))
            world.starts.append(world.now)
            world.most_in_flight = max(world.most_in_flight, dispatcher.in_flight)
            tried = tries.get(id(attempt), 0)
            tries[id(attempt)] = tried + 1
            answer, latency = server(attempt.operation, tried, world.now)
            later(latency, lambda attempt=attempt, answer=answer: end(attempt, answer))  # type: ignore[misc]
        for ready in dispatcher.take_ready():
            number = json.loads(ready.state.line)["state"]["id"]
            world.events.append(("state", number))
            world.states.append((number, ready.delivered, ready.rejected))
        if dispatcher.finished:
            return world
        due = dispatcher.due(world.now)
        if due == 0:
            continue
        if happenings and (due is None or happenings[0][0] <= world.now + due):
            when, _, action = heapq.heappop(happenings)
            world.now = max(world.now, when)
            action()
        elif due is not None:
            world.now += due
        elif not pending:
            raise AssertionError("nothing can happen any more, and the sync is not over")
    raise AssertionError("the sync does not end")
