"""How strict the simulator is: as the public facts of CleverPush's API, and never more lenient."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from integration_tests.simulator.api import CleverPush, Request, read_body
from integration_tests.simulator.model import DEFAULT_ACCOUNT, POISON, READS, Behaviour

CHANNEL = DEFAULT_ACCOUNT["channels"][0]["_id"]
KEY = DEFAULT_ACCOUNT["api_key"]
EMAIL: dict[str, Any] = {"emailAddress": "jo@example.com"}
ADA, BOB = (given["id"] for given in DEFAULT_ACCOUNT["channels"][0]["subscriptions"][:2])
GONE = {"_id": "native-1", "user_id": "u1", "subscribed": False, "tags": ["vip"], **EMAIL}


def call(api: CleverPush, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, Any]]:
    headers = {"authorization": KEY, "content-type": "application/json", **more.get("headers", {})}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.handle(Request(method, path, urlencode(more.get("query", {}), doseq=True), headers, read_body(raw)))


def playing(*accounts: Mapping[str, Any], **settings: Any) -> CleverPush:
    """An API that behaves so."""
    return CleverPush(accounts or (DEFAULT_ACCOUNT,), Behaviour.of(settings))


def channel_of(*subscriptions: Any, **settings: Any) -> dict[str, Any]:
    """An account with one channel that holds these subscriptions."""
    return {"api_key": KEY, "channels": [{"_id": CHANNEL, "subscriptions": subscriptions, **settings}]}


def sync(api: CleverPush, user: str = "u1", attributes: dict[str, Any] | None = None, **fields: Any) -> tuple[int, Any]:
    body = {"channelId": CHANNEL, **fields, "customAttributes": {"user_id": user, **(attributes or {})}}
    return call(api, "POST", "/subscription/sync", body)


@pytest.mark.parametrize("key", ["", "wrong", f"Bearer {KEY}", DEFAULT_ACCOUNT["public_key"]])
@pytest.mark.parametrize(("method", "path"), [("GET", "/channels"), ("POST", "/subscription/sync")])
def test_only_the_private_key_opens(key: str, method: str, path: str) -> None:
    status, body = call(CleverPush(), method, path, {}, headers={"authorization": key})
    assert (status, body) == (401, {"error": "Invalid API key"})


def test_the_public_route_proves_nothing_about_a_key() -> None:
    status, body = call(CleverPush(), "GET", f"/channel/{CHANNEL}/config", headers={"authorization": "wrong"})
    assert status == 200
    assert {"_id": "vip", "name": "vip"} in body["channelTags"]


def test_a_key_without_a_permission_is_refused() -> None:
    api = CleverPush([{**DEFAULT_ACCOUNT, "permissions": ["subscriptions"]}])
    assert sync(api, **EMAIL)[0] == 200
    body = {"channelId": CHANNEL, "subscriptionId": ADA, "tagId": "vip"}
    assert call(api, "POST", "/subscription/tag/add", body)[0] == 403
    assert call(api, "GET", f"/channel/{CHANNEL}/tags")[0] == 403


def test_an_update_by_user_id_makes_no_second_subscription_and_merges() -> None:
    api = CleverPush()
    first = sync(api, attributes={"city": "Bonn"}, topics=["news"], **EMAIL)[1]["id"]
    assert sync(api, attributes={"visits": 2}, country="DE")[1]["id"] == first
    channel = api.accounts[0].channels[CHANNEL]
    assert len(channel.subscriptions) == 4
    assert channel.subscriptions[first].as_json() == {
        "id": first,
        "subscribed": True,
        "emailAddress": "jo@example.com",
        "country": "DE",
        "customAttributes": {"user_id": "u1", "city": "Bonn", "visits": 2},
        "tags": [],
        "topics": ["news"],
    }


@pytest.mark.parametrize("contact", [EMAIL, {"phoneNumber": "+49170"}, {"pushToken": "t"}])
def test_a_new_subscription_needs_a_contact(contact: dict[str, Any]) -> None:
    api = CleverPush()
    status, body = sync(api, country="DE")
    assert status == 400
    assert "required" in body["error"]
    assert sync(api, **contact)[0] == 200


@pytest.mark.parametrize(
    ("fields", "attributes", "named"),
    [
        ({}, {"shoe_size": 44}, "shoe_size"),
        ({}, {"city": None}, "city"),
        ({}, {"city": ["Bonn"]}, "city"),
        ({}, {"city": {"name": "Bonn"}}, "city"),
        ({"topics": ["gossip"]}, {}, "gossip"),
        ({"topics": "news"}, {}, "topics"),
        ({"topics": [1]}, {}, "topics"),
        ({"emailAddress": 1}, {}, "emailAddress"),
        ({"emailAddress": "nobody"}, {}, "emailAddress"),
        ({"emailAddress": "@"}, {}, "emailAddress"),
        ({"emailAddress": ""}, {}, "emailAddress"),
        ({"phoneNumber": 49170}, {}, "phoneNumber"),
        ({"country": None}, {}, "country"),
        ({"topics": None}, {}, "topics"),
        ({"email": "jo@example.com"}, {}, "email"),
    ],
)
def test_what_the_channel_does_not_have_is_refused_by_name(
    fields: dict[str, Any], attributes: dict[str, Any], named: str
) -> None:
    status, body = sync(CleverPush(), attributes=attributes, **{**EMAIL, **fields})
    assert status == 400
    assert named in body["error"]


@pytest.mark.parametrize("attributes", [None, "user_id", ["u1"]])
def test_custom_attributes_are_an_object(attributes: Any) -> None:
    body = {"channelId": CHANNEL, **EMAIL, "customAttributes": attributes}
    status, answer = call(CleverPush(), "POST", "/subscription/sync", body)
    assert (status, answer) == (400, {"error": "customAttributes must be an object"})


def test_an_opt_in_form_needs_an_email_address_and_asks_once() -> None:
    api = CleverPush()
    assert sync(api, phoneNumber="+49170", emailOptInFormId="form")[0] == 400
    assert sync(api, emailOptInFormId="form", **EMAIL)[1]["emailConfirmationNeeded"] is True
    assert sync(api, emailOptInFormId="form", **EMAIL)[1]["emailConfirmationNeeded"] is False
    assert sync(api, "u2", **EMAIL)[1]["emailConfirmationNeeded"] is False


@pytest.mark.parametrize("user", [None, "", 7])
def test_a_sync_without_a_user_id_is_refused(user: Any) -> None:
    body = {"channelId": CHANNEL, **EMAIL, "customAttributes": {} if user is None else {"user_id": user}}
    assert call(CleverPush(), "POST", "/subscription/sync", body)[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"[" * 100_000,
        b'{"channelId": NaN}',
        b'{"channelId": "\xff"}',
        f'{{"channelId": "{CHANNEL}", "customAttributes": {{"user_id": "u1", "visits": 1e999}}}}'.encode(),
        f'{{"channelId": "{CHANNEL}", "customAttributes": {{"user_id": "\\uD800"}}}}'.encode(),
        json.dumps({"channelId": CHANNEL, **EMAIL, "customAttributes": {"user_id": "u1"}}).encode("utf-16"),
    ],
)
def test_a_body_that_is_no_json_object_in_utf_8_is_refused(body: bytes) -> None:
    status, answer = call(CleverPush(), "POST", "/subscription/sync", body)
    assert status == 400
    assert "JSON" in answer["error"]
    request = Request("POST", "/subscription/sync", "", {}, read_body(body))
    assert CleverPush().subject(request) is None  # whom it is about can be asked of any body


def test_escaped_text_outside_the_basic_plane_is_text() -> None:
    api = CleverPush()
    assert sync(api, "😀", **EMAIL)[0] == 200
    assert "😀" in api.accounts[0].channels[CHANNEL].by_user


def test_the_body_must_be_declared_as_json() -> None:
    headers = {"content-type": "text/plain"}
    assert call(CleverPush(), "POST", "/subscription/sync", {}, headers=headers)[0] == 415


def test_channel_ids_are_case_sensitive() -> None:
    body = {"channelId": CHANNEL.upper(), **EMAIL, "customAttributes": {"user_id": "u1"}}
    assert call(CleverPush(), "POST", "/subscription/sync", body) == (404, {"error": "channel not found"})


def test_a_channel_of_another_account_does_not_exist() -> None:
    other = {"api_key": "other", "channels": [{"_id": "theirs"}]}
    api = CleverPush([DEFAULT_ACCOUNT, other])
    assert call(api, "GET", "/channel/theirs/tags")[0] == 404
    assert [c["_id"] for c in call(api, "GET", "/channels")[1]["channels"]] == [CHANNEL]


ROUTES = {
    "description": {"/subscription/sync", "/subscription/tag/add", "/subscription/tag/remove"},
    "cleverpush": {f"/subscription/sync/{CHANNEL}", "/subscription/tag", "/subscription/untag"},
}
ROUTES |= {"both": ROUTES["description"] | ROUTES["cleverpush"], "none": set()}


@pytest.mark.parametrize("played", ROUTES)
def test_each_server_has_its_routes_and_no_others(played: str) -> None:
    api, found = playing(routes=played), set()
    for path in ROUTES["both"]:
        status, body = call(api, "POST", path, {"channelId": CHANNEL})  # of no subscription, so that it changes nothing
        assert (status, body == {"error": "Not found"}) in ((400, False), (404, True))
        found |= {path} if status == 400 else set()
    assert found == ROUTES[played]


def test_a_server_can_have_routes_of_both_kinds() -> None:
    api = playing(routes={"sync": "description", "tags": "cleverpush"})
    assert sync(api, **EMAIL)[0] == 200
    body = {"channelId": CHANNEL, "subscriptionId": ADA, "tagId": "vip"}
    assert [call(api, "POST", f"/subscription/{path}", body)[0] for path in ("tag/add", "tag")] == [404, 200]


def test_a_sync_that_names_the_channel_in_its_path() -> None:
    api, path = playing(routes="cleverpush"), f"/subscription/sync/{CHANNEL}"
    body: dict[str, Any] = {"channelId": CHANNEL, **EMAIL, "customAttributes": {"user_id": "u1"}}
    assert call(api, "POST", path, body)[0] == 200
    assert call(api, "POST", "/subscription/sync/other", {**body, "channelId": "other"}) == (
        404,
        {"error": "channel not found"},
    )
    assert call(api, "POST", "/subscription/sync/other", body)[0] == 404
    assert call(api, "POST", path, {**body, "channelId": "other"})[0] == 400
    assert call(api, "POST", path, {name: body[name] for name in body if name != "channelId"})[0] == 400
    assert call(api, "POST", f"{path}/", body) == (404, {"error": "Not found"})


@pytest.mark.parametrize(
    ("routes", "add", "remove"),
    [
        ("description", "/subscription/tag/add", "/subscription/tag/remove"),
        ("cleverpush", "/subscription/tag", "/subscription/untag"),
    ],
)
def test_both_pairs_of_tag_routes(routes: str, add: str, remove: str) -> None:
    api = playing(routes=routes)
    body = {"channelId": CHANNEL, "subscriptionId": ADA, "tagId": "vip"}
    assert call(api, "POST", add, body)[0] == 200
    assert api.accounts[0].channels[CHANNEL].subscriptions[ADA].tags == {"vip"}
    for _ in range(2):  # also where it has it not
        assert call(api, "POST", remove, body) == (200, {"success": True})
    assert api.accounts[0].channels[CHANNEL].subscriptions[ADA].tags == set()
    for path in (add, remove):
        assert call(api, "POST", path, {**body, "tagId": "nope"}) == (400, {"error": "Tag nope does not exist"})
        assert call(api, "POST", path, {**body, "subscriptionId": "u-ada"}) == (
            404,
            {"error": "Subscription not found"},
        )
        assert call(api, "POST", path, {**body, "extra": 1})[0] == 400
        assert call(api, "POST", path, {"channelId": CHANNEL, "tagId": "vip"})[0] == 400
        assert call(api, "POST", path, {**body, "channelId": "x"}) == (404, {"error": "channel not found"})


def test_unsubscribing_takes_the_native_id_and_may_be_repeated() -> None:
    api = CleverPush()
    native = sync(api, **EMAIL)[1]["id"]
    body = {"channelId": CHANNEL, "subscriptionId": "u1"}
    assert call(api, "POST", "/subscription/unsubscribe", body)[0] == 404
    for _ in range(2):
        assert call(api, "POST", "/subscription/unsubscribe", {**body, "subscriptionId": native})[0] == 200
    assert not api.accounts[0].channels[CHANNEL].subscriptions[native].subscribed
    assert call(api, "GET", f"/channel/{CHANNEL}/subscription-count")[1] == {
        "subscriptions": 3,
        "inactiveSubscriptions": 1,
    }


def test_pages_of_tags() -> None:
    api = CleverPush([{"api_key": KEY, "channels": [{"_id": "c", "tags": [f"t{n}" for n in range(250)]}]}])
    pages = [
        call(api, "GET", "/channel/c/tags", query={"limit": "100", "skip": str(skip)})[1]["tags"]
        for skip in (0, 100, 200)
    ]
    assert [len(page) for page in pages] == [100, 100, 50]
    wrong = [{"limit": "101"}, {"limit": "0"}, {"limit": "ten"}, {"limit": " 1_0"}, {"skip": "-1"}]
    assert {call(api, "GET", "/channel/c/tags", query=query)[0] for query in wrong} == {400}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/nowhere", "/channels/", f"/channel/{CHANNEL}/tags/", f"//channel/{CHANNEL}/tags", "/"]
)
def test_unknown_routes(method: str, path: str) -> None:
    assert call(CleverPush(), method, path) == (404, {"error": "Not found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/subscription/sync"),
        ("GET", "/subscription/unsubscribe"),
        ("DELETE", "/subscription/tag/add"),
        ("PUT", "/subscription/tag/remove"),
        ("POST", "/channels"),
        ("POST", "/subscription"),
        ("POST", f"/channel/{CHANNEL}/tags"),
        ("POST", f"/channel/{CHANNEL}/subscription-count"),
        ("POST", f"/channel/{CHANNEL}/config"),
    ],
)
def test_known_routes_by_a_wrong_method(method: str, path: str) -> None:
    assert call(CleverPush(), method, path, {}) == (405, {"error": "Method not allowed"})


LOOKUP = {"channelId": CHANNEL, "attributeId": "user_id", "attribute_value": "u1"}


def test_a_subscription_is_found_by_user_id() -> None:
    api = CleverPush()
    native = sync(api, **EMAIL)[1]["id"]
    found = call(api, "GET", "/subscription", query=LOOKUP)[1]["subscription"]
    assert (found["_id"], found["customAttributes"]["user_id"]) == (native, "u1")
    assert call(api, "GET", "/subscription", query={**LOOKUP, "attribute_value": "u2"}) == (
        404,
        {"error": "Subscription not found"},
    )
    for name in LOOKUP:
        assert call(api, "GET", "/subscription", query={**LOOKUP, name: ""})[0] == 400


def test_the_shapes_of_a_subscription_that_was_looked_up() -> None:
    two = channel_of({"id": "n1", "user_id": "u1"}, {"id": "n2", "user_id": "u1"})

    def found(shape: str) -> dict[str, Any]:
        return call(playing(two, lookup=shape), "GET", "/subscription", query=LOOKUP)[1]

    assert found("wrapped")["subscription"]["_id"] == "n1"
    assert (found("bare")["_id"], found("bare_id")["id"]) == ("n1", "n1")
    assert "_id" not in found("bare_id")
    assert [one["_id"] for one in found("list")["subscriptions"]] == ["n1", "n2"]


def test_a_sync_leaves_an_unsubscribed_subscription_unsubscribed() -> None:
    api = CleverPush([{"api_key": KEY, "channels": [{"_id": CHANNEL, "subscriptions": [GONE]}]}])
    assert sync(api, "u1", country="DE") == (200, {"id": "native-1", "emailConfirmationNeeded": False})
    shown = api.accounts[0].channels[CHANNEL].subscriptions["native-1"].as_json()
    assert shown == {
        "id": "native-1",
        "subscribed": False,
        "emailAddress": "jo@example.com",
        "country": "DE",
        "customAttributes": {"user_id": "u1"},
        "tags": ["vip"],
        "topics": [],
    }


def test_native_ids_are_17_letters_and_digits_and_never_user_ids() -> None:
    api = CleverPush()
    ids = {sync(api, f"u{n}", **EMAIL)[1]["id"] for n in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch("[0-9A-Za-z]{17}", native) for native in ids)
    assert sync(CleverPush(), "u7", **EMAIL)[1]["id"] in ids  # the same on every run


def test_a_sync_by_native_id_updates_that_subscription() -> None:
    api = playing(channel_of("n1", {"id": "n2", "user_id": "u1"}, attributes=["user_id", "city"]))
    channel = api.accounts[0].channels[CHANNEL]

    def by_native(native: Any, **attributes: Any) -> tuple[int, Any]:
        body = {"channelId": CHANNEL, "subscriptionId": native, "customAttributes": attributes}
        return call(api, "POST", "/subscription/sync", body)

    assert by_native("n1", city="Bonn") == (200, {"id": "n1", "emailConfirmationNeeded": False})
    assert by_native("n1", user_id="u1")[1]["id"] == "n1"
    assert list(channel.by_user["u1"]) == ["n2", "n1"]  # one person, two subscriptions
    assert sync(api, "u1")[1]["id"] == "n2"
    assert by_native("n2", user_id="u2")[1]["id"] == "n2"
    assert sync(api, "u1")[1]["id"] == "n1"
    assert by_native("u1", city="Bonn") == (404, {"error": "Subscription not found"})
    assert by_native("")[0] == by_native("n1", user_id="")[0] == by_native("n1", shoe_size=1)[0] == 400
    assert len(channel.subscriptions) == 2


def test_a_server_that_never_finds_a_subscription_by_user_id_fills_with_copies() -> None:
    api = playing(copies=True)
    assert len({sync(api, **EMAIL)[1]["id"] for _ in range(3)}) == 3
    assert sync(api)[0] == 400
    assert len(api.accounts[0].channels[CHANNEL].by_user["u1"]) == 3


def test_a_subscription_can_be_gone_once_it_is_unsubscribed() -> None:
    api = playing(unsubscribe_deletes=True, gone_status=410)
    body = {"channelId": CHANNEL, "subscriptionId": ADA}
    assert call(api, "POST", "/subscription/unsubscribe", body)[0] == 200
    assert call(api, "POST", "/subscription/unsubscribe", body) == (410, {"error": "Subscription not found"})
    assert sync(api, "u-ada")[0] == 400


def test_any_attribute_is_accepted_where_it_is_asked_for() -> None:
    api = playing(channel_of(any_attribute=True))
    assert sync(api, attributes={"shoe_size": 44}, **EMAIL)[0] == 200
    assert sync(api, attributes={"shoe_size": [44]}, **EMAIL)[0] == 400


def test_writes_that_no_key_opens() -> None:
    api = playing(open_writes=True)
    body = {"channelId": CHANNEL, "subscriptionId": ADA}
    headers = {"authorization": "wrong"}
    assert call(api, "POST", "/subscription/unsubscribe", body, headers=headers)[0] == 200
    assert call(api, "POST", "/subscription/unsubscribe", {**body, "channelId": "x"}, headers=headers)[0] == 404
    assert call(api, "GET", "/channels", headers=headers)[0] == 401


def test_the_secrets_of_the_account_stand_among_its_channels_only() -> None:
    api = CleverPush()
    (channel,) = call(api, "GET", "/channels")[1]["channels"]
    assert {n for n, value in channel.items() if POISON in value} == {
        "vapidPrivateKey",
        "fcmCredentials",
        "apnsAuthKey",
    }
    assert POISON not in json.dumps([call(api, "GET", path) for path in PATHS.values() if path != "/channels"])


PATHS = {name: f"/{name}" if name in ("channels", "subscription") else f"/channel/{CHANNEL}/{name}" for name in READS}


@pytest.mark.parametrize("read", READS)
def test_each_read_can_be_forbidden_or_lacking(read: str) -> None:
    query = {**LOOKUP, "attribute_value": "u-ada"} if read == "subscription" else {}
    assert call(CleverPush(), "GET", PATHS[read], query=query)[0] == 200
    assert call(playing(forbidden=[read]), "GET", PATHS[read], query=query) == (403, {"error": "Forbidden"})
    assert call(playing(lacking=[read]), "GET", PATHS[read], query=query) == (404, {"error": "Not found"})
    others = [name for name in READS if name not in (read, "subscription")]
    assert {call(playing(forbidden=[read]), "GET", PATHS[name])[0] for name in others} == {200}


@pytest.mark.parametrize("read", [name for name in READS if name not in ("config", "channels")])
def test_reads_need_the_key_and_the_channel(read: str) -> None:
    wrong = PATHS[read].replace(CHANNEL, "x")
    query = {**LOOKUP, "channelId": "x"} if read == "subscription" else {}
    assert call(CleverPush(), "GET", PATHS[read], headers={"authorization": "wrong"})[0] == 401
    assert call(CleverPush(), "GET", wrong, query=query) == (404, {"error": "channel not found"})


def test_topics_and_segments_have_pages_too() -> None:
    topic = {"_id": "t1", "name": "One", "externalId": "x1"}
    api = playing(channel_of(topics=["t0", topic], segments=["s0"]))
    query = {"limit": 1, "skip": 1}
    assert call(api, "GET", f"/channel/{CHANNEL}/topics", query=query) == (200, {"topics": [topic]})
    assert call(api, "GET", f"/channel/{CHANNEL}/segments") == (200, {"segments": [{"_id": "s0", "name": "s0"}]})
    assert topic in call(api, "GET", f"/channel/{CHANNEL}/config")[1]["channelTopics"]


@pytest.mark.parametrize("inclusive", [False, True])
def test_subscriptions_are_read_by_a_cursor(inclusive: bool) -> None:
    people = [{"user_id": f"u{n}"} for n in range(25)]
    api = playing(channel_of(*people), page_size=10, inclusive_cursor=inclusive)
    found: list[dict[str, Any]] = []
    while True:
        query = {"fields": ["customAttributes", "tags"]} | ({"startId": found[-1]["_id"]} if found else {})
        page = call(api, "GET", f"/channel/{CHANNEL}/subscriptions", query=query)[1]["subscriptions"]
        if not page or page[-1]["_id"] == (found[-1]["_id"] if found else None):
            break
        found += page[inclusive and len(found) > 0 :]
    assert sorted(one["customAttributes"]["user_id"] for one in found) == sorted(one["user_id"] for one in people)
    assert found[0].keys() == {"_id", "customAttributes", "tags"}
    bare = call(api, "GET", f"/channel/{CHANNEL}/subscriptions")[1]["subscriptions"]
    assert [one.keys() for one in bare] == [{"_id"}] * 10


def test_whom_a_request_is_about() -> None:
    api = playing(channel_of({"id": "n1", "user_id": "u1"}))

    def about(body: Any, path: str = "/subscription/sync", query: str = "") -> tuple[str | None, str | None]:
        request = Request("POST", path, query, {}, read_body(json.dumps(body).encode() if body else b""))
        subject = api.subject(request)
        return subject, subject and api.native(request, subject)

    assert about({"channelId": CHANNEL, "customAttributes": {"user_id": "u1"}}) == ("u1", "n1")
    assert about({"channelId": CHANNEL, "customAttributes": {"user_id": "u2"}}) == ("u2", "u2")
    assert about({"channelId": CHANNEL, "subscriptionId": "u1"}) == ("u1", "u1")
    assert about(None, "/subscription", urlencode(LOOKUP)) == ("u1", "n1")
    assert about(None, "/channels") == (None, None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"route": "both"}, "route"),
        ({"routes": "mine"}, "mine"),
        ({"routes": {"tags": "mine"}}, "mine"),
        ({"forbidden": ["everything"]}, "everything"),
        ({"lookup": "xml"}, "xml"),
        ({"gone_status": 400}, "400"),
    ],
)
def test_a_behaviour_that_there_is_not_is_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Behaviour.of(settings)


def test_a_subscription_is_configured_with_known_fields_only() -> None:
    with pytest.raises(ValueError, match="mail"):
        CleverPush([{"api_key": KEY, "channels": [{"_id": "c", "subscriptions": [{"id": "s", "mail": "x"}]}]}])
