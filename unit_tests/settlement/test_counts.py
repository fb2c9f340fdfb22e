"""What has become of the rows."""

from __future__ import annotations

from collections import Counter

from destination_cleverpush.settlement.counts import Counts, StreamCounts, total
from destination_cleverpush.words import StreamId
from unit_tests.settlement.outcomes import MISSING_TAGS, UNKNOWN_TAG, delivered, refused

USERS, ORDERS = StreamId("users"), StreamId("orders")


def test_rows_are_counted_by_stream_and_reason() -> None:
    counts = Counts()
    counts.add([delivered(1), delivered(2, attempts=0), refused(3), refused(4, reason=MISSING_TAGS), refused(5)])
    counts.add([delivered(1, "orders")])
    assert counts.of(USERS) == StreamCounts(2, 1, Counter({UNKNOWN_TAG: 2, MISSING_TAGS: 1}))
    assert counts.of(ORDERS) == StreamCounts(1)
    assert counts.of(USERS).settled == 5
    assert counts.total == total(counts.streams) == StreamCounts(3, 1, Counter({UNKNOWN_TAG: 2, MISSING_TAGS: 1}))


def test_a_stream_of_which_nothing_was_settled() -> None:
    counts = Counts()
    assert counts.of(USERS) == StreamCounts()
    assert counts.of(USERS).settled == 0
    assert counts.total == StreamCounts()
    assert counts.streams == {}, "a question leaves no trace"
