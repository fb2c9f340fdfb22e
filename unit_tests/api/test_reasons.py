"""Given CleverPush's status and words, this is the reason's code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.api.reasons import REASONS, ROW_STATUSES, recognise


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (400, "Tag not found", "unknown_tag"),
        (404, "tag does not exist", "unknown_tag"),
        (422, "Invalid tagId", "unknown_tag"),
        (400, "unknown tags: t9", "unknown_tag"),
        (400, "Custom attribute 'tier' does not exist", "unknown_attribute"),
        (422, "attribute not allowed: tier", "unknown_attribute"),
        (400, "Unknown attribute", "unknown_attribute"),
        (400, "topic not found", "unknown_topic"),
        (422, "no such topic", "unknown_topic"),
        (400, "email, phone or push token required", "contact_required"),
        (422, "Missing contact field", "contact_required"),
        (400, "At least one of emailAddress, phoneNumber is needed", "contact_required"),
        (404, "Channel not found", "channel_not_found"),
        (400, "invalid channelId: channel unknown", "channel_not_found"),
        (404, "Subscription not found", "not_found"),
        (404, "", "not_found"),
        (404, "<html>Not Found</html>", "not_found"),
        (410, "gone", "not_found"),
        (413, "", "payload_too_large"),
        (409, "", "conflict"),
        (400, "", "payload_refused"),
        (422, "country must be two letters", "payload_refused"),
        (400, "staging environment is not available", "payload_refused"),
    ],
)
def test_what_an_answer_means(status: int, words: str, code: str) -> None:
    assert recognise(status, words).code == code


def test_the_channel_not_found_of_an_attribute_is_about_the_attribute() -> None:
    assert recognise(400, "Attribute tier not found in channel settings").code == "unknown_attribute"
    assert recognise(400, "Tag t9 not found in channel").code == "unknown_tag"


@given(st.sampled_from(sorted(ROW_STATUSES)), st.text())
def test_whatever_cleverpush_says_there_is_a_reason(status: int, words: str) -> None:
    assert recognise(status, words) in REASONS


@pytest.mark.parametrize("status", sorted(ROW_STATUSES))
@pytest.mark.parametrize("words", ["channel " * 5_000, "tag " * 10_000, "not missing " * 4_000, "e" * 50_000])
def test_long_words_are_read_quickly(status: int, words: str) -> None:
    assert recognise(status, words) in REASONS


def test_every_reason_has_a_stable_code_and_advice_in_whole_sentences() -> None:
    assert len({reason.code for reason in REASONS}) == len(REASONS)
    for reason in REASONS:
        assert re.fullmatch(r"[a-z_]+", reason.code)
        assert reason.advice[0].isalpha()
        assert reason.advice.endswith((".", ")."))
