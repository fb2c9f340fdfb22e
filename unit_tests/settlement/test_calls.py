"""What is told of single calls."""

from __future__ import annotations

import logging

import pytest

from destination_cleverpush.settlement.calls import CallLog
from destination_cleverpush.words import DELIVERED, Action, Answer, Operation, Verdict

LOGGER = logging.getLogger("airbyte.test.calls")
ADD = Operation(Action("add_tag", {"plain": "/tag"}), {"subscriptionId": "s-1", "tagId": "vip"})
FIND = Operation(Action("find", {"plain": "GET /subscription"}), {"attribute_value": "u-1"})
LIMITED = Answer(Verdict.THROTTLED, summary="answered 429", status=429, delay=3.0)
BROKEN = Answer(Verdict.RETRY, summary="answered 500", status=500)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("pace", "told"),
    [(None, "goes on."), (2.34, "goes on at about 2.3 per second."), (49.6, "goes on at 50 per second.")],
)
def test_a_limit_is_told_when_it_begins_and_when_calls_go_on(
    caplog: pytest.LogCaptureFixture, pace: float | None, told: str
) -> None:
    log = CallLog(LOGGER, lambda: pace, clock=Clock())
    with caplog.at_level(logging.INFO, LOGGER.name):
        for answer in (DELIVERED, LIMITED, LIMITED, DELIVERED, DELIVERED):
            log.answered(ADD, answer)
    assert caplog.messages == [
        (
            "CleverPush limits calls (HTTP 429) and asks to wait 3 s. All calls wait, and go on more slowly; no row is "
            "lost."
        ),
        f"CleverPush takes calls again: the sync {told}",
    ]


def test_a_limit_that_is_met_over_and_over_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = CallLog(LOGGER, lambda: None, clock=clock, quiet_seconds=60)
    with caplog.at_level(logging.INFO, LOGGER.name):
        for _ in range(130):
            log.answered(ADD, LIMITED)
            log.answered(ADD, DELIVERED)
            clock.now += 1
    assert sum("429" in message for message in caplog.messages) == 3
    assert sum("again" in message for message in caplog.messages) == 3


def test_who_looks_closely_sees_retries_and_look_ups_and_no_values(caplog: pytest.LogCaptureFixture) -> None:
    log = CallLog(LOGGER, lambda: None, clock=Clock())
    with caplog.at_level(logging.DEBUG, LOGGER.name):
        log.answered(ADD, BROKEN)
        log.answered(ADD, LIMITED)
        log.answered(ADD, DELIVERED)
        log.answered(FIND, Answer(Verdict.DELIVERED, ids=("n-1", "n-2")))
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG] == [
        "add_tag: CleverPush answered 500; it is tried again.",
        "add_tag: CleverPush answered 429; it is tried again, in 3 s at the earliest.",
        "find: 2 found.",
    ]
    assert not any(value in caplog.text for value in ("s-1", "vip", "u-1", "n-1"))


def test_nothing_is_told_closely_to_others(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER.name):
        CallLog(LOGGER, lambda: None, clock=Clock()).answered(ADD, BROKEN)
    assert caplog.messages == []
