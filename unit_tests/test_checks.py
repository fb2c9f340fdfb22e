"""The connection check beyond the key: routes, lists, and what the mapping has no attribute for."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from destination_cleverpush.checks import check_connection
from destination_cleverpush.errors import Failure, FailureKind
from unit_tests.configurations import CHANNEL, make_config, mapped
from unit_tests.server import Asked, Canned, Server, said

LISTS = {
    f"/channel/{CHANNEL}/tags": {"tags": [{"_id": "t1", "name": "VIP"}]},
    f"/channel/{CHANNEL}/topics": {"topics": []},
    f"/channel/{CHANNEL}/config": {"customAttributes": [{"id": "tier", "name": "Tier"}]},
    "/channels": {"channels": [{"_id": CHANNEL, "vapidPrivateKey": "s3cret"}]},
}


def cleverpush(*routes: str, writes: Canned | None = None) -> Any:
    def answer(asked: Asked) -> Canned:
        path = asked.path.partition("?")[0]
        if asked.method == "GET":
            return said(200, LISTS[path]) if path in LISTS else said(404, "Not found")
        if path not in routes:
            return said(404, "Not found")
        return writes or said(400, "subscriptionId must be a text")

    return answer


def told(server: Server, **fields: Any) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    check_connection(make_config(server.url, **fields), lambda level, sentence: found.append((level, sentence)))
    return found


@pytest.mark.parametrize("add", ["/subscription/tag/add", "/subscription/tag"])
@pytest.mark.parametrize("remove", ["/subscription/tag/remove", "/subscription/untag"])
def test_the_routes_for_tags_are_found_by_calls_that_change_nothing(add: str, remove: str) -> None:
    with Server(cleverpush(add, remove)) as server:
        found = told(server, object_type="tags")
        assert all(asked.json == {"channelId": CHANNEL} for asked in server.written)
    assert (logging.INFO, f"Tag routes: add_tag {add}, remove_tag {remove}.") in found
    assert (logging.INFO, "Channel has: 1 tags (t1).") in found


def test_a_server_without_routes_for_tags_fails_the_check() -> None:
    with Server(cleverpush()) as server, pytest.raises(Failure, match="/subscription/tag/add and ") as failure:
        told(server, object_type="tags")
    assert failure.value.kind is FailureKind.CONFIG


def test_an_outage_of_the_routes_settles_nothing_and_fails_nothing() -> None:
    with Server(cleverpush("/subscription/tag/add", "/subscription/tag/remove", writes=said(503))) as server:
        found = told(server, object_type="tags")
    unknown = "not told, a sync finds out"
    assert (logging.INFO, f"Tag routes: add_tag {unknown}, remove_tag {unknown}.") in found


def test_subscriptions_are_never_synced_and_their_mapping_is_compared() -> None:
    with Server(cleverpush()) as server:
        found = told(server, field_mapping=mapped(subscription_id="id", email="mail", tierr="tier", tier="t"))
        assert server.written == []
    assert (logging.INFO, "Channel has: 0 topics, 1 attributes (tier).") in found
    (warning,) = [sentence for level, sentence in found if level == logging.WARNING]
    assert warning.startswith("Field Mapping: the channel has no custom attribute with the ID 'tierr' (mapped")
    assert "'tier' (" not in warning


def test_secrets_of_the_account_are_told_nowhere() -> None:
    with Server(cleverpush("/subscription/tag", "/subscription/untag")) as server:
        assert "s3cret" not in str(told(server, object_type="tags"))
