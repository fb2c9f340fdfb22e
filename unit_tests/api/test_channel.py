"""What the channel holds is read whole, page by page, and comes to an end."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from destination_cleverpush.api import channel
from destination_cleverpush.api.channel import Named
from destination_cleverpush.api.client import Client
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.words import Channel
from unit_tests.api.calls import CHANNEL, settings
from unit_tests.server import Asked, Canned, Server, said

TAGS = [{"_id": f"t{number}", "name": f"Tag {number}"} for number in range(250)]


def paged(asked: Asked) -> Canned:
    parts = urlsplit(asked.path)
    query = parse_qs(parts.query)
    limit, skip = int(query["limit"][0]), int(query["skip"][0])
    return said(200, {parts.path.rpartition("/")[2]: TAGS[skip : skip + limit]})


def test_tags_and_topics_are_read_in_pages() -> None:
    whole = [Named(f"t{number}", f"Tag {number}") for number in range(250)]
    with Server(paged) as server:
        client = Client(settings(server.url))
        assert channel.tags(client) == whole
        assert channel.topics(client) == whole
    assert [asked.path for asked in server.asked][:3] == [
        f"/channel/{CHANNEL}/tags?limit=100&skip={skip}" for skip in (0, 100, 200)
    ]


def test_a_server_that_knows_no_pages_is_not_asked_for_ever() -> None:
    with Server(said(200, {"tags": TAGS})) as server:
        assert len(channel.tags(Client(settings(server.url)))) == 250
    assert len(server.asked) == 2


def test_attributes_are_those_of_the_configuration() -> None:
    body = {"customAttributes": [{"id": "user_id", "name": "User"}, {"id": "tier"}, "odd", {}], "vapidPrivateKey": "s3"}
    with Server(said(200, body)) as server:
        found = channel.attributes(Client(settings(server.url)))
    assert found == [Named("user_id", "User"), Named("tier", "")]


@pytest.mark.parametrize("canned", [said(403), said(404, "x"), said(500), said(200, {"tags": {}}), Canned(200, b"x")])
def test_what_cannot_be_read_says_so(canned: Canned) -> None:
    with Server(canned) as server, pytest.raises(Failure):
        channel.tags(Client(settings(server.url)))


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 7])
def test_subscriptions_are_read_once_each_however_the_cursor_counts(inclusive: bool, count: int) -> None:
    everyone = [{"_id": f"s{number}", "inactive": False} for number in range(count)]

    def answer(asked: Asked) -> Canned:
        query = parse_qs(urlsplit(asked.path).query)
        assert query["fields"] == ["inactive", "tags"]
        start = 0
        if last := query.get("startId"):
            start = next(i for i, one in enumerate(everyone) if one["_id"] == last[0]) + (not inclusive)
        return said(200, {"subscriptions": everyone[start : start + 3]})

    with Server(answer) as server:
        assert list(channel.subscriptions(Client(settings(server.url)), ["inactive", "tags"])) == everyone
    assert len(server.asked) <= count + 2


def test_a_cursor_that_is_not_known_does_not_go_on_for_ever() -> None:
    page = [{"_id": "a"}, {"_id": "b"}]
    with Server(said(200, {"subscriptions": page})) as server:
        list(channel.subscriptions(Client(settings(server.url))))
    assert len(server.asked) == 2


def test_secrets_of_the_account_are_neither_quoted_nor_kept() -> None:
    """Where `GET /channels` is not as expected, nothing of it is told."""
    from destination_cleverpush.api.check import check_access

    poisoned = {"channels": [{"_id": "other", "vapidPrivateKey": "s3cret", "name": "s3cret"}], "error": "s3cret"}
    for body in (poisoned, {"channels": "s3cret"}, "s3cret"):
        with Server(said(200, body)) as server, pytest.raises(Failure) as failure:
            check_access(Client(settings(server.url)), tags=True)
        assert "s3cret" not in failure.value.message + failure.value.internal


# --- what is read before the first row


def all_lists(asked: Asked) -> Canned:
    if asked.path.endswith("/config"):
        return said(200, {"customAttributes": [{"id": "tier", "name": "Tier"}], "vapidPrivateKey": "s3cret"})
    return paged(asked)


def test_only_the_wanted_lists_are_read() -> None:
    with Server(all_lists) as server:
        found = channel.read_channel(Client(settings(server.url)), ("topics", "attributes"), pytest.fail)
    assert found == Channel(None, {f"t{n}": f"Tag {n}" for n in range(250)}, {"tier": "Tier"})
    assert not [asked for asked in server.asked if "/tags" in asked.path]


@pytest.mark.parametrize("canned", [said(401), said(403), said(404, "x"), said(429), said(500), Canned(200, b"<html>")])
def test_what_may_not_be_read_is_told_in_a_line_and_the_rest_is_read(canned: Canned) -> None:
    told: list[str] = []
    with Server(lambda asked: canned if "/topics" in asked.path else all_lists(asked)) as server:
        found = channel.read_channel(Client(settings(server.url)), ("topics", "attributes"), told.append)
    assert found == Channel(attributes={"tier": "Tier"})
    (line,) = told
    assert line.startswith("The channel's topics cannot be read, so they are not compared with the rows. ")


def test_where_nobody_answers_only_one_time_out_is_waited_for() -> None:
    told: list[str] = []
    with Server(Canned(silence=30)) as server:
        client = Client(settings(server.url, timeout=0.3))
        assert channel.read_channel(client, channel.LISTS, told.append) == Channel()
        assert len(server.asked) == len(told) == 1


def test_a_list_that_is_needed_must_be_read() -> None:
    with Server(said(403)) as server, pytest.raises(Failure, match="CleverPush refused access"):
        channel.read_channel(Client(settings(server.url)), ("tags",), pytest.fail, needed=("tags",))


def test_a_proxy_that_is_not_there_ends_the_sync_before_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(Failure, match="leads through the proxy") as failure:
        channel.read_channel(Client(settings("https://cleverpush.example")), ("tags",), pytest.fail)
    assert failure.value.kind is FailureKind.CONFIG
