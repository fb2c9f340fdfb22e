"""A world for the dispatcher: a clock that jumps from event to event, and a server that answers as it is told.

It notes what happened, so that tests can judge it with their own, independent reading of the rules.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from destination_cleverpush.delivery.dispatcher import Attempt, Bounds, Dispatcher
from destination_cleverpush.words import Action, Answer, Job, Operation, Reason, State, StreamId, Verdict
from unit_tests.scripts import one_by_one

Server = Callable[[Operation, int, float], tuple[Answer, float]]
"""An operation, how often it was tried before, and the time in seconds, to the answer and its latency in seconds."""

ADD = Action("add", {"only": "/add"})
UNWELCOME = Reason("payload_refused", "Mend the row.")
BROKEN = Reason("server_error", "Send it again.")
TAKEN = Answer(Verdict.DELIVERED)
REFUSED = Answer(Verdict.REJECTED, UNWELCOME, "answered 400", 400, "no")
FAILED = Answer(Verdict.RETRY, BROKEN, "answered 500", 500)


class Named(NamedTuple):
    """What a job of a test comes from: a row of this name, with so many calls."""

    name: str
    calls: int


def throttled(delay: float | None = None) -> Answer:
    return Answer(Verdict.THROTTLED, BROKEN, "answered 429", 429, delay=delay, congested=True)


def job(name: str, lane: str = "s1", operations: int = 1, stream: str = "users", *, refused: bool = False) -> Job:
    """A row whose operations carry its name, so that the server's side can be matched with the input's."""
    calls = [] if refused else [Operation(ADD, {"row": name, "part": n}) for n in range(operations)]
    return Job(
        StreamId(stream),
        lane if calls else "",
        one_by_one(calls) if calls else None,
        Named(name, len(calls)),
        size=10,
        refusal=Answer(Verdict.REJECTED, UNWELCOME, "tags is missing or empty.") if refused else None,
    )


def state(number: int, stream: str | None = None) -> State:
    """A state that can be told by its number; without a stream, one of all streams."""
    return State(StreamId(stream) if stream else None, 100, number)


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
    items: Sequence[Job | State],
    server: Server,
    *,
    max_concurrency: int = 8,
    cap: float | None = None,
    seed: int = 0,
    feed: Callable[[], int] = lambda: 1_000_000,
    store_delay: float | None = None,
    witness: Operation | None = None,
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

    def settled(done: Job) -> None:
        if done.refusal is not None:
            world.rejected.append(done.origin.name)
        later(store_delay if done.refusal is not None and store_delay else 0.0, lambda: release(done))

    def release(done: Job) -> None:
        for due in dispatcher.release([done]):
            world.events.append(("state", due.state.content))
            world.states.append((due.state.content, due.delivered, due.rejected))

    dispatcher = Dispatcher(Bounds(max_concurrency, cap), settled, random.Random(seed), witness, "api.example")
    world = World(dispatcher)
    tries: dict[int, int] = {}
    pending = list(reversed(items))

    def end(attempt: Attempt, answer: Answer) -> None:
        name = attempt.job and attempt.job.origin.name
        world.events.append(("end", name, attempt.operation.payload["part"], answer.verdict))
        world.answers.append((attempt.started, world.now, answer))
        dispatcher.answered(attempt, answer, world.now)

    for _ in range(most_events):
        for _ in range(feed()):
            if not pending or dispatcher.full or dispatcher.failure:
                break
            item = pending.pop()
            if isinstance(item, Job):
                dispatcher.add(item)
            else:
                dispatcher.add_state(item)
        if not pending:
            dispatcher.end_input()
        while dispatcher.due(world.now) == 0:
            attempt = dispatcher.next(world.now)
            name = attempt.job and attempt.job.origin.name
            world.events.append(("start", name, attempt.operation.payload["part"]))
            world.starts.append(world.now)
            world.most_in_flight = max(world.most_in_flight, dispatcher.in_flight)
            tried = tries.get(id(attempt), 0)
            tries[id(attempt)] = tried + 1
            answer, latency = server(attempt.operation, tried, world.now)
            later(latency, lambda attempt=attempt, answer=answer: end(attempt, answer))  # type: ignore[misc]
        for due_state in dispatcher.release([]):
            world.events.append(("state", due_state.state.content))
            world.states.append((due_state.state.content, due_state.delivered, due_state.rejected))
        if dispatcher.finished and not happenings:
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
        elif not pending and not dispatcher.finished:
            raise AssertionError("nothing can happen any more, and the sync is not over")
    raise AssertionError("the sync does not end")
