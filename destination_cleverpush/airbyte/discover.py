"""What can be synced, as Airbyte's destination catalog: one operation per object and sync mode.

The form shows names and types of the top-level properties and nothing else (airbyte-platform repository, its webapp),
and takes the first DESTINATION_CATALOG line; the user never sees a failure of this command.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from destination_cleverpush.api.channel import attributes
from destination_cleverpush.api.client import Client
from destination_cleverpush.config import parse_config
from destination_cleverpush.errors import Failure
from destination_cleverpush.objects.activation import MATCHING_KEY, REMOVED_FIELD, SOFT_DELETE, modes
from destination_cleverpush.objects.shape import CleverPushObject
from destination_cleverpush.objects.table import OBJECTS

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_FLAG = {"type": "boolean"}
_LISTS = frozenset({"topics", "tags"})


def destination_catalog(config: Mapping[str, Any], logger: logging.Logger) -> dict[str, Any]:
    """The operations, with the channel's custom attributes where they can be read; a log line says where not.

    Args:
        config: as the user filled in the form.
    """
    return catalog_of(_attributes(config, logger))


def catalog_of(attribute_ids: Iterable[str]) -> dict[str, Any]:
    """A `DestinationCatalog` as JSON, for a channel with these custom attributes."""
    own = sorted(set(attribute_ids) - {"user_id"})
    return {
        "operations": [
            {
                "object_name": name,
                "sync_mode": mode,
                "json_schema": _schema(found, own, marked=mode != SOFT_DELETE),
                "matching_keys": [[MATCHING_KEY]],
            }
            for name, found in OBJECTS.items()
            for mode in modes(name)
        ]
    }


def catalog_line(catalog: Mapping[str, Any]) -> str:
    """The DESTINATION_CATALOG message. The CDK's own serializer drops this type, so it is written here."""
    return json.dumps({"type": "DESTINATION_CATALOG", "destination_catalog": catalog})


def _schema(found: CleverPushObject, attribute_ids: Iterable[str], *, marked: bool) -> dict[str, Any]:
    """The fields of an object. Where `marked`, a column can mark rows as removed."""
    names = [*found.required_fields, *sorted(found.known_fields - set(found.required_fields))]
    properties = {name: _TEXTS if name in _LISTS else _TEXT for name in names}
    if marked:
        properties[REMOVED_FIELD] = _FLAG
    if found.has_attributes:
        properties = {**dict.fromkeys(attribute_ids, _TEXT), **properties}
        properties = {name: properties[name] for name in dict.fromkeys((*names, *properties))}
    return {
        "type": "object",
        "properties": properties,
        "required": list(found.required_fields),
        "additionalProperties": found.has_attributes,
    }


def _attributes(config: Mapping[str, Any], logger: logging.Logger) -> list[str]:
    try:
        client = Client(parse_config(config).api)
        try:
            return [one.id for one in attributes(client)]
        finally:
            client.close()
    except Failure as failure:
        logger.warning(
            "The channel's custom attributes cannot be read, so they are not offered; they can be typed by hand. %s",
            failure.message,
        )
        return []
