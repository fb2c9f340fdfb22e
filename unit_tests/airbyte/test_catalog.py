"""The configured catalog: typed, or a sentence that says what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from destination_cleverpush.airbyte.catalog import is_truncated, read_catalog
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.words import Stream, StreamId
from unit_tests.configurations import catalog


def complaint(raw: Any) -> str:
    with pytest.raises(Failure) as failed:
        read_catalog(raw)
    assert failed.value.kind is FailureKind.CONFIG
    return failed.value.message


def with_(**fields: Any) -> dict[str, Any]:
    """A catalog of one stream, with these fields."""
    raw = catalog("users")
    raw["streams"][0] |= fields
    return raw


def test_all_that_a_stream_may_say_is_read() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    configured = {
        "stream": {"name": "users", "namespace": "crm", "json_schema": schema, "supported_sync_modes": ["incremental"]},
        "sync_mode": "incremental",
        "destination_sync_mode": "append_dedup",
        "generation_id": 7,
        "minimum_generation_id": 0,
        "sync_id": 42,
        "primary_key": [["id"], ["a", "b"]],
        "cursor_field": ["at"],
    }
    assert read_catalog({"streams": [configured]}) == [
        Stream(
            StreamId("users", "crm"),
            schema,
            sync_mode="incremental",
            destination_sync_mode="append_dedup",
            generation_id=7,
            minimum_generation_id=0,
            sync_id=42,
            primary_key=(("id",), ("a", "b")),
        )
    ]


def test_a_stream_that_says_nothing_but_its_name() -> None:
    least = {"stream": {"name": "users", "namespace": None, "json_schema": None}, "primary_key": None}
    assert read_catalog({"streams": [least]}) == [Stream(StreamId("users"), {})]
    assert read_catalog({"streams": [{"stream": {"name": "users", "namespace": ""}}]})[0].id == StreamId("users")


def test_an_empty_catalog_has_no_streams() -> None:
    assert read_catalog({"streams": []}) == []


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"streams": None},
        {"streams": [None]},
        {"streams": [{}]},
        {"streams": [{"stream": {}}]},
        {"streams": [{"stream": {"name": 5}}]},
        {"streams": [{"stream": {"name": "users"}, "primary_key": [5]}]},
        [],
        None,
    ],
)
def test_a_catalog_that_is_none_is_a_config_error(broken: Any) -> None:
    assert complaint(broken) == "The catalog is not a configured Airbyte catalog: it has no list of streams."


@pytest.mark.parametrize("mode", ["append", "append_dedup", "overwrite", "overwrite_dedup", None])
def test_sync_modes_that_are_carried_out(mode: str | None) -> None:
    assert read_catalog(with_(destination_sync_mode=mode))[0].destination_sync_mode == mode


@pytest.mark.parametrize("mode", ["update", "soft_delete", "merge"])
def test_a_sync_mode_that_is_not_carried_out_is_named_with_those_that_are(mode: str) -> None:
    assert complaint(with_(destination_sync_mode=mode)) == (
        f"Stream 'users' has the destination sync mode '{mode}', which this destination does not carry out. "
        "Choose one of: append, append_dedup, overwrite, overwrite_dedup."
    )


@pytest.mark.parametrize("mode", ["append", "append_dedup", "update", "soft_delete"])
def test_a_stream_that_the_platform_maps_names_its_object(mode: str) -> None:
    (stream,) = read_catalog(with_(destination_object_name="tags", destination_sync_mode=mode))
    assert (stream.object_name, stream.destination_sync_mode) == ("tags", mode)


@pytest.mark.parametrize(
    ("fields", "truncated"),
    [
        ({"destination_sync_mode": "append"}, False),
        ({"destination_sync_mode": "overwrite"}, True),
        ({"destination_sync_mode": "overwrite_dedup"}, True),
        ({"generation_id": 7, "minimum_generation_id": 0, "sync_id": 9}, False),
        ({"generation_id": 7, "minimum_generation_id": 7, "sync_id": 9}, True),
        ({"generation_id": 1, "minimum_generation_id": 1, "sync_id": 9}, True),  # the platform's first refresh
        ({"generation_id": 0, "minimum_generation_id": 0, "sync_id": 1}, False),
        ({"generation_id": 1, "minimum_generation_id": 1, "sync_id": 1}, False),  # PyAirbyte, on every run
        ({"generation_id": 1, "minimum_generation_id": 1, "sync_id": 1, "destination_sync_mode": "overwrite"}, True),
        ({"generation_id": None, "minimum_generation_id": None}, False),
    ],
)
def test_what_the_source_does_not_send_any_more_is_to_go(fields: dict[str, Any], truncated: bool) -> None:
    (stream,) = read_catalog(with_(**fields))
    assert is_truncated(stream) is truncated
