"""What rejected rows mean for the sync."""

from __future__ import annotations

from collections import Counter

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.settlement.counts import StreamCounts
from destination_cleverpush.settlement.policy import Policy
from destination_cleverpush.words import StreamId
from unit_tests.settlement.outcomes import MISSING_TAGS, UNKNOWN_TAG, rejected

USERS, ORDERS = StreamId("users"), StreamId("orders", "shop")


def counts(delivered: int, unknown: int = 0, missing: int = 0) -> StreamCounts:
    return StreamCounts(delivered, 0, Counter({UNKNOWN_TAG: unknown, MISSING_TAGS: missing}) + Counter())


def told(failure: Failure | None) -> str:
    assert failure is not None
    assert failure.kind is FailureKind.CONFIG
    return failure.message


# --- at once


def test_the_first_rejected_row_fails_the_sync_where_the_user_says_so() -> None:
    assert told(Policy(fail_at_once=True).after_rejection(rejected(7))) == (
        "A row was rejected, and the configuration says to fail then: stream 'users', row 7, subscription_id 's-1', "
        "unknown_tag: CleverPush answered 400."
    )
    assert Policy().after_rejection(rejected()) is None


# --- the share


@pytest.mark.parametrize(
    ("share", "found", "fails"),
    [
        (0.1, counts(900, 100), False),  # not more than the highest
        (0.1, counts(899, 101), True),
        (0.1, counts(898, 101), False),  # too few rows to judge from
        (0.0, counts(999, 1), True),
        (0.0, counts(1000), False),
        (1.0, counts(0, 1000), False),
        (None, counts(0, 1000), False),
    ],
)
def test_the_share_is_judged_meanwhile_from_enough_rows_on(
    share: float | None, found: StreamCounts, fails: bool
) -> None:
    assert (Policy(highest_share=share).meanwhile({USERS: found}) is not None) is fails


def test_the_share_is_that_of_all_streams() -> None:
    streams = {USERS: counts(500, 99), ORDERS: counts(391, 0, 10)}
    assert told(Policy(highest_share=0.1).meanwhile(streams)) == (
        "109 of 1000 rows were rejected, more than the highest share that the configuration allows (0.1). The leading "
        "reason is unknown_tag: Create the tag in CleverPush."
    )


@pytest.mark.parametrize(
    ("share", "found", "fails"),
    [
        (0.5, counts(1, 1), False),
        (0.5, counts(1, 2), True),
        (0.0, counts(1, 1), True),
        (0.0, counts(1), False),
        (0.0, counts(0), False),  # nothing was settled
        (None, counts(1, 99), False),
    ],
)
def test_the_share_is_judged_at_the_end_whatever_the_number(
    share: float | None, found: StreamCounts, fails: bool
) -> None:
    read = {USERS: found.settled}
    assert (Policy(highest_share=share).at_the_end({USERS: found}, read) is not None) is fails


# --- every row


def test_a_stream_of_which_every_row_was_rejected_fails_the_sync_from_twenty_rows_on() -> None:
    streams = {USERS: counts(5, 1), ORDERS: counts(0, 8, 12)}
    sentence = "Every row of stream 'shop.orders' was rejected (20 in all), 12 as missing_tags: Fill tags."
    assert told(Policy().at_the_end(streams, {USERS: 6, ORDERS: 20})) == sentence
    assert Policy().warnings(streams, {USERS: 6, ORDERS: 20}) == []


def test_a_stream_of_few_rows_all_of_them_rejected_is_a_warning() -> None:
    streams = {USERS: counts(5, 1), ORDERS: counts(0, 7, 12)}
    read = {USERS: 6, ORDERS: 19}
    assert Policy().at_the_end(streams, read) is None
    assert Policy().warnings(streams, read) == [
        "Every row of stream 'shop.orders' was rejected (19 in all), 12 as missing_tags: Fill tags."
    ]


@pytest.mark.parametrize(("found", "read"), [(counts(1, 9), 10), (counts(0), 0), (counts(0, 3), 4)])
def test_where_any_row_is_not_rejected_it_does_not(found: StreamCounts, read: int) -> None:
    assert Policy().at_the_end({USERS: found}, {USERS: read, ORDERS: 0}) is None
