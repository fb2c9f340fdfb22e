from __future__ import annotations

import json

from destination_cleverpush.delivery.checkpoints import Checkpoints, ReadyState
from destination_cleverpush.protocol import StateKind, StreamId
from unit_tests.delivery.simulation import state

USERS, ORDERS = StreamId("users"), StreamId("orders")


def stats(ready: list[ReadyState]) -> list[tuple[int, int, int]]:
    return [(json.loads(state.line)["state"]["id"], delivered, rejected) for state, delivered, rejected in ready]


def test_a_stream_state_counts_the_rows_of_its_stream_since_its_previous_state() -> None:
    checkpoints = Checkpoints()
    tickets = [checkpoints.admit(USERS), checkpoints.admit(ORDERS), checkpoints.admit(USERS)]
    checkpoints.add(state(1, "users"))
    tickets.append(checkpoints.admit(ORDERS))
    checkpoints.add(state(2, "orders"))
    for ticket in tickets:
        checkpoints.settle(ticket, rejected=ticket is tickets[2])
    assert stats(checkpoints.ready()) == [(1, 1, 1), (2, 2, 0)]


def test_a_global_state_counts_the_rows_of_all_streams() -> None:
    checkpoints = Checkpoints()
    for stream in (USERS, ORDERS, StreamId("users", "public")):
        checkpoints.settle(checkpoints.admit(stream), rejected=False)
    checkpoints.add(state(1, kind=StateKind.GLOBAL))
    checkpoints.add(state(2, kind=StateKind.GLOBAL))
    assert stats(checkpoints.ready()) == [(1, 3, 0), (2, 0, 0)]


def test_streams_of_one_name_in_two_namespaces_are_two_streams() -> None:
    checkpoints = Checkpoints()
    checkpoints.settle(checkpoints.admit(StreamId("users", "public")), rejected=False)
    checkpoints.add(state(1, "users"))
    assert stats(checkpoints.ready()) == [(1, 0, 0)]


def test_states_leave_in_order_even_if_the_younger_is_ready_first() -> None:
    checkpoints = Checkpoints()
    first = checkpoints.admit(USERS)
    checkpoints.add(state(1, "users"))
    checkpoints.settle(checkpoints.admit(ORDERS), rejected=False)
    checkpoints.add(state(2, "orders"))
    assert checkpoints.ready() == []
    checkpoints.settle(first, rejected=False)
    assert stats(checkpoints.ready()) == [(1, 1, 0), (2, 1, 0)]
    assert checkpoints.ready() == []


def test_the_size_of_waiting_states_is_known() -> None:
    checkpoints = Checkpoints()
    ticket = checkpoints.admit(USERS)
    checkpoints.add(state(1, "users"))
    assert checkpoints.size == len(state(1, "users").line)
    checkpoints.settle(ticket, rejected=False)
    checkpoints.ready()
    assert checkpoints.size == 0
