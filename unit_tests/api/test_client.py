"""The client against real sockets: what each answer means, and that the key goes nowhere else."""

from __future__ import annotations

import time

import pytest

from destination_cleverpush.api.client import Client
from destination_cleverpush.errors import FailureKind
from destination_cleverpush.words import Verdict
from unit_tests.api.calls import CHANNEL, KEY, SYNC, TAG, answer_to, settings
from unit_tests.server import Canned, Server, said


def test_a_call_is_a_post_with_the_key_and_the_channel() -> None:
    with Server(said(200, {"id": "1"})) as server:
        client = Client(settings(server.url))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        assert client.send(TAG).verdict is Verdict.DELIVERED
    first, second = server.asked
    assert (first.method, first.path) == ("POST", "/subscription/sync")
    assert first.headers["authorization"] == KEY
    assert first.headers["content-type"] == "application/json"
    assert first.json == {"channelId": CHANNEL, "customAttributes": {"user_id": "u1"}}
    assert second.path == "/subscription/tag/add"
    assert server.connections == 1, "the connection is kept"


@pytest.mark.parametrize(
    ("canned", "verdict", "code"),
    [
        (said(200, {}), Verdict.DELIVERED, ""),
        (said(201, {"id": "x"}), Verdict.DELIVERED, ""),
        (Canned(204, b""), Verdict.DELIVERED, ""),
        (Canned(200, b"OK"), Verdict.DELIVERED, ""),
        (Canned(200, b"<html>"), Verdict.RETRY, "no_answer"),
        (Canned(200, b"hi", {"Content-Type": "text/html"}), Verdict.RETRY, "no_answer"),
        (Canned(200, b'{"id": "x'), Verdict.RETRY, "no_answer"),
        (said(200, {"success": False, "error": "Tag t does not exist"}), Verdict.REJECTED, "unknown_tag"),
        (said(400, "Custom attribute tier does not exist"), Verdict.REJECTED, "unknown_attribute"),
        (said(404, "Subscription not found"), Verdict.REJECTED, "not_found"),
        (Canned(404, b"Subscription not found", {"Content-Type": "text/html"}), Verdict.REJECTED, "not_found"),
        (said(404, "Tag 'route-66' not found"), Verdict.REJECTED, "unknown_tag"),
        (said(404, "Subscription path not found"), Verdict.REJECTED, "not_found"),
        (said(409, "busy"), Verdict.REJECTED, "conflict"),
        (said(410, "gone"), Verdict.REJECTED, "not_found"),
        (said(413, "large"), Verdict.REJECTED, "payload_too_large"),
        (said(422, "no"), Verdict.REJECTED, "payload_refused"),
        *((said(status), Verdict.RETRY, "server_error") for status in (408, 425, 500, 502, 503, 504)),
        (said(429), Verdict.THROTTLED, "server_error"),
    ],
)
def test_what_an_answer_means(canned: Canned, verdict: Verdict, code: str) -> None:
    answer = answer_to(canned)
    assert (answer.verdict, answer.reason.code if answer.reason else "") == (verdict, code)


@pytest.mark.parametrize(
    ("canned", "kind", "words"),
    [
        (said(401), FailureKind.CONFIG, "Authentication failed: invalid API key"),
        (said(403), FailureKind.CONFIG, "lacks a permission"),
        (said(404, "Channel not found"), FailureKind.CONFIG, "Channel not found"),
        (said(302, None, Location="http://127.0.0.1:9/"), FailureKind.CONFIG, "redirect"),
        (said(200, "Channel not found"), FailureKind.CONFIG, "Channel not found"),
        (
            Canned(404, b"<!DOCTYPE html><pre>Cannot POST /x</pre>"),
            FailureKind.CONFIG,
            "does not exist (HTTP 404)",
        ),
        (said(404, "Route not found"), FailureKind.CONFIG, "/subscription/sync does not exist (HTTP 404)"),
        (said(404, "The requested URL was not found"), FailureKind.CONFIG, "does not exist (HTTP 404)"),
        (said(405), FailureKind.CONFIG, "Check the API Address under Advanced"),
        (said(418), FailureKind.TRANSIENT, "418"),
        (said(501), FailureKind.TRANSIENT, "501"),
    ],
)
def test_what_ends_the_sync(canned: Canned, kind: FailureKind, words: str) -> None:
    answer = answer_to(canned)
    assert answer.verdict is Verdict.FATAL
    assert answer.failure is not None
    assert answer.failure.kind is kind
    assert words in answer.failure.message
    assert KEY not in answer.failure.message


def test_a_missing_tag_route_names_the_setting_that_chooses_it() -> None:
    with Server(said(404, "Route not found")) as server:
        answer = Client(settings(server.url)).send(TAG)
    assert "Check the API Address and Tag Endpoints under Advanced" in str(answer.failure)


def test_a_route_that_was_there_before_is_tried_again() -> None:
    page = Canned(404, b"<html>not found</html>")
    with Server(lambda asked: page if len(server.asked) > 1 else said(200, {})) as server:
        client = Client(settings(server.url))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        again = client.send(SYNC)
    assert (again.verdict, again.summary) == (Verdict.RETRY, "answered 404 as if it had no such route")


def test_a_redirect_is_never_followed() -> None:
    with Server(said(200, {})) as elsewhere, Server(said(307, None, Location=f"{elsewhere.url}/x")) as server:
        assert Client(settings(server.url)).send(SYNC).verdict is Verdict.FATAL
    assert elsewhere.asked == []


def test_connections_that_break_or_never_come_about() -> None:
    broken = answer_to(Canned(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"))
    assert (broken.verdict, broken.summary) == (Verdict.RETRY, "broke off the connection")
    nobody = Client(settings("http://127.0.0.1:9")).send(SYNC)
    assert (nobody.verdict, nobody.summary) == (Verdict.RETRY, "could not be connected to")
    late = answer_to(Canned(silence=5), timeout=0.2)
    assert (late.verdict, late.summary, late.congested) == (Verdict.RETRY, "gave no answer within 0.2 s", True)


def test_an_answer_that_trickles_in_for_ever_ends() -> None:
    started = time.monotonic()
    endless = Canned(200, b" " * 10_000, {"Content-Length": "10000"}, trickle=0.05)
    answer = answer_to(endless, timeout=0.3)
    assert (answer.verdict, answer.summary) == (Verdict.RETRY, "gave no answer within 0.3 s")
    assert time.monotonic() - started < 30, "it would take eight minutes"


def test_no_more_of_an_answer_is_read_than_is_needed() -> None:
    answer = answer_to(Canned(500, b"x" * 3_000_000))
    assert len(answer.words or "") <= 500


def test_a_long_answer_is_an_answer() -> None:
    assert answer_to(said(200, {"subscription": {"attributes": "x" * 200_000}})).verdict is Verdict.DELIVERED


def test_words_are_those_of_cleverpush() -> None:
    body = {"error": "Refused", "message": "because", "errors": [{"field": "x"}]}
    assert answer_to(said(422, body)).words == 'Refused; because; [{"field": "x"}]'
    assert answer_to(Canned(400, b"plain \n text")).words == "plain text"
