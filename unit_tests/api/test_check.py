"""Whether the key opens the channel."""

from __future__ import annotations

import pytest

from destination_cleverpush.api.check import check_access
from destination_cleverpush.api.client import Client
from destination_cleverpush.errors import Failure
from unit_tests.api.calls import CHANNEL, KEY, channels, settings
from unit_tests.server import Canned, Server, said


def test_check_finds_the_channel_among_many() -> None:
    many = [{"_id": f"channel-{number}", "name": "x" * 60} for number in range(20_000)]
    with Server(said(200, {"channels": [*many, {"_id": CHANNEL}]})) as server:
        check_access(Client(settings(server.url)), tags=False)


def test_check_asks_what_needs_the_private_key() -> None:
    with Server(channels) as server:
        check_access(Client(settings(server.url)), tags=False)
        check_access(Client(settings(server.url)), tags=True)
    assert [asked.path for asked in server.asked] == [
        "/channels", "/channels", f"/channel/{CHANNEL}/tags?limit=1&skip=0",
    ]  # fmt: skip
    assert {asked.headers["authorization"] for asked in server.asked} == {KEY}


@pytest.mark.parametrize(
    ("canned", "words"),
    [
        (said(200, {"channels": [{"_id": CHANNEL.upper()}]}), f"'{CHANNEL.upper()}' that differs only in upper"),
        (said(200, {"channels": []}), "Channel not found"),
        (said(200, {}), "list of channels"),
        (Canned(200, b"<html>"), "not JSON"),
        (Canned(200, b'{"channels": [' + b" " * 5_000_000), "more than 4 MiB"),
        (said(404, "x"), "not found"),
        (said(429), "limiting requests"),
        (said(500), "HTTP 500"),
        (said(301, None, Location="/x"), "redirect"),
    ],
)
def test_check_has_a_sentence_for_each_failure(canned: Canned, words: str) -> None:
    with Server(canned) as server, pytest.raises(Failure) as failure:
        check_access(Client(settings(server.url)), tags=False)
    assert words in failure.value.message
