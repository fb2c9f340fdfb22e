"""How strict the simulator is: as the public facts of CleverPush's API, and never more lenient."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration_tests.simulator.model import DEFAULT_ACCOUNT, CleverPush, Request, subject

CHANNEL = DEFAULT_ACCOUNT["channels"][0]["_id"]
KEY = DEFAULT_ACCOUNT["api_key"]
EMAIL: dict[str, Any] = {"emailAddress": "jo@example.com"}
GONE = {"_id": "native-1", "user_id": "u1", "subscribed": False, "tags": ["vip"], **EMAIL}


def call(api: CleverPush, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, Any]]:
    headers = {"authorization": KEY, "content-type": "application/json", **more.get("headers", {})}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.handle(Request(method, path, more.get("query", {}), headers, raw))


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
    body = {"channelId": CHANNEL, "subscriptionId": "sub-1", "tagId": "vip"}
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
    subject(body)  # whom it is about can be asked of any body


def test_escaped_text_outside_the_basic_plane_is_text() -> None:
    api = CleverPush()
    assert sync(api, "😀", **EMAIL)[0] == 200
    assert "😀" in api.accounts[0].channels[CHANNEL].by_user


def test_the_body_must_be_declared_as_json() -> None:
    headers = {"content-type": "text/plain"}
    assert call(CleverPush(), "POST", "/subscription/sync", {}, headers=headers)[0] == 415


def test_channel_ids_are_case_sensitive() -> None:
    body = {"channelId": CHANNEL.upper(), **EMAIL, "customAttributes": {"user_id": "u1"}}
    assert call(CleverPush(), "POST", "/subscription/sync", body) == (404, {"error": "Channel not found"})


def test_a_channel_of_another_account_does_not_exist() -> None:
    other = {"api_key": "other", "channels": [{"_id": "theirs"}]}
    api = CleverPush([DEFAULT_ACCOUNT, other])
    assert call(api, "GET", "/channel/theirs/tags")[0] == 404
    assert [c["_id"] for c in call(api, "GET", "/channels")[1]["channels"]] == [CHANNEL]


@pytest.mark.parametrize(
    ("add", "remove"),
    [("/subscription/tag/add", "/subscription/tag/remove"), ("/subscription/tag", "/subscription/untag")],
)
def test_both_pairs_of_tag_routes(add: str, remove: str) -> None:
    api = CleverPush()
    body = {"channelId": CHANNEL, "subscriptionId": "sub-1", "tagId": "vip"}
    assert call(api, "POST", add, body)[0] == 200
    assert api.accounts[0].channels[CHANNEL].subscriptions["sub-1"].tags == {"vip"}
    assert call(api, "POST", remove, body)[0] == 200
    assert api.accounts[0].channels[CHANNEL].subscriptions["sub-1"].tags == set()
    assert call(api, "POST", add, {**body, "tagId": "nope"}) == (400, {"error": "Tag nope does not exist"})
    assert call(api, "POST", add, {**body, "subscriptionId": "u1"}) == (404, {"error": "Subscription not found"})
    assert call(api, "POST", add, {**body, "extra": 1})[0] == 400
    assert call(api, "POST", add, {"channelId": CHANNEL, "tagId": "vip"})[0] == 400


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
    assert call(CleverPush(), method, path) == (404, {"error": "Route not found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/subscription/sync"),
        ("GET", "/subscription/unsubscribe"),
        ("DELETE", "/subscription/tag"),
        ("PUT", "/subscription/untag"),
        ("POST", "/channels"),
        ("POST", "/subscription"),
        ("POST", f"/channel/{CHANNEL}/tags"),
        ("POST", f"/channel/{CHANNEL}/subscription-count"),
        ("POST", f"/channel/{CHANNEL}/config"),
    ],
)
def test_known_routes_by_a_wrong_method(method: str, path: str) -> None:
    assert call(CleverPush(), method, path, {}) == (405, {"error": "Method not allowed"})


def test_a_subscription_is_found_by_user_id() -> None:
    api = CleverPush()
    native = sync(api, **EMAIL)[1]["id"]
    query = {"channelId": CHANNEL, "attributeId": "user_id", "attribute_value": "u1"}
    assert call(api, "GET", "/subscription", query=query)[1]["id"] == native
    assert call(api, "GET", "/subscription", query={**query, "attribute_value": "u2"})[0] == 404
    for name in query:
        assert call(api, "GET", "/subscription", query={**query, name: ""})[0] == 400


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


def test_a_subscription_is_configured_with_known_fields_only() -> None:
    with pytest.raises(ValueError, match="mail"):
        CleverPush([{"api_key": KEY, "channels": [{"_id": "c", "subscriptions": [{"id": "s", "mail": "x"}]}]}])
