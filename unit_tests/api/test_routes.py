"""Routes that nobody can look up are settled by the server's own answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from destination_cleverpush.api.client import Client
from destination_cleverpush.api.reply import Reply
from destination_cleverpush.api.routes import CONTROL, Finding, finding
from destination_cleverpush.errors import Failure
from destination_cleverpush.words import Operation, Verdict
from unit_tests.api.calls import CHANNEL, EITHER_SYNC, TAG, UNTAG, settings
from unit_tests.server import Asked, Canned, Server, said, wait_until

NO_ROUTE = said(404, "Not found")
GONE_SUBSCRIPTION = said(404, "Subscription not found")
DESCRIBED = {"/subscription/tag/add", "/subscription/tag/remove", "/subscription/sync"}
OWN = {"/subscription/tag", "/subscription/untag", f"/subscription/sync/{CHANNEL}"}


def knows(paths: set[str], answer: Canned | None = None, otherwise: Canned = NO_ROUTE) -> Callable[[Asked], Canned]:
    return lambda asked: (answer or said(200)) if asked.path in paths else otherwise


def paths(server: Server) -> list[str]:
    return [asked.path for asked in server.asked]


# --- what an answer says


def reply(status: int, body: bytes, kind: str = "application/json") -> Reply:
    return Reply(status, {"Content-Type": kind}, body, whole=True)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (reply(200, b"{}"), Finding.HERE),
        (reply(200, b'{"error": "no"}'), Finding.HERE),
        (reply(204, b""), Finding.HERE),
        (reply(200, b"<html>"), Finding.NOTHING),
        (reply(200, b'{"id": "x'), Finding.NOTHING),
        (reply(404, b'{"error": "Subscription not found"}'), Finding.HERE),
        (reply(404, b'{"error": "channel not found"}'), Finding.HERE),
        (reply(400, b'{"error": "tagId is missing"}'), Finding.HERE),
        (reply(422, b'{"error": "field country"}'), Finding.HERE),
        (reply(404, b'{"error": "Not found"}'), Finding.GONE),
        (reply(405, b""), Finding.GONE),
        (reply(404, b"<html>", "text/html"), Finding.GONE),
        (reply(400, b'{"error": "Not found"}'), Finding.NOTHING),
        (reply(404, b'{"error": "No stage"}'), Finding.NOTHING),
        *((reply(status, b'{"error": "Not found"}'), Finding.NOTHING) for status in (301, 401, 403, 408, 429, 500)),
        (reply(403, b"<html>", "text/html"), Finding.NOTHING),
    ],
)
def test_what_an_answer_says_about_its_route(answer: Reply, found: Finding) -> None:
    assert finding(answer, "/x", lambda: reply(404, b'{"error": "Not found"}')) is found


def test_a_control_that_repeats_the_path_is_compared_without_it() -> None:
    shown = reply(404, f'{{"error": "Cannot POST {CONTROL}"}}'.encode())
    asked = reply(404, b'{"error": "Cannot POST /subscription/tag"}')
    assert finding(asked, "/subscription/tag", lambda: shown) is Finding.GONE


def test_without_a_control_nothing_is_said() -> None:
    assert finding(reply(404, b'{"error": "Subscription not found"}'), "/x", lambda: None) is Finding.UNSURE


# --- calls


@pytest.mark.parametrize("operation", [EITHER_SYNC, TAG, UNTAG])
@pytest.mark.parametrize("known", [DESCRIBED, OWN, DESCRIBED | OWN])
def test_whichever_route_there_is_the_call_arrives_once(operation: Operation, known: set[str]) -> None:
    told: list[str] = []
    with Server(knows(known)) as server:
        client = Client(settings(server.url), told.append)
        assert [client.send(operation).verdict for _ in range(3)] == [Verdict.DELIVERED] * 3
    assert len([path for path in paths(server) if path in known]) == 3
    assert len([path for path in paths(server) if path not in known | {CONTROL}]) == (1 if known == OWN else 0)
    assert len(told) == 1
    assert all(asked.json["channelId"] == CHANNEL for asked in server.asked)


def test_an_option_is_settled_for_its_siblings() -> None:
    with Server(knows(OWN)) as server:
        client = Client(settings(server.url))
        client.send(TAG)
        client.send(UNTAG)
    assert paths(server) == ["/subscription/tag/add", CONTROL, "/subscription/tag", "/subscription/untag"]


def test_what_is_chosen_in_the_form_is_all_that_is_tried() -> None:
    with Server(knows(OWN)) as server:
        client = Client(settings(server.url, tag_endpoints="add_remove"))
        answers = [client.send(TAG) for _ in range(3)]
    assert set(paths(server)) == {"/subscription/tag/add", CONTROL}
    assert [answer.verdict for answer in answers] == [Verdict.RETRY, Verdict.RETRY, Verdict.FATAL]
    assert "/subscription/tag/add does not exist" in str(answers[2].failure)
    assert "Check the API Address and Tag Endpoints under Advanced" in str(answers[2].failure)


def test_an_unknown_subscription_settles_the_route_and_judges_the_row() -> None:
    with Server(knows(OWN, GONE_SUBSCRIPTION)) as server:
        answer = Client(settings(server.url)).send(TAG)
    assert (answer.verdict, answer.reason and answer.reason.code) == (Verdict.REJECTED, "not_found")


@pytest.mark.parametrize("otherwise", [NO_ROUTE, said(405), Canned(404, b"<html>", {"Content-Type": "text/html"})])
def test_no_row_is_judged_where_no_route_is_found_and_ten_of_them_end_the_sync(otherwise: Canned) -> None:
    with Server(otherwise) as server:
        client = Client(settings(server.url))
        rows = [Operation(TAG.action, {"subscriptionId": f"s{number}", "tagId": "t"}) for number in range(10)]
        answers = [client.send(row) for row in rows]
    assert [(answer.verdict, answer.local) for answer in answers[:9]] == [(Verdict.RETRY, True)] * 9
    assert answers[9].verdict is Verdict.FATAL
    assert "/subscription/tag/add and http" in str(answers[9].failure)
    assert "/subscription/tag do not exist" in str(answers[9].failure)
    assert paths(server).count(CONTROL) <= 1


def test_one_odd_answer_does_not_give_up_a_settled_route() -> None:
    with Server(lambda asked: NO_ROUTE if len(server.asked) > 1 else said(200)) as server:
        client = Client(settings(server.url))
        client.send(TAG)
        assert client.send(TAG).reason is not None
        client.send(TAG)
    assert set(paths(server)) == {"/subscription/tag/add"}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_an_outage_settles_nothing(status: int) -> None:
    with Server(said(status)) as server:
        client = Client(settings(server.url))
        assert client.send(TAG).verdict in (Verdict.RETRY, Verdict.THROTTLED)
        server.answer = knows(OWN)
        assert client.send(TAG).verdict is Verdict.DELIVERED


def test_a_control_that_fails_leaves_it_open() -> None:
    with Server(lambda asked: said(500) if asked.path == CONTROL else NO_ROUTE) as server:
        client = Client(settings(server.url))
        answer = client.send(TAG)
        assert (answer.verdict, answer.local) == (Verdict.RETRY, True)
        server.answer = knows(OWN)
        assert client.send(TAG).verdict is Verdict.DELIVERED


def test_one_call_at_a_time_while_the_route_is_unknown() -> None:
    go, together, most = threading.Event(), 0, 0
    counting = threading.Lock()

    def answer(asked: Asked) -> Canned:
        nonlocal together, most
        with counting:
            together += 1
            most = max(most, together)
        go.wait(10)
        with counting:
            together -= 1
        return said(200) if asked.path in OWN else NO_ROUTE

    with Server(answer) as server:
        client = Client(settings(server.url))
        verdicts: list[Verdict] = []
        threads = [threading.Thread(target=lambda: verdicts.append(client.send(TAG).verdict)) for _ in range(6)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(server.asked) == 1)
        threads[0].join(0.1)
        assert len(server.asked) == 1
        go.set()
        for thread in threads:
            thread.join()
    assert verdicts == [Verdict.DELIVERED] * 6


def test_who_waits_in_vain_for_the_route_judges_no_row() -> None:
    with Server(Canned(200, b" " * 100, trickle=0.05)) as server:
        client = Client(settings(server.url, 0.2))
        first = threading.Thread(target=client.send, args=(TAG,))
        first.start()
        wait_until(lambda: len(server.asked) == 1)
        second = client.send(TAG)
        assert len(server.asked) == 1
        first.join()
    assert (second.verdict, second.local) == (Verdict.RETRY, True)
    assert second.summary.startswith("was not called")


# --- check


def test_a_check_finds_the_route_by_a_call_that_names_no_subscription() -> None:
    with Server(knows(OWN, said(400, "subscriptionId is required"))) as server:
        assert Client(settings(server.url)).find_route(TAG.action) == "/subscription/tag"
    assert {tuple(asked.json) for asked in server.asked} == {("channelId",)}


def test_a_check_says_nothing_in_an_outage_and_fails_where_there_is_no_route() -> None:
    with Server(said(503)) as server:
        assert Client(settings(server.url)).find_route(TAG.action) is None
    with Server(NO_ROUTE) as server, pytest.raises(Failure, match="do not exist"):
        Client(settings(server.url)).find_route(TAG.action)
