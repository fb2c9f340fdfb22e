"""Ten thousand rows of each object: all arrive, in order within each subscription, and so do all states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from integration_tests.messages import Message, Row, catalog, record, stream_state
from integration_tests.platform_double import run_write
from integration_tests.simulator.process import start_simulator

ROWS = 10_000
SUBSCRIPTIONS = [f"s{n}" for n in range(400)]
CHANNEL = {"_id": "Channel-1", "attributes": ["user_id", "visits"], "subscriptions": SUBSCRIPTIONS}
TAGS = [f"t{n}" for n in range(ROWS)]


def subscription_row(n: int) -> Row:
    return {"subscription_id": SUBSCRIPTIONS[n * n % 400], "phone": f"+49{n}", "visits": n}


def tag_row(n: int) -> Row:
    """A row that marks its subscription with its own number; every third takes the mark of the row before it away."""
    if n % 3 == 2:
        return {"subscription_id": SUBSCRIPTIONS[(n - 1) * (n - 1) % 400], "tags": TAGS[n - 1], "gone": True}
    return {"subscription_id": SUBSCRIPTIONS[n * n % 400], "tags": TAGS[n]}


def with_states(rows: Iterator[Row]) -> Iterator[Message]:
    """The rows, and a state after each."""
    for n, row in enumerate(rows):
        yield record(row)
        yield stream_state(n)


@pytest.mark.slow
@pytest.mark.parametrize("object_type", ["subscriptions", "tags"])
def test_ten_thousand_rows(object_type: str) -> None:
    row = subscription_row if object_type == "subscriptions" else tag_row
    channel = {**CHANNEL, "tags": TAGS}
    account = {"api_key": "private-key", "channels": [channel]}
    with start_simulator(accounts=[account], latency={"low": 0.0, "high": 0.01}) as simulator:
        config = simulator.connector_config(object_type, audience_mode="mirror", removed_field="gone")
        result = run_write(config, catalog(), with_states(row(n) for n in range(ROWS)))

        assert result.exit_code == 0
        assert result.counts == [(1.0, 0.0)] * ROWS
        order: defaultdict[str, list[int]] = defaultdict(list)
        expected: defaultdict[str, list[int]] = defaultdict(list)
        for call in simulator.calls():
            if not (body := call["json"]):
                continue  # a read
            number = body["customAttributes"]["visits"] if object_type == "subscriptions" else body["tagId"]
            whose = body["customAttributes"]["user_id"] if object_type == "subscriptions" else call["subscription"]
            order[whose].append(number)
        for n in range(ROWS):
            expected[row(n)["subscription_id"]].append(n if object_type == "subscriptions" else row(n)["tags"])
        assert order == expected
        assert simulator.stats()["most_in_flight_per_subscription"] == 1
        assert simulator.stats()["most_in_flight"] > 1
        if object_type == "tags":  # what was added and taken away again, in this order, is not there
            held = {tag for s in simulator.state()["subscriptions"] for tag in s["tags"]}
            assert held == {TAGS[n] for n in range(ROWS) if n % 3 == 0}
