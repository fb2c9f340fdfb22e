"""Settings, streams and rows for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from destination_cleverpush.objects.settings import AudienceMode, FieldMapping, Settings, SubscriptionIdKind
from destination_cleverpush.words import DELIVERED, Answer, Operation, Row, Script, Stream, StreamId


def settings(
    object_type: str = "subscriptions",
    *,
    audience_mode: str = "upsert",
    removed_field: str = "_ab_cdc_deleted_at",
    field_mapping: tuple[FieldMapping, ...] = (),
    unmapped_fields: str = "send",
    email_opt_in_form_id: str | None = None,
    removed_values: tuple[str, ...] | None = None,
    kind: str = "by_call",
    tags_are_names: bool = False,
) -> Settings:
    """Settings as the form's defaults, but that all columns are sent, and these."""
    return Settings(
        object_type=object_type,
        audience_mode=AudienceMode(audience_mode),
        removed_field=removed_field,
        field_mapping=field_mapping,
        unmapped_fields=unmapped_fields,
        email_opt_in_form_id=email_opt_in_form_id,
        removed_values=removed_values,
        subscription_id_kind=SubscriptionIdKind(kind),
        tags_are_names=tags_are_names,
    )


def mapped(**columns: str) -> tuple[FieldMapping, ...]:
    """A field mapping: destination field to source column."""
    return tuple(FieldMapping(source, destination) for destination, source in columns.items())


def stream(name: str = "users", namespace: str | None = None, schema: dict[str, Any] | None = None) -> Stream:
    """A stream of this schema, none if it is not given."""
    return Stream(StreamId(name, namespace), schema or {})


def row(data: dict[str, Any], stream: str = "users") -> Row:
    """The first row of the stream."""
    return Row(StreamId(stream), data, emitted_at=1_700_000_000_000, size=100, position=1)


def made(script: Script | None, answer: Callable[[Operation], Answer] = lambda _: DELIVERED) -> list[Operation]:
    """The calls that a script makes, each answered; none where there is no script."""
    calls: list[Operation] = []
    if script is None:
        return calls
    try:
        calls.append(next(script))
        while True:
            calls.append(script.send(answer(calls[-1])))
    except StopIteration:
        return calls
