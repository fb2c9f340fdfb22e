"""Who calls a destination, and what each of them makes of a catalog and of a source's messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Line = Mapping[str, Any] | str | bytes
"""A message, or a line as it stands, without its line end."""

_AS_APPENDED = {"overwrite": "append", "overwrite_dedup": "append_dedup"}
_GENERATIONS = ("generation_id", "minimum_generation_id", "sync_id")


class StreamKey(NamedTuple):
    """A stream's name and namespace."""

    name: str
    namespace: str | None

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> StreamKey:
        """Of a stream or a stream descriptor."""
        return cls(described["name"], described.get("namespace") or None)


@dataclass(frozen=True)
class Caller:
    """Who feeds the destination.

    Attributes:
        generations: as the catalog has them; always 1, 1 and 1; or left out.
        refreshes: `overwrite` arrives as `append`, as of a destination that supports refreshes.
        statuses: COMPLETE for all streams at the end; STARTED, RUNNING and COMPLETE around each stream; or none.
        forwards_all: messages other than RECORD and STATE are passed on.
        numbers_states: states get an `id` and `sourceStats`, unless the source has counted itself.
        missing_states: at the end, streams that had no state get one.
        record_namespaces: records keep their namespace.
        prefix: of the connection, before the names of the destination's streams.
        source_fails: the input ends without COMPLETE.
    """

    generations: Literal["given", "one", "none"] = "given"
    refreshes: bool = True
    statuses: Literal["end", "each", "none"] = "end"
    forwards_all: bool = False
    numbers_states: bool = True
    missing_states: bool = True
    record_namespaces: bool = True
    prefix: str = ""
    source_fails: bool = False

    def catalog(self, catalog: Mapping[str, Any]) -> dict[str, Any]:
        """A configured catalog as the destination gets it."""
        return {**catalog, "streams": [self._configured(stream) for stream in catalog.get("streams", ())]}

    def message(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """A RECORD or STATE as the destination gets it, but for what is added to states."""
        kind = message["type"]
        body = dict(message[kind.lower()])
        if kind == "RECORD":
            body["stream"] = self.prefix + body["stream"]
            if not self.record_namespaces:
                body.pop("namespace", None)
        elif body.get("type") == "STREAM" and self.prefix:
            body["stream"] = {**body["stream"], "stream_descriptor": self.named(body["stream"]["stream_descriptor"])}
        return {**message, kind.lower(): body}

    def named(self, described: Mapping[str, Any]) -> dict[str, Any]:
        """A stream or a stream descriptor under the destination's name."""
        return {**described, "name": self.prefix + described["name"]}

    @property
    def renames(self) -> bool:
        """Whether records do not arrive as they are."""
        return bool(self.prefix) or not self.record_namespaces

    def _configured(self, configured: Mapping[str, Any]) -> dict[str, Any]:
        found = {**configured, "stream": self.named(configured["stream"])}
        if self.generations == "none":
            return {name: value for name, value in found.items() if name not in _GENERATIONS}
        if self.generations == "one":
            return found | dict.fromkeys(_GENERATIONS, 1)
        mode = found.get("destination_sync_mode")
        if self.refreshes and mode in _AS_APPENDED:
            generation = found.get("generation_id") or 1
            found |= {"destination_sync_mode": _AS_APPENDED[mode], "minimum_generation_id": generation}
            found["generation_id"] = generation
        return found


AIRBYTE = Caller()
"""The platform, and a connection whose destination supports refreshes."""
PYAIRBYTE = Caller("one", False, "each", True, False, False, record_namespaces=False)
"""PyAirbyte, writing from its cache: it reads one stream after the other."""
PIPE = Caller("none", False, "none", True, False, False)
"""A source or a file, piped by hand."""
