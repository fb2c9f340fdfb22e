"""Streams that the platform maps to an object: which object and mode hold for each, and what contradicts itself."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.objects.activation import modes, stream_settings
from destination_cleverpush.objects.plan import plan_streams
from destination_cleverpush.objects.settings import AudienceMode
from destination_cleverpush.objects.subscriptions import SYNC, UNSUBSCRIBE
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.objects.tags import ADD_TAG, REMOVE_TAG
from destination_cleverpush.words import Action, Stream, StreamId
from unit_tests.objects.examples import made, mapped, row, settings, stream

KEPT = {"subscription_id": "s1", "tags": "t1", "removed": None}
REMOVED = {"subscription_id": "s1", "tags": "t1", "removed": True}


def activated(
    object_name: str = "subscriptions",
    mode: str | None = "append_dedup",
    columns: dict[str, Any] | None = None,
    key: tuple[tuple[str, ...], ...] = (("subscription_id",),),
) -> Stream:
    """The stream `users`, as the platform maps it; without columns it has no schema."""
    schema = {} if columns is None else {"properties": columns}
    return Stream(StreamId("users"), schema, destination_sync_mode=mode, object_name=object_name, primary_key=key)


def actions(data: dict[str, Any], subject: Stream, **fields: Any) -> list[Action]:
    job = plan_streams(settings(**fields), [subject])[subject.id].job(row(data))
    assert job.refusal is None
    return [operation.action for operation in made(job.script)]


@pytest.mark.parametrize(
    ("object_name", "mode", "audience_mode", "done"),
    [
        ("subscriptions", "append", "upsert", ([SYNC], [])),
        ("subscriptions", "append", "mirror", ([SYNC], [])),
        ("subscriptions", "append_dedup", "remove", ([SYNC], [])),
        ("subscriptions", "append_dedup", "mirror", ([SYNC], [UNSUBSCRIBE])),
        ("subscriptions", "soft_delete", "upsert", ([UNSUBSCRIBE], [UNSUBSCRIBE])),
        ("tags", "append", "remove", ([ADD_TAG], [])),
        ("tags", "append_dedup", "add", ([ADD_TAG], [])),
        ("tags", "append_dedup", "mirror", ([ADD_TAG], [REMOVE_TAG])),
        ("tags", "soft_delete", "mirror", ([REMOVE_TAG], [REMOVE_TAG])),
    ],
)
@pytest.mark.parametrize("configured", list(OBJECTS))
def test_object_and_mode_of_the_stream_take_the_place_of_the_forms(
    configured: str, object_name: str, mode: str, audience_mode: str, done: tuple[list[Action], list[Action]]
) -> None:
    subject = activated(object_name, mode)
    found = (actions(row, subject, object_type=configured, audience_mode=audience_mode) for row in (KEPT, REMOVED))
    assert tuple(found) == done


def test_a_stream_that_the_platform_does_not_map_has_the_forms_settings() -> None:
    form = settings("tags", audience_mode="mirror")
    assert stream_settings(form, stream()) is form


def test_the_field_mapping_does_not_apply_and_one_line_says_so() -> None:
    told: list[tuple[int, str]] = []
    form = settings(field_mapping=mapped(subscription_id="id"), unmapped_fields="ignore")
    subject, other = activated(), Stream(StreamId("orders"), {})
    plans = plan_streams(form, [subject, other], lambda level, sentence: told.append((level, sentence)))
    job = plans[subject.id].job(row({"subscription_id": "s1", "id": "another", "plan": "gold"}))
    assert job.script
    assert next(job.script).payload == {"customAttributes": {"id": "another", "plan": "gold", "user_id": "s1"}}
    assert told == [
        (
            logging.INFO,
            (
                "Field Mapping and Columns Without a Mapping do not apply to 'users': the connection maps these "
                "streams "
                "itself."
            ),
        )
    ]


def test_a_form_whose_mapping_fills_no_id_does_not_matter_to_mapped_streams() -> None:
    form = settings(field_mapping=mapped(email="mail"), unmapped_fields="ignore")
    assert plan_streams(form, [activated()])
    with pytest.raises(Failure):
        plan_streams(form, [activated(), Stream(StreamId("orders"), {})])


def test_nothing_is_told_of_a_marker_that_nobody_mapped() -> None:
    told: list[str] = []
    columns = {"subscription_id": {"type": "string"}, "tags": None}  # the platform has no type for a renamed list
    plans = plan_streams(settings(), [activated("tags", columns=columns)], lambda _, sentence: told.append(sentence))
    assert actions({"subscription_id": "s1", "tags": ["t1", "t2"]}, activated("tags", columns=columns)) == [ADD_TAG] * 2
    for plan in plans.values():
        plan.end()
    assert told == []


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (
            activated("users"),
            (
                "is to become the object 'users', which there is not. Choose another object in the connection: "
                "subscriptions, tags; if it is not offered there, have Airbyte refresh the destination's objects first."
            ),
        ),
        (
            activated("tags", "update"),
            (
                "has the sync mode 'Update', which tags do not have. Choose another sync mode in the connection: "
                "Upsert, Insert, Soft delete; if it is not offered there, have Airbyte refresh the destination's "
                "objects first."
            ),
        ),
        (
            activated(mode="overwrite"),
            (
                "has the sync mode 'overwrite', which subscriptions do not have. Choose another sync mode in the "
                "connection: Upsert, Insert, Update, Soft delete; if it is not offered there, have Airbyte refresh the "
                "destination's objects first."
            ),
        ),
        (
            activated(mode=None),
            (
                "has no sync mode. Choose another sync mode in the connection: Upsert, Insert, Update, Soft "
                "delete; if it is not offered there, have Airbyte refresh the destination's objects first."
            ),
        ),
        (
            activated(key=(("email",), ("a", "b"))),
            "has the matching key 'email', 'a.b'. Make 'subscription_id' the matching key in the connection.",
        ),
        (
            activated("tags", columns={"subscription_id": {}, "tag": {}}),
            "fills no 'tags', which tags need (nearest: 'tag'). Map a column to it in the connection.",
        ),
        (
            activated("subscriptions", "soft_delete", columns={"email": {}}),
            (
                "fills no 'subscription_id', which subscriptions need (nearest: 'email'). Map a column to it in the "
                "connection."
            ),
        ),
        (
            activated(columns={"subscription_id": {}, "user_id": {}}),
            (
                "fills 'user_id', by which CleverPush finds a subscription. Map the column to 'subscription_id' "
                "in the connection instead; it is sent as user_id."
            ),
        ),
        (
            activated(columns={"subscription_id": {}, "email": {}}),
            (
                "is to be mirrored, and no column is mapped to 'removed', by which Mirror removes. Map one to "
                "it in the connection, or choose another Audience Sync Mode in the destination's settings."
            ),
        ),
    ],
)
def test_contradictions_name_the_stream_and_the_screen(subject: Stream, message: str) -> None:
    with pytest.raises(Failure) as failed:
        plan_streams(settings(audience_mode="mirror"), [subject])
    assert failed.value.kind is FailureKind.CONFIG
    assert failed.value.message == f"Stream 'users' {message}"


@pytest.mark.parametrize("object_name", list(OBJECTS))
def test_every_mode_that_is_offered_is_carried_out(object_name: str) -> None:
    for mode in modes(object_name):
        found = stream_settings(settings("tags", audience_mode="remove"), activated(object_name, mode))
        assert (found.object_type, found.removed_field) == (object_name, "removed")
        assert (found.audience_mode is AudienceMode.REMOVE) == (mode == "soft_delete")
        assert found.only_existing == (mode == "update")
