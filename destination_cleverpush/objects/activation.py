"""Streams that the platform maps to an object (data activation): what object and mode it gave them, as settings.

Such a stream's columns have the fields' names already, and only those that were mapped arrive (airbyte-platform
repository, `DestinationCatalog` and the mappers).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.objects.columns import nearest
from destination_cleverpush.objects.notices import Tell
from destination_cleverpush.objects.settings import AudienceMode, Settings
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.words import Stream

MATCHING_KEY = "subscription_id"
"""The field that rows are matched by: the only matching key of every object."""

REMOVED_FIELD = "removed"
"""The removed marker of such a stream: a field of every object, so that a column can be mapped to it."""

INSERT, UPSERT, UPDATE, SOFT_DELETE = "append", "append_dedup", "update", "soft_delete"
SHOWN = {INSERT: "Insert", UPSERT: "Upsert", UPDATE: "Update", SOFT_DELETE: "Soft delete"}
"""The destination sync modes as the platform's form shows them."""

_SCREEN = "in the connection"


def modes(object_name: str) -> list[str]:
    """The destination sync modes that an object has, in the platform's names."""
    return [UPSERT, INSERT, *([UPDATE] if OBJECTS[object_name].can_update else []), SOFT_DELETE]


def stream_settings(settings: Settings, stream: Stream) -> Settings:
    """The settings that hold for a stream: the form's, but for object and mode where the platform names them.

    Raises:
        Failure: `config_error`: what the platform names contradicts what there is.
    """
    if stream.object_name is None:
        return settings
    _check(stream, stream.object_name)
    mirrors = stream.destination_sync_mode == UPSERT and settings.audience_mode is AudienceMode.MIRROR
    found = {INSERT: AudienceMode.ADD, SOFT_DELETE: AudienceMode.REMOVE}
    mode = AudienceMode.MIRROR if mirrors else found.get(stream.destination_sync_mode or "", AudienceMode.UPSERT)
    columns = _columns(stream)
    if mirrors and columns and REMOVED_FIELD not in columns:
        raise _wrong(
            stream,
            f"is to be mirrored, and no column is mapped to '{REMOVED_FIELD}', by which Mirror removes",
            f"Map one to it {_SCREEN}, or choose another Audience Sync Mode in the destination's settings",
        )
    return replace(
        settings,
        object_type=stream.object_name,
        audience_mode=mode,
        removed_field=REMOVED_FIELD,
        field_mapping=(),
        unmapped_fields="send",
        mapped_by_platform=True,
        only_existing=stream.destination_sync_mode == UPDATE,
    )


def tell_ignored(settings: Settings, streams: Sequence[Stream], tell: Tell) -> None:
    """One line where the form's mapping does not apply to streams that the platform maps."""
    mapped = [f"'{stream.id}'" for stream in streams if stream.object_name is not None]
    if mapped and (settings.field_mapping or settings.unmapped_fields == "ignore"):
        tell(
            logging.INFO,
            f"Field Mapping and Columns Without a Mapping do not apply to {', '.join(mapped)}: the connection maps "
            "these streams itself.",
        )


def _check(stream: Stream, name: str) -> None:
    if name not in OBJECTS:
        raise _wrong(stream, f"is to become the object '{name}', which there is not", _choose("object", OBJECTS))
    mode = stream.destination_sync_mode
    if mode not in modes(name):
        which = f"the sync mode '{SHOWN.get(mode, mode)}', which {name} do not have" if mode else "no sync mode"
        raise _wrong(stream, f"has {which}", _choose("sync mode", (SHOWN[each] for each in modes(name))))
    if stream.primary_key and stream.primary_key != ((MATCHING_KEY,),):
        keys = ", ".join(f"'{'.'.join(path)}'" for path in stream.primary_key)
        raise _wrong(stream, f"has the matching key {keys}", f"Make '{MATCHING_KEY}' the matching key {_SCREEN}")
    columns = _columns(stream)
    if not columns:
        return
    for field in OBJECTS[name].required_fields:
        if field not in columns:
            like = ", ".join(f"'{column}'" for column in nearest(field, columns))
            raise _wrong(
                stream, f"fills no '{field}', which {name} need (nearest: {like})", f"Map a column to it {_SCREEN}"
            )
    if "user_id" in columns:
        raise _wrong(
            stream,
            "fills 'user_id', by which CleverPush finds a subscription",
            f"Map the column to '{MATCHING_KEY}' {_SCREEN} instead; it is sent as user_id",
        )


def _columns(stream: Stream) -> list[str]:
    properties = stream.schema.get("properties")
    return list(properties) if isinstance(properties, Mapping) else []


def _choose(what: str, names: Iterable[str]) -> str:
    return (
        f"Choose another {what} {_SCREEN}: {', '.join(names)}; if it is not offered there, have Airbyte refresh the "
        "destination's objects first"
    )


def _wrong(stream: Stream, what: str, remedy: str) -> Failure:
    return config_error(f"Stream '{stream.id}' {what}. {remedy}.")
