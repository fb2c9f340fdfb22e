"""The table of objects: what holds for each, and how another one is added."""

from __future__ import annotations

import pytest

from destination_cleverpush.objects.plan import plan_streams
from destination_cleverpush.objects.settings import Settings
from destination_cleverpush.objects.shape import CleverPushObject, Fields, IdKind
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.objects.values import texts
from destination_cleverpush.words import Action, Operation, StreamId
from unit_tests.objects.examples import made, mapped, row, settings, stream


def test_the_objects_by_name_and_as_the_form_shows_them() -> None:
    assert {name: found.title for name, found in OBJECTS.items()} == {
        "subscriptions": "Subscriptions (Attributes)",
        "tags": "Tags",
    }


@pytest.mark.parametrize("found", OBJECTS.values(), ids=list(OBJECTS))
def test_an_object_is_whole(found: CleverPushObject) -> None:
    assert {*found.required_fields, *found.told_fields} <= found.known_fields
    assert "subscription_id" in found.required_fields
    assert len({action.name for action in found.actions}) == len(found.actions)
    for action in found.actions:
        assert all(path.startswith("/subscription/") for path in action.routes.values())
        assert (action.option is not None) == (len(action.routes) > 1)


def test_how_each_call_names_its_subscription() -> None:
    assert (OBJECTS["subscriptions"].put_id, OBJECTS["subscriptions"].remove_id) == (IdKind.EXTERNAL, IdKind.NATIVE)
    assert (OBJECTS["tags"].put_id, OBJECTS["tags"].remove_id) == (IdKind.NATIVE, IdKind.NATIVE)


# A third object, as its module would hold it.

ADD_TOPIC = Action("add_topic", {"plain": "/subscription/topic/add"})
REMOVE_TOPIC = Action("remove_topic", {"plain": "/subscription/topic/remove"})


def _put(fields: Fields, settings: Settings) -> list[Operation]:
    return _each(ADD_TOPIC, fields)


def _remove(fields: Fields, settings: Settings) -> list[Operation]:
    return _each(REMOVE_TOPIC, fields)


def _each(action: Action, fields: Fields) -> list[Operation]:
    topics = texts("topics", fields.get("topics", [])) or []
    return [Operation(action, {"topicId": topic}) for topic in topics]


TOPICS = CleverPushObject(
    name="topics",
    title="Topics",
    known_fields=frozenset({"subscription_id", "topics"}),
    required_fields=("subscription_id", "topics"),
    told_fields=("subscription_id", "topics"),
    put_id=IdKind.NATIVE,
    remove_id=IdKind.NATIVE,
    lists=("topics",),
    actions=(ADD_TOPIC, REMOVE_TOPIC),
    put=_put,
    remove=_remove,
)


def test_a_third_object_is_planned_and_mapped_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTS, TOPICS.name, TOPICS)
    chosen = settings(
        "topics",
        audience_mode="mirror",
        removed_field="gone",
        field_mapping=mapped(subscription_id="id", topics="themes"),
        unmapped_fields="ignore",
    )
    plan = plan_streams(chosen, [stream()])[StreamId("users")]
    sent = [
        (operation.action.name, operation.payload["subscriptionId"], operation.payload["topicId"])
        for data in (
            {"id": "s1", "themes": "n1, n2", "other": 1, "gone": False},
            {"id": "s2", "themes": "n1", "gone": True},
        )
        for operation in made(plan.job(row(data)).script)
    ]
    assert sent == [("add_topic", "s1", "n1"), ("add_topic", "s1", "n2"), ("remove_topic", "s2", "n1")]
    assert plan.identifiers({"id": "s1", "themes": "n1"}) == ("s1", ["subscription_id", "topics", "s1", "n1"])
