"""The lines about a sync: while it runs, and at its end."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from destination_cleverpush.delivery.dispatcher import Bounds, Dispatcher
from destination_cleverpush.settlement.counts import Counts
from destination_cleverpush.settlement.progress import Progress, closing, refused_names, show_calls, summarise
from destination_cleverpush.words import Action, Answer, Pulse, StreamId, Verdict
from unit_tests.delivery.simulation import job
from unit_tests.settlement.outcomes import MISSING_TAGS, delivered, refused

LOGGER = logging.getLogger("airbyte.test")
ADD = Action("add_tag", {}, done="tags added")
USERS, ORDERS = StreamId("users"), StreamId("orders", "shop")
STILL = Pulse(0, 0, 4, 0, 0, 0.0, 0.0, "CleverPush's answers")


def test_the_progress_is_told_while_something_changes(caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(Bounds(4), lambda _job: None)
    read, now = {USERS: 0}, 0.0
    progress = Progress(LOGGER, Counts(), read, lambda: dispatcher.pulse(now), clock=lambda: now)
    with caplog.at_level(logging.INFO):
        progress.tell()
        progress.tell()
        dispatcher.add(job("a"))
        read[USERS] += 1
        progress.tell()
        attempt = dispatcher.next(now)
        now = 0.5
        progress.tell()
        dispatcher.answered(attempt, Answer(Verdict.THROTTLED, delay=30.0), 1.0)
        progress.tell()
        progress.tell()
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == 4, found
    assert found[0].startswith("Progress: 0 rows read, 0 delivered, 0 rejected; 0 calls per second, 0 in flight")
    assert found[1].startswith("Progress: 1 rows read, 0 delivered, 0 rejected; 0 calls per second, 0 in flight")
    assert re.search(r" 2 calls per second, 1 in flight \(limit 4\), 0 retries", found[2])
    assert found[3].endswith("0 retries, throttled for 30 s.")


def test_settled_rows_are_told(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    progress = Progress(LOGGER, counts, {USERS: 3, ORDERS: 1}, lambda: STILL, clock=lambda: 0.0)
    with caplog.at_level(logging.INFO):
        progress.tell()
        counts.add([delivered(1), refused(2), delivered(1, "orders")])
        progress.tell()
    assert caplog.messages[1].startswith("Progress: 4 rows read, 2 delivered, 1 rejected; ")


def test_a_state_that_waits_for_long_says_for_what_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    waited = 60.0
    pulses = lambda: STILL._replace(oldest_state_seconds=waited, cause="rejected rows to be stored")  # noqa: E731
    progress = Progress(LOGGER, Counts(), {USERS: 0}, pulses, clock=lambda: 0.0, long_seconds=60.0)
    with caplog.at_level(logging.INFO):
        progress.tell()
        waited = 75.4
        progress.tell()
        progress.tell()
        waited = 1.0
        progress.tell()
    assert len(caplog.messages) == 3
    assert caplog.messages[0].endswith("throttled for 0 s.")
    sentence = "throttled for 0 s. The oldest state has waited for 75 s, for rejected rows to be stored."
    assert all(message.endswith(sentence) for message in caplog.messages[1:])


def test_the_end_is_summed_up_by_reason_and_by_stream(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    counts.add([*(refused(n) for n in range(3)), refused(3, reason=MISSING_TAGS), delivered(4)])
    counts.add([delivered(1, "orders", attempts=0)])
    with caplog.at_level(logging.INFO):
        read = {USERS: 7, StreamId("orders"): 1, ORDERS: 0}
        besides = {(USERS, "gone already"): 2}
        summarise(LOGGER, counts, read, calls={USERS: 9}, taken={(USERS, ADD): 1}, besides=besides, seconds=2.0)
    assert {record.levelname for record in caplog.records[:2]} == {"WARNING"}
    assert caplog.messages == [
        "Stream 'users': 3 rows rejected as unknown_tag. Create the tag in CleverPush.",
        "Stream 'users': 1 row rejected as missing_tags. Fill tags.",
        (
            "Stream 'users': 7 rows read, 1 delivered (1 tags added, 2 gone already), 4 rejected (unknown_tag 3, "
            "missing_tags 1), 2 NOT delivered, 9 calls in 2.0 s (2 rows per s)."
        ),
        ("Stream 'orders': 1 rows read, 1 delivered (1 needed no call), 0 rejected, 0 calls in 2.0 s (0 rows per s)."),
        "Stream 'shop.orders': 0 rows read, 0 delivered, 0 rejected, 0 calls in 2.0 s (0 rows per s).",
    ]


def test_refusals_are_told_by_what_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    jobs = [refused(n) for n in range(3)]
    counts.add(jobs)
    assert jobs[0].refusal is not None
    reason = jobs[0].refusal.reason
    assert reason is not None
    for names in (["vip", "news"], ["vip"], ["vip"]):
        counts.refuse(USERS, reason, names)
    with caplog.at_level(logging.INFO):
        summarise(LOGGER, counts, {USERS: 3}, calls={}, taken={}, besides={}, seconds=1.0)
    first = "Stream 'users': 3 rows rejected as unknown_tag: vip 3 rows, news 1 row. Create the tag in CleverPush."
    assert caplog.messages[0] == first
    counts.of(USERS).refused.update((reason, f"tag-{n}") for n in range(20))
    assert refused_names(counts.of(USERS), reason).endswith(", and 12 others")


def pulse(**fields: Any) -> Pulse:
    return Pulse(
        **{
            "calls": 9,
            "in_flight": 0,
            "limit": 4,
            "retries": 2,
            "throttled": 0,
            "paused_seconds": 0.0,
            "oldest_state_seconds": 0.0,
            "cause": "",
            **fields,
        }
    )


def test_the_last_line_tells_how_it_ended() -> None:
    counts = Counts()
    counts.add([delivered(1), delivered(2)])
    assert closing(counts.total, 2, pulse(), 3.21, failed=False, kept=None) == (
        "The sync succeeded after 3.2 s: 2 rows read, 2 delivered, 0 rejected, 9 calls, 2 retries."
    )
    throttled = pulse(throttled=1_200, paused_seconds=61.0)
    assert closing(counts.total, 5, throttled, 3.21, failed=True, kept=None) == (
        "The sync failed after 3.2 s: 5 rows read, 2 delivered, 0 rejected, 3 NOT delivered, 9 calls, 2 retries, 1,200 "
        "calls refused for their rate (HTTP 429), which paused it for 61 s."
    )


def test_the_last_line_tells_where_rejected_rows_lie_or_that_they_are_gone() -> None:
    counts = Counts()
    counts.add([refused(1)])
    assert closing(counts.total, 1, pulse(), 1.0, failed=False, kept="s3://bucket/path").endswith(
        " Rejected rows are kept in s3://bucket/path; the command replay prints them as records, to be sent again."
    )
    assert closing(counts.total, 1, pulse(), 1.0, failed=False, kept=None).endswith(
        " Rejected rows were not kept: a Dead Letter Store (rejected_records in the configuration) keeps them with the "
        "reasons, to be sent again by the command replay."
    )


def test_the_last_line_of_a_dry_run_tells_what_would_be_and_of_no_store() -> None:
    counts = Counts()
    counts.add([delivered(1), refused(2)])
    assert closing(counts.total, 3, pulse(calls=1), 3.21, failed=False, kept=None, dry=True) == (
        "The dry run, in which nothing was written, succeeded after 3.2 s: 3 rows read, 1 would be delivered, "
        "1 would be rejected, 1 call."
    )


def test_a_dry_run_says_what_would_be(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    counts.add([delivered(1), refused(2, reason=MISSING_TAGS)])
    with caplog.at_level(logging.INFO):
        summarise(
            LOGGER, counts, {USERS: 2}, calls={USERS: 1}, taken={(USERS, ADD): 1}, besides={}, seconds=1.0, dry=True
        )
        show_calls(LOGGER, {ADD: [("/subscription/tag/add", {"tagId": "t1", "emailAddress": "ada@example.com"})]})
    assert caplog.messages[1].startswith(
        "Dry run: nothing was sent. Stream 'users': 2 rows read, 1 would be delivered (1 tags added), 1 rejected "
        "(missing_tags 1)"
    )
    assert caplog.messages[2] == (
        'Dry run, would be called: POST /subscription/tag/add {"tagId": "t1", "emailAddress": "…"}'
    )
