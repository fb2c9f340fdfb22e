"""Configurations for tests: as the user fills in the form, and parsed."""

from __future__ import annotations

from typing import Any

from destination_cleverpush.airbyte.catalog import read_catalog
from destination_cleverpush.config import Config, parse_config
from destination_cleverpush.words import Stream

CHANNEL = "5f3c1e7a9b2d4c0012ab34cd"
KEY = "private-key-4711"
NOBODY = "http://127.0.0.1:9"
"""An address that nothing listens at."""


def raw_config(base_url: str | None = None, **fields: Any) -> dict[str, Any]:
    """The least that the form asks for, and these fields; `advanced` is filled up with quick time-outs."""
    advanced = {"request_timeout_seconds": 5, "progress_interval_seconds": 0, **fields.pop("advanced", {})}
    if base_url:
        advanced["base_url"] = base_url
    return {"channel_id": CHANNEL, "api_key": KEY, "object_type": "subscriptions", "advanced": advanced, **fields}


def make_config(base_url: str | None = None, **fields: Any) -> Config:
    """The same, parsed."""
    return parse_config(raw_config(base_url, **fields))


def mapped(**columns: str) -> list[dict[str, str]]:
    """A field mapping: destination field to source column."""
    return [{"source": source, "destination": destination} for destination, source in columns.items()]


def catalog(*names: str, mode: str = "append", schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """A ConfiguredAirbyteCatalog with streams of these names."""
    return {
        "streams": [
            {
                "stream": {"name": name, "json_schema": schema or {}, "supported_sync_modes": ["full_refresh"]},
                "sync_mode": "full_refresh",
                "destination_sync_mode": mode,
            }
            for name in names
        ]
    }


def streams(*names: str) -> list[Stream]:
    """The same, typed."""
    return read_catalog(catalog(*names))
