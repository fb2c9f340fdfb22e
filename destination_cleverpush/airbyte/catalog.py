"""The configured catalog, typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.words import Stream, StreamId

_MODES = frozenset({"append", "append_dedup", "overwrite", "overwrite_dedup"})


def read_catalog(raw: Mapping[str, Any]) -> list[Stream]:
    """The streams of a ConfiguredAirbyteCatalog as JSON.

    Raises:
        Failure: `config_error`: it is no catalog, or asks for what this version does not carry out.
    """
    try:
        streams = [_stream(configured) for configured in raw["streams"]]
    except (KeyError, TypeError, AttributeError):
        raise config_error("The catalog is not a configured Airbyte catalog: it has no list of streams.") from None
    for stream in streams:
        if failure := _not_carried_out(stream):
            raise failure
    return streams


def _stream(configured: Mapping[str, Any]) -> Stream:
    definition = configured["stream"]
    name = definition["name"]
    if not isinstance(name, str):
        raise TypeError
    return Stream(
        StreamId(name, definition.get("namespace") or None),
        definition.get("json_schema") or {},
        sync_mode=configured.get("sync_mode"),
        destination_sync_mode=configured.get("destination_sync_mode"),
        generation_id=configured.get("generation_id"),
        minimum_generation_id=configured.get("minimum_generation_id"),
        sync_id=configured.get("sync_id"),
        object_name=configured.get("destination_object_name") or None,
        primary_key=tuple(tuple(path) for path in configured.get("primary_key") or ()),
    )


def _not_carried_out(stream: Stream) -> Failure | None:
    mode = stream.destination_sync_mode
    if stream.object_name is None and mode is not None and mode not in _MODES:
        return config_error(
            f"Stream '{stream.id}' has the destination sync mode '{mode}', which this destination does not carry out. "
            f"Choose one of: {', '.join(sorted(_MODES))}."
        )
    return None


def is_truncated(stream: Stream) -> bool:
    """Whether what the source does not send any more is to go.

    Plain callers say `overwrite`. The platform says `append` and raises the minimum generation to the current one
    (airbyte-platform repository, `DefaultProtocolSerializer`); PyAirbyte says generation 1, minimum 1 and sync 1 on
    every run, which means nothing.
    """
    if stream.destination_sync_mode in ("overwrite", "overwrite_dedup"):
        return True
    generations = (stream.generation_id, stream.minimum_generation_id)
    is_pyairbyte = (*generations, stream.sync_id) == (1, 1, 1)
    return bool(stream.minimum_generation_id) and generations[0] == generations[1] and not is_pyairbyte
