from __future__ import annotations

from destination_cleverpush.delivery.checkpoints import Checkpoints
from destination_cleverpush.words import DueState, StreamId
from unit_tests.delivery.simulation import state

USERS, ORDERS = StreamId("users"), StreamId("orders")


def stats(due: list[DueState]) -> list[tuple[int, int, int]]:
    return [(state.content, delivered, rejected) for state, delivered, rejected in due]


def test_a_stream_state_counts_the_rows_of_its_stream_since_its_previous_state() -> None:
    checkpoints = Checkpoints()
    tickets = [checkpoints.admit(USERS), checkpoints.admit(ORDERS), checkpoints.admit(USERS)]
    checkpoints.add(state(1, "users"))
    tickets.append(checkpoints.admit(ORDERS))
    checkpoints.add(state(2, "orders"))
    for ticket in tickets:
        checkpoints.settle(ticket, rejected=ticket is tickets[2])
    assert stats(checkpoints.due()) == [(1, 1, 1), (2, 2, 0)]


def test_a_global_state_counts_the_rows_of_all_streams() -> None:
    checkpoints = Checkpoints()
    for stream in (USERS, ORDERS, StreamId("users", "public")):
        checkpoints.settle(checkpoints.admit(stream), rejected=False)
    checkpoints.add(state(1))
    checkpoints.add(state(2))
    assert stats(checkpoints.due()) == [(1, 3, 0), (2, 0, 0)]


def test_streams_of_one_name_in_two_namespaces_are_two_streams() -> None:
    checkpoints = Checkpoints()
    checkpoints.settle(checkpoints.admit(StreamId("users", "public")), rejected=False)
    checkpoints.add(state(1, "users"))
    assert stats(checkpoints.due()) == [(1, 0, 0)]


def test_states_leave_in_order_even_if_the_younger_is_ready_first() -> None:
    checkpoints = Checkpoints()
    first = checkpoints.admit(USERS)
    checkpoints.add(state(1, "users"))
    checkpoints.settle(checkpoints.admit(ORDERS), rejected=False)
    checkpoints.add(state(2, "orders"))
    assert not checkpoints.is_due
    assert checkpoints.due() == []
    checkpoints.settle(first, rejected=False)
    assert stats(checkpoints.due()) == [(1, 1, 0), (2, 1, 0)]
    assert checkpoints.due() == []


def test_the_size_of_waiting_states_is_known() -> None:
    checkpoints = Checkpoints()
    ticket = checkpoints.admit(USERS)
    checkpoints.add(state(1, "users"))
    assert checkpoints.size == 100
    checkpoints.settle(ticket, rejected=False)
    checkpoints.due()
    assert checkpoints.size == 0


def test_it_is_known_since_when_the_oldest_state_waits() -> None:
    checkpoints = Checkpoints()
    ticket = checkpoints.admit(USERS)
    checkpoints.add(state(1, "users"), 7.0)
    checkpoints.add(state(2, "users"), 9.0)
    assert checkpoints.oldest == 7.0
    checkpoints.settle(ticket, rejected=False)
    assert len(checkpoints.due()) == 2
    later = checkpoints.oldest
    assert later is None
