"""What an answer asks for."""

from __future__ import annotations

from typing import Any

import pytest

from destination_cleverpush.api.answers import named_delay, unknown_ids
from destination_cleverpush.api.reasons import SERVER_ERROR
from destination_cleverpush.words import UNKNOWN_TAG, UNKNOWN_TOPIC, Answer, Reason, Verdict
from unit_tests.api.calls import answer_to
from unit_tests.server import said


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "7, 9"}, 9.0),
        ({"Retry-After": "7, soon"}, None),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Mon, 23 Nov 99999999999999999999 10:00:30 GMT"}, None),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"Retry-After": "Sun, 09 Sep 2001 01:47:00 GMT"}, 20.0),
        ({"RateLimit-Reset": "12"}, 12.0),
        ({"X-RateLimit-Reset": "12, 12"}, 12.0),
        ({"X-RateLimit-Reset": "1000000050"}, 50.0),
        ({"X-RateLimit-Reset": "1000000050000"}, 50.0),
        ({"X-RateLimit-Reset": "1795428050", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 50.0),
        ({"RateLimit-Reset": "1795428050", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 50.0),
        ({"RateLimit-Reset": "12", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 12.0),
        ({"Retry-After": "3", "RateLimit-Reset": "60"}, 3.0),
        ({"RateLimit-Reset": "nan"}, None),
        ({"RateLimit-Reset": "inf"}, None),
    ],
)
def test_the_delay_that_a_server_names(headers: dict[str, str], delay: float | None) -> None:
    assert named_delay(headers, now=1_000_000_000.0) == delay


def test_delays_are_read_from_real_answers() -> None:
    assert answer_to(said(429, None, Retry_After="9")).delay == 9.0
    assert answer_to(said(503, None, Retry_After="4")).delay == 4.0
    assert answer_to(said(500, None, Retry_After="4")).delay is None


@pytest.mark.parametrize(
    ("reason", "words", "payload", "named"),
    [
        (UNKNOWN_TAG, "Tag not found", {"tagId": "t1"}, ("t1",)),
        (UNKNOWN_TAG, "Tag not found", {"topics": ["t1"]}, ()),
        (UNKNOWN_TOPIC, "Topic b-1 does not exist", {"topics": ["a", "b-1", "b"]}, ("b-1",)),
        (UNKNOWN_TOPIC, "Topic not found", {"topics": ["a", "b"]}, ()),
        (UNKNOWN_TOPIC, "Topic not found", {"topics": ["c"]}, ("c",)),
        (SERVER_ERROR, "t1", {"tagId": "t1"}, ()),
    ],
)
def test_what_is_refused_as_unknown_is_named(
    reason: Reason, words: str, payload: dict[str, Any], named: tuple[str, ...]
) -> None:
    assert unknown_ids(Answer(Verdict.REJECTED, reason, "answered 400", 400, words), payload) == named
