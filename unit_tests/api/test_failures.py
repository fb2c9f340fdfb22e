"""The sentences that end a sync."""

from __future__ import annotations

from destination_cleverpush.api.failures import INVALID_KEY, NO_CHANNEL


def test_a_wrong_key_and_a_wrong_channel_are_told_in_the_words_of_the_troubleshooting_page() -> None:
    assert INVALID_KEY.startswith("Authentication failed: invalid API key.")
    assert "Use the private API key, not the public one" in INVALID_KEY
    assert NO_CHANNEL.startswith("Channel not found.")
    assert "case-sensitive" in NO_CHANNEL
