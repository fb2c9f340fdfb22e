"""Builders of what a source sends and of the catalog that goes with it, as JSON (Airbyte protocol v0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]
Row = dict[str, Any]


def record(data: Mapping[str, Any], stream: str = "users", namespace: str | None = None) -> Message:
    """A RECORD."""
    place = {"stream": stream} | ({"namespace": namespace} if namespace is not None else {})
    return {"type": "RECORD", "record": {**place, "emitted_at": 1_700_000_000_000, "data": dict(data)}}


def records(*rows: Mapping[str, Any], stream: str = "users", namespace: str | None = None) -> list[Message]:
    """Several RECORDs of one stream."""
    return [record(row, stream, namespace) for row in rows]


def stream_state(cursor: Any, stream: str = "users", namespace: str | None = None, **unknown: Any) -> Message:
    """A STATE of one stream; `unknown` are further fields of the state."""
    descriptor = {"name": stream} | ({"namespace": namespace} if namespace is not None else {})
    described = {"stream_descriptor": descriptor, "stream_state": {"cursor": cursor}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": described, **unknown}}


def global_state(cursor: Any, *streams: str, **unknown: Any) -> Message:
    """A STATE over all streams, with a shared part."""
    states = [{"stream_descriptor": {"name": s}, "stream_state": {"cursor": cursor}} for s in streams]
    shared = {"shared_state": {"lsn": cursor}, "stream_states": states}
    return {"type": "STATE", "state": {"type": "GLOBAL", "global": shared, **unknown}}


def legacy_state(cursor: Any, **unknown: Any) -> Message:
    """A STATE of the oldest kind: any JSON, without a type."""
    return {"type": "STATE", "state": {"data": {"cursor": cursor}, **unknown}}


def stream(
    name: str = "users",
    namespace: str | None = None,
    *,
    mode: str = "append",
    schema: Mapping[str, Any] | None = None,
    **generation: int,
) -> Message:
    """A configured stream; `generation` are `generation_id`, `minimum_generation_id` and `sync_id`."""
    described = {"name": name, "json_schema": dict(schema or {}), "supported_sync_modes": ["full_refresh"]}
    if namespace is not None:
        described["namespace"] = namespace
    generations = {"generation_id": 0, "minimum_generation_id": 0, "sync_id": 1, **generation}
    return {"stream": described, "sync_mode": "full_refresh", "destination_sync_mode": mode, **generations}


def catalog(*streams: Message) -> Message:
    """A configured catalog: of these streams, or of one that is named `users`."""
    return {"streams": list(streams or (stream(),))}
