"""The rules of the valve, on the real delivery code with a clock of the test's own."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_cleverpush.delivery.dispatcher import Bounds, Dispatcher
from destination_cleverpush.errors import FailureKind, config_error, transient_error
from destination_cleverpush.words import (
    Action,
    Answer,
    Job,
    Operation,
    RowRejected,
    Script,
    State,
    StreamId,
    Tolerance,
    Verdict,
)
from unit_tests.delivery.simulation import (
    ADD,
    BROKEN,
    FAILED,
    REFUSED,
    TAKEN,
    UNWELCOME,
    Server,
    World,
    job,
    simulate,
    state,
    throttled,
)
from unit_tests.scripts import one_by_one


def always(answer: Answer, latency: float = 0.05) -> Server:
    return lambda _operation, _tried, _now: (answer, latency)


def by_row(answers: dict[str, list[Answer]], latency: float = 0.05) -> Server:
    """The answers for a row's tries in order, the last one for ever; other rows are taken."""

    def server(operation: Operation, tried: int, _now: float) -> tuple[Answer, float]:
        script = answers.get(operation.payload["row"], [TAKEN])
        return script[min(tried, len(script) - 1)], latency

    return server


def starts_of(world: World) -> list[object]:
    return [event[1] for event in world.events if event[0] == "start"]


# --- examples


def test_rows_of_one_subscription_go_one_after_the_other() -> None:
    world = simulate([job("a", "s1"), job("b", "s1"), job("c", "s1")], always(TAKEN))
    assert [(event[0], event[1]) for event in world.events] == [
        ("start", "a"), ("end", "a"), ("start", "b"), ("end", "b"), ("start", "c"), ("end", "c"),
    ]  # fmt: skip


def test_a_hot_subscription_does_not_stop_the_others() -> None:
    hot = [job(f"hot{n}", "hot") for n in range(100)]
    world = simulate([*hot, *(job(f"cold{n}", f"s{n}") for n in range(10))], always(TAKEN))
    started = starts_of(world)
    assert started.index("cold9") < started.index("hot10")


def test_the_calls_of_one_row_go_one_after_the_other_before_the_next_row_and_other_lanes_go_on() -> None:
    world = simulate([job("a", "s1", operations=3), job("b", "s1"), job("c", "s2")], always(TAKEN))
    of_s1 = [event[:3] for event in world.events if event[1] in ("a", "b")]
    parts: list[tuple[str, int]] = [("a", 0), ("a", 1), ("a", 2), ("b", 0)]
    assert of_s1 == [(what, *part) for part in parts for what in ("start", "end")]
    assert starts_of(world)[1] == "c"


def test_a_script_hears_each_answer_and_may_reject_the_row_or_fail_the_sync() -> None:
    heard: list[Answer] = []

    def script(end: Exception | None) -> Script:
        for part in range(2):
            heard.append((yield Operation(ADD, {"row": "a", "part": part})))
        if end is not None:
            raise end

    def run(end: Exception | None) -> World:
        scripted = job("a")
        scripted.script = script(end)
        return simulate([scripted, state(1, "users")], by_row({"a": [TAKEN]}))

    assert run(None).states == [(1, 1, 0)]
    assert heard == [TAKEN, TAKEN]
    rejected = run(RowRejected(UNWELCOME, "It is ambiguous."))
    assert rejected.states == [(1, 0, 1)]
    failed = run(config_error("no"))
    assert failed.dispatcher.failure is not None
    assert failed.states == []


def test_a_script_sees_to_the_answers_that_its_call_tolerates() -> None:
    gone = replace(REFUSED, gone=True)
    fatal = Answer(Verdict.FATAL, failure=config_error("no"))

    def rejected(answer: Answer, tolerates: Tolerance) -> World:
        scripted = job("a")
        scripted.script = one_by_one([Operation(ADD, {"row": "a", "part": n}, tolerates) for n in range(2)])
        return simulate([scripted, state(1, "users")], by_row({"a": [answer, TAKEN]}))

    for answer in (gone, REFUSED, fatal):
        assert rejected(answer, Tolerance.ANYTHING).states == [(1, 1, 0)]
    assert rejected(gone, Tolerance.GONE).states == [(1, 1, 0)]
    assert rejected(REFUSED, Tolerance.GONE).states == rejected(gone, Tolerance.NOTHING).states == [(1, 0, 1)]
    assert rejected(fatal, Tolerance.GONE).states == []


def test_reads_that_work_while_every_write_fails_make_no_row_the_culprit() -> None:
    look_up = Action("look_up", {"plain": "GET /one"})

    def script(name: str) -> Script:
        yield Operation(look_up, {"row": name, "part": 0})
        yield Operation(ADD, {"row": name, "part": 1})

    def server(operation: Operation, _tried: int, _now: float) -> tuple[Answer, float]:
        return (TAKEN if operation.action is look_up else FAILED), 0.1

    rows = [job(f"r{number}", f"s{number}") for number in range(300)]
    for each in rows:
        each.script = script(each.origin.name)
    world = simulate([*rows, state(1, "users")], server)
    assert world.rejected == []
    assert world.dispatcher.failure is not None
    assert world.dispatcher.failure.message.startswith(
        "CleverPush is out of reach: api.example answered 500, and nothing"
    )


def test_reads_alone_that_fail_now_and_then_are_no_outage() -> None:
    look_up = Action("look_up", {"plain": "GET /one"})
    rows = [job(f"r{number}", f"s{number}") for number in range(300)]
    for each in rows:
        each.script = one_by_one([Operation(look_up, {"row": each.origin.name, "part": 0})])
    world = simulate([*rows, state(1, "users")], by_row({"r1": [FAILED, TAKEN], "r2": [FAILED, FAILED, TAKEN]}))
    assert world.states == [(1, 300, 0)]


def test_a_script_without_a_call_is_delivered_when_its_turn_comes() -> None:
    quiet = [job(f"q{n}") for n in range(5000)]
    for each in quiet:
        each.script = one_by_one([])
    world = simulate([job("a"), *quiet, job("b"), state(1, "users")], always(TAKEN))
    assert starts_of(world) == ["a", "b"]
    assert world.states == [(1, 5002, 0)]


def test_a_retried_row_holds_only_its_own_lane() -> None:
    world = simulate([job("a", "s1"), job("a2", "s1"), job("b", "s2")], by_row({"a": [FAILED, FAILED, FAILED, TAKEN]}))
    assert starts_of(world) == ["a", "b", "a", "a", "a", "a2"]
    assert world.rejected == []
    assert world.dispatcher.retries == 3


def test_a_state_waits_for_all_rows_before_it_and_for_none_after_it() -> None:
    world = simulate(
        [job("a", "s1"), job("b", "s2", stream="orders"), state(1, "users"), job("c", "s3"), state(2, "users")],
        by_row({"b": [FAILED, TAKEN]}),
    )
    assert [event for event in world.events if event[0] == "state"] == [("state", 1), ("state", 2)]
    end_of_b = max(n for n, event in enumerate(world.events) if event[:2] == ("end", "b"))
    assert world.events.index(("state", 1)) > end_of_b
    assert world.states == [(1, 1, 0), (2, 1, 0)]


def test_a_refused_row_is_rejected_and_counted() -> None:
    world = simulate([job("a"), job("b", "s2"), job("c", refused=True), state(1, "users")], by_row({"b": [REFUSED]}))
    assert sorted(world.rejected) == ["b", "c"]
    assert world.states == [(1, 1, 2)]


def test_a_rejected_row_holds_its_state_until_it_is_kept() -> None:
    world = simulate([job("a", refused=True), state(1, "users")], always(TAKEN), store_delay=5.0)
    assert world.states == [(1, 0, 1)]
    assert world.now >= 5.0


def test_poison_is_rejected_while_others_get_through() -> None:
    rows: list[Job | State] = [job("poison", "s0"), *(job(f"r{n}", f"s{n % 7 + 1}") for n in range(2000))]
    world = simulate([*rows, state(1, "users")], by_row({"poison": [FAILED]}))
    assert world.rejected == ["poison"]
    assert starts_of(world).count("poison") == 4
    assert world.states == [(1, 2000, 1)]


def test_a_row_that_failed_in_a_short_outage_alone_is_not_rejected_after_it() -> None:
    def server(_operation: Operation, _tried: int, now: float) -> tuple[Answer, float]:
        return (FAILED if 5.0 < now < 35.0 else TAKEN), 0.05

    world = simulate([*(job(f"r{n}", f"s{n}") for n in range(2000)), state(1, "users")], server, max_concurrency=4)
    assert world.now > 35.0
    assert world.dispatcher.failure is None
    assert world.rejected == []
    assert world.states == [(1, 2000, 0)]


def test_poison_in_the_very_last_row_is_told_from_an_outage_by_sending_a_delivered_operation_again() -> None:
    world = simulate([job("a", "s1"), job("poison", "s2"), state(1, "users")], by_row({"poison": [FAILED]}))
    assert world.rejected == ["poison"]
    assert starts_of(world) == ["a", *["poison"] * 4, None, "poison"]
    assert world.states == [(1, 1, 1)]


def test_poison_behind_a_delivered_row_of_the_same_subscription() -> None:
    items: list[Job | State] = [job("a"), job("poison"), job("b"), state(1, "users")]
    world = simulate(items, by_row({"poison": [FAILED]}))
    assert world.rejected == ["poison"]
    assert starts_of(world)[-3:] == [None, "poison", "b"]
    assert world.states == [(1, 2, 1)]


def failing_at_random(share: float) -> Server:
    """A server that answers this share of all calls with 500, and all calls for the row "poison"."""
    rng = random.Random(1)

    def server(operation: Operation, _tried: int, _now: float) -> tuple[Answer, float]:
        return (FAILED if operation.payload["row"] == "poison" or rng.random() < share else TAKEN), 0.05

    return server


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_calls_that_fail_at_random_reject_no_good_row(share: float) -> None:
    rows: list[Job | State] = [job(f"r{n}", f"s{n}") for n in range(2000)]
    world = simulate([*rows[:1000], job("poison", "s0"), *rows[1000:], state(1, "users")], failing_at_random(share))
    assert world.dispatcher.failure is None
    assert world.rejected == ["poison"]
    assert world.states == [(1, 2000, 1)]


def test_where_most_calls_fail_at_random_poison_cannot_be_told_and_the_sync_ends() -> None:
    rows = [job(f"r{n}", f"s{n}") for n in range(500)]
    world = simulate([job("poison", "p"), *rows], failing_at_random(0.85))
    assert world.rejected == []
    assert world.dispatcher.failure is not None
    assert world.dispatcher.failure.kind is FailureKind.TRANSIENT
    assert starts_of(world).count("poison") <= 60


def test_doubt_is_settled_although_the_lane_for_the_probe_was_busy_with_its_last_row() -> None:
    def server(operation: Operation, _tried: int, _now: float) -> tuple[Answer, float]:
        name = operation.payload["row"]
        return (FAILED, 0.1) if name == "y" else (TAKEN, 60.0 if name == "x2" else 0.1)

    world = simulate([job("x1", "x"), job("x2", "x"), job("y", "y")], server)
    assert world.dispatcher.failure is None
    assert world.rejected == ["y"]


def test_a_minute_in_which_nothing_gets_through_from_the_beginning_is_an_outage() -> None:
    world = simulate([job("a", "s1"), job("b", "s2"), state(1, "users")], always(FAILED))
    assert world.dispatcher.failure is not None
    assert world.dispatcher.failure.kind is FailureKind.TRANSIENT
    assert "out of reach" in world.dispatcher.failure.message
    assert 60 <= world.now <= 80
    assert world.rejected == []
    assert world.states == []


def test_while_nothing_succeeds_one_call_at_a_time_feels_its_way() -> None:
    world = simulate([job(f"r{n}", f"s{n}") for n in range(2000)], always(FAILED, 0.01), max_concurrency=64)
    assert world.dispatcher.failure is not None
    assert len(world.starts) < 40
    pauses = [later - start for start, later in zip(world.starts[6:], world.starts[7:], strict=False)]
    assert pauses == pytest.approx(sorted(pauses))
    assert world.rejected == []


def test_the_limit_opens_again_with_the_first_success() -> None:
    def server(_operation: Operation, _tried: int, now: float) -> tuple[Answer, float]:
        return (FAILED if now < 20.0 else TAKEN), 0.05

    world = simulate([job(f"r{n}", f"s{n}") for n in range(3000)], server, max_concurrency=16)
    assert world.dispatcher.failure is None
    assert world.rejected == []
    first = next(end for _, end, answer in world.answers if answer is TAKEN)
    assert world.now - first < 3000 * 0.05 / 16 + 5


def test_calls_that_time_out_are_an_outage_after_a_minute_too() -> None:
    silent = Answer(Verdict.RETRY, BROKEN, "gave no answer within 3 s", congested=True)

    def server(_operation: Operation, _tried: int, now: float) -> tuple[Answer, float]:
        return (TAKEN, 0.05) if now < 10.0 else (silent, 3.0)

    world = simulate([job(f"r{n}", f"s{n}") for n in range(20_000)], server, max_concurrency=16)
    assert world.dispatcher.failure is not None
    assert re.match(
        r"CleverPush is out of reach: api.example gave no answer within 3 s, and nothing got through for \d+ seconds. ",
        world.dispatcher.failure.message,
    )
    assert 70 <= world.now <= 10 + 3 + 60 + 15 + 3


def test_where_there_is_but_one_row_a_read_tells_whether_it_is_poison() -> None:
    read = Operation(ADD, {"row": "read", "part": 0})

    def run(answers: dict[str, list[Answer]], *rows: Job) -> World:
        return simulate([*rows, state(1, "users")], by_row(answers), witness=read)

    poisonous = run({"a": [FAILED]}, job("a"))
    assert poisonous.rejected == ["a"]
    assert poisonous.states == [(1, 0, 1)]
    assert 60 <= poisonous.now <= 90
    alone = run({"a": [FAILED], "read": [FAILED]}, job("a"))
    two = run({"a": [FAILED], "b": [FAILED]}, job("a"), job("b", "s2"))
    for out in (alone, two):
        assert out.dispatcher.failure is not None
        assert out.rejected == []
        assert out.states == []


def test_where_the_connector_runs_out_of_connections_fewer_are_in_flight_and_no_row_is_judged() -> None:
    exhausted = Answer(Verdict.RETRY, BROKEN, "could not be connected to", local=True)
    in_flight: list[float] = []
    refused = 0

    def server(_operation: Operation, _tried: int, now: float) -> tuple[Answer, float]:
        nonlocal refused
        in_flight[:] = [end for end in in_flight if end > now]
        if len(in_flight) >= 8:
            refused += 1
            return exhausted, 0.001
        in_flight.append(now + 0.05)
        return TAKEN, 0.05

    world = simulate([job(f"r{n}", f"s{n}") for n in range(4000)], server, max_concurrency=256)
    assert world.dispatcher.failure is None
    assert world.rejected == []
    assert refused < 200
    assert world.now < 4000 * 0.05 / 8 * 1.5


def test_nothing_is_taken_for_fifteen_minutes_and_no_answer_comes() -> None:
    valve = Dispatcher(Bounds(), lambda _job: None)
    valve.add(job("a", "s1"))
    valve.add(job("b", "s2"))
    valve.answered(valve.next(0.0), throttled(1.0), 0.5)
    assert valve.watch(0.5) == pytest.approx(15 * 60 - 0.5)
    valve.next(2.0)
    assert valve.watch(15 * 60 + 1.0) is not None
    assert valve.failure is not None
    assert "took nothing for 15 minutes" in valve.failure.message


@pytest.mark.parametrize("in_flight_at_the_end", [0.05, 2.0])
def test_an_outage_in_the_middle_rejects_nothing(in_flight_at_the_end: float) -> None:
    """Also not by answers to requests that were in flight when it began."""

    def server(_operation: Operation, _tried: int, now: float) -> tuple[Answer, float]:
        return (TAKEN, in_flight_at_the_end) if now < 10 else (FAILED, 0.01)

    items: list[Job | State] = []
    for n in range(5000):
        items += [job(f"r{n}", f"s{n}"), state(n, "users")]
    world = simulate(items, server)
    assert world.rejected == []
    assert world.dispatcher.failure is not None
    assert "out of reach" in str(world.dispatcher.failure.message)
    assert 0 < len(world.states) < 5000
    assert [number for number, *_ in world.states] == list(range(len(world.states)))


def test_nobody_knocks_while_the_server_asked_to_wait() -> None:
    def server(_operation: Operation, _tried: int, now: float) -> tuple[Answer, float]:
        return (throttled(30.0), 0.05) if 1.0 <= now < 1.05 else (TAKEN, 0.05)

    world = simulate([job(f"r{n}", f"s{n}") for n in range(2000)], server, max_concurrency=16)
    told = [end for _, end, answer in world.answers if answer.verdict is Verdict.THROTTLED]
    assert told
    assert not [start for start in world.starts if min(told) < start < max(told) + 30.0]
    assert world.rejected == []
    resumed = [start for start in world.starts if start >= max(told) + 30.0]
    assert len([start for start in resumed if start < resumed[0] + 0.01]) <= 4, "they came back in one instant"


def test_refusals_are_not_counted_as_retries() -> None:
    world = simulate([job("a")], by_row({"a": [throttled()] * 20 + [TAKEN]}))
    assert world.rejected == []
    assert world.dispatcher.failure is None
    assert world.dispatcher.retries == 0
    assert starts_of(world).count("a") == 21


def test_a_delay_of_more_than_fifteen_minutes_ends_the_sync() -> None:
    world = simulate([job("a")], always(throttled(15 * 60 + 1.0)))
    assert world.dispatcher.failure is not None
    assert "15 minutes" in str(world.dispatcher.failure.message)


def test_fifteen_minutes_without_a_success_end_the_sync() -> None:
    world = simulate([job("a")], always(throttled(60.0)))
    assert world.dispatcher.failure is not None
    assert world.dispatcher.failure.kind is FailureKind.TRANSIENT
    assert 15 * 60 <= world.now <= 17 * 60


def test_retry_after_on_503_holds_everybody() -> None:
    busy = Answer(Verdict.RETRY, BROKEN, "answered 503", 503, delay=7.0, congested=True)
    world = simulate([job("a", "s1"), job("b", "s1")], by_row({"a": [busy, TAKEN]}))
    assert world.starts[1] >= world.answers[0][1] + 7.0
    assert world.dispatcher.retries == 1


def test_a_hard_cap_is_held_evenly() -> None:
    world = simulate([job(f"r{n}", f"s{n}") for n in range(1000)], always(TAKEN, 0.01), cap=50.0)
    assert world.now == pytest.approx(20.0, rel=0.05)
    for start in world.starts[::50]:
        assert len([s for s in world.starts if start <= s < start + 1.0]) <= 53


def test_no_more_in_flight_than_allowed_and_all_of_it_used() -> None:
    world = simulate([job(f"r{n}", f"s{n}") for n in range(1000)], always(TAKEN), max_concurrency=5)
    assert world.most_in_flight == 5


def test_a_fatal_answer_stops_all_and_lets_what_is_in_flight_end() -> None:
    fatal = Answer(Verdict.FATAL, failure=transient_error("no"))
    items = [job(f"r{n}", f"s{n}") for n in range(100)]
    world = simulate([*items[:50], state(1, "users"), *items[50:], state(2, "users")], by_row({"r60": [fatal]}))
    assert world.states[0] == (1, 50, 0)
    assert len(world.states) == 1
    assert len([e for e in world.events if e[0] == "start"]) == len([e for e in world.events if e[0] == "end"])


def test_memory_is_bounded_by_rows_and_by_bytes() -> None:
    valve = Dispatcher(Bounds(most_rows=100), lambda _job: None)
    for n in range(100):
        assert not valve.full
        valve.add(job(f"r{n}", f"s{n}"))
    assert valve.full
    valve = Dispatcher(Bounds(most_bytes=1_000), lambda _job: None)
    valve.add(job("a"))
    assert not valve.full
    valve.add_state(State(None, 990, "state"))
    assert valve.full


def test_the_pulse_says_what_the_oldest_state_waits_for() -> None:
    settled: list[Job] = []
    valve = Dispatcher(Bounds(), settled.append, random.Random(0))
    assert valve.pulse(5.0).oldest_state_seconds == 0.0
    valve.add(job("a"))
    valve.add_state(state(1, "users"), 10.0)
    attempt = valve.next(10.0)
    assert (valve.pulse(12.0).oldest_state_seconds, valve.pulse(12.0).cause) == (2.0, "CleverPush's answers")
    valve.answered(attempt, FAILED, 12.0)
    assert valve.pulse(12.0).cause == "1 call that failed and will be tried again"
    assert valve.due(100.0) == 0.0
    attempt = valve.next(100.0)
    valve.answered(attempt, throttled(30.0), 100.0)
    assert valve.pulse(101.0).cause == "the end of a pause that CleverPush asked for (29 s)"
    assert valve.due(200.0) == 0.0
    valve.answered(valve.next(200.0), REFUSED, 200.0)
    assert valve.pulse(201.0).cause == "rejected rows to be stored"
    assert [due.state.content for due in valve.release(settled)] == [1]


# --- properties: whatever happens, in whatever order

ANSWERS = st.sampled_from([TAKEN] * 6 + [REFUSED, FAILED, FAILED, throttled(), throttled(3.0)])


@st.composite
def inputs(draw: st.DrawFn) -> list[Job | State]:
    items: list[Job | State] = []
    for n in range(draw(st.integers(1, 40))):
        stream = draw(st.sampled_from(["users", "orders"]))
        match draw(st.sampled_from(["row"] * 5 + ["refused", "stream", "all"])):
            case "row":
                lane = draw(st.sampled_from(["s1", "s2", "s3"]))
                items.append(job(f"r{n}", lane, draw(st.integers(0, 3)), stream))
            case "refused":
                items.append(job(f"r{n}", stream=stream, refused=True))
            case "stream":
                items.append(state(n, stream))
            case _:
                items.append(state(n))
    return items


@settings(max_examples=400, deadline=None)
@given(
    items=inputs(),
    script=st.lists(ANSWERS, max_size=60),
    latencies=st.lists(st.floats(0.001, 3.0), min_size=1, max_size=20),
    max_concurrency=st.integers(1, 8),
    healthy_after=st.booleans(),
    store_delay=st.sampled_from([None, 0.0, 2.0]),
    seed=st.integers(0, 2**16),
)
def test_whatever_happens_the_rules_hold(  # noqa: PLR0917 - hypothesis calls it by names
    items: list[Job | State],
    script: list[Answer],
    latencies: list[float],
    max_concurrency: int,
    healthy_after: bool,
    store_delay: float | None,
    seed: int,
) -> None:
    rng = random.Random(seed)
    calls = 0

    def server(_operation: Operation, _tried: int, _now: float) -> tuple[Answer, float]:
        nonlocal calls
        calls += 1
        answer = script[calls - 1] if calls <= len(script) else TAKEN if healthy_after else FAILED
        return answer, rng.choice(latencies)

    world = simulate(
        items, server, max_concurrency=max_concurrency, seed=seed,
        feed=lambda: rng.choice([0, 1, 2, 5, 50]), store_delay=store_delay,
    )  # fmt: skip
    rows = [item for item in items if isinstance(item, Job)]
    done = settled_rows(world, rows)
    assert_order_per_lane(world, rows)
    assert_states(world, items, done)
    assert len(world.rejected) == len(set(world.rejected)), "a row was rejected twice"
    if world.dispatcher.failure is None:
        assert done == {r.origin.name for r in rows}
        assert len(world.states) == len([item for item in items if isinstance(item, State)])


def settled_rows(world: World, rows: list[Job]) -> set[object]:
    """Rejected rows, and rows all of whose calls were taken: as the server saw it."""
    taken: dict[object, set[object]] = defaultdict(set)
    for event in world.events:
        if event[0] == "end" and event[3] is Verdict.DELIVERED:
            taken[event[1]].add(event[2])
    delivered = {
        r.origin.name
        for r in rows
        if r.origin.name not in world.rejected and len(taken[r.origin.name]) == r.origin.calls
    }
    return delivered | set(world.rejected)


def assert_order_per_lane(world: World, rows: list[Job]) -> None:
    """Between the first start and the last end of a row, no other row of its lane has any event."""
    lane_of = {r.origin.name: r.lane for r in rows}
    order = {r.origin.name: n for n, r in enumerate(rows)}
    seen: dict[str, list[object]] = defaultdict(list)
    under_way: dict[str, int] = defaultdict(int)
    for event in world.events:
        if event[0] in ("start", "end") and event[1] is not None:
            name = lane_of[event[1]]
            under_way[name] += 1 if event[0] == "start" else -1
            assert under_way[name] in (0, 1), "two calls for one subscription at a time"
            lane = seen[lane_of[event[1]]]
            if not lane or lane[-1] != event[1]:
                lane.append(event[1])
    for names in seen.values():
        assert names == sorted(names, key=order.__getitem__), "rows of one subscription overlapped or changed places"
        assert len(names) == len(set(names))


def assert_states(world: World, items: list[Job | State], done: set[object]) -> None:
    """States leave in order, none before its rows, with the counts that a plain reading of the input gives."""
    expected: list[tuple[int, int, int]] = []
    covered: set[object] = set()
    rejected = set(world.rejected)
    numbers = {event[1] for event in world.events if event[0] == "state"}
    before: list[Job] = []
    open_rows: dict[str, list[Job]] = defaultdict(list)
    for number, item in enumerate(items):
        if isinstance(item, Job):
            before.append(item)
            open_rows[item.stream.name].append(item)
            continue
        counted = open_rows.pop(item.stream.name, []) if item.stream else [r for rs in open_rows.values() for r in rs]
        if item.stream is None:
            open_rows.clear()
        bad = len([r for r in counted if r.origin.name in rejected])
        expected.append((number, len(counted) - bad, bad))
        if number in numbers:
            covered |= {r.origin.name for r in before}
    assert world.states == expected[: len(world.states)]
    assert covered <= done, "a state left before its rows"


def test_a_call_that_finds_no_route_judges_nobody_and_others_are_tried_first() -> None:
    lost = replace(FAILED, local=True, lost=True)
    seen: list[object] = []

    def server(operation: Operation, _tried: int, _now: float) -> tuple[Answer, float]:
        seen.append(operation.payload["row"])
        if len(set(seen)) == 10:
            return Answer(Verdict.FATAL, failure=config_error("There is no route.")), 0.05
        return lost, 0.05

    world = simulate([job(f"r{n}", f"s{n}") for n in range(100)], server)
    assert world.dispatcher.failure is not None
    assert world.dispatcher.failure.message == "There is no route."
    assert world.now < 5.0
    assert world.rejected == []
    assert world.dispatcher.retries == 0


def test_what_later_refusals_of_a_row_name_is_told_with_the_first() -> None:
    def script() -> Script:
        yield from one_by_one([Operation(ADD, {"row": "a", "part": part}) for part in range(2)])
        raise RowRejected(BROKEN, "It is no good.", ["c"])

    refused = Job(StreamId("users"), "s1", script())
    dispatcher = Dispatcher(Bounds(), lambda _job: None)
    dispatcher.add(refused)
    for name in ("a", "b"):
        attempt = dispatcher.next(0.0)
        dispatcher.answered(attempt, replace(REFUSED, named=(name,)), 0.1)
    assert refused.refusal == replace(REFUSED, named=("a", "b", "c"))


def test_what_is_refused_without_a_call_counts_as_none() -> None:
    refused = job("a")
    dispatcher = Dispatcher(Bounds(), lambda _job: None)
    dispatcher.add(refused)
    dispatcher.answered(dispatcher.next(0.0), replace(REFUSED, status=None, named=("t1",)), 0.0)
    assert (dispatcher.calls.total(), refused.attempts, refused.refusal and refused.refusal.named) == (0, 0, ("t1",))


def test_the_limit_grows_as_fast_where_answers_come_together() -> None:
    dispatcher = Dispatcher(Bounds(32), lambda _: None)
    for number in range(100):
        dispatcher.add(job(f"r{number}", f"s{number}"))
    now = 0.0
    limits: list[int] = []
    for _ in range(3):
        attempts = []
        while dispatcher.due(now) == 0:
            attempts.append(dispatcher.next(now))
        now += 1.0
        at_limit = dispatcher.at_limit
        for attempt in attempts:
            dispatcher.answered(attempt, TAKEN, now, at_limit=at_limit)
        limits.append(dispatcher.limit.value)
    assert limits == [8, 16, 32]
