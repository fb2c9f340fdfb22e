"""docs/misconfigurations.md is a page for people, and the table of this test: each slip gets exactly that message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from destination_cleverpush.airbyte.catalog import read_catalog
from destination_cleverpush.checks import check_connection
from destination_cleverpush.config import parse_config
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.objects.plan import plan_streams
from unit_tests.configurations import CHANNEL, KEY, catalog, raw_config
from unit_tests.server import Server, said

PAGE = Path(__file__).parents[1] / "docs" / "misconfigurations.md"
FEWEST = 30


class Slip(NamedTuple):
    """A row of the page: what is wrong in words, the same as JSON, and the message.

    The JSON holds fields of the configuration; `stream` is what the catalog says of the stream `users`, and `answers`
    what CleverPush answers: a status, or a body.
    """

    what: str
    fields: dict[str, Any]
    message: str


def slips() -> Iterator[Slip]:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and cells[1].startswith("`{"):
            yield Slip(cells[0], json.loads(cells[1].strip("`")), cells[2])


SLIPS = list(slips())


def failure(slip: Slip) -> Failure | None:
    """What the connector says before the first row: to the configuration, at the check, or to the catalog."""
    fields = dict(slip.fields)
    answers, stream = fields.pop("answers", {"channels": [{"_id": CHANNEL}]}), fields.pop("stream", None)
    reply = said(answers, {}) if isinstance(answers, int) else said(200, answers)
    advanced = {"base_url": "http://localhost:1", **fields.pop("advanced", {})}
    try:
        with Server(reply) as server:
            if advanced["base_url"] == "http://localhost:1":
                advanced["base_url"] = server.url
            config = parse_config(raw_config(**fields, advanced=advanced))
            if stream is None:
                check_connection(config, lambda *_: None)
            else:
                configured = catalog("users")
                schema = stream.pop("columns", None)
                configured["streams"][0] |= stream
                if schema is not None:
                    configured["streams"][0]["stream"]["json_schema"] = {"properties": {name: {} for name in schema}}
                plan_streams(config.objects, read_catalog(configured))
    except Failure as found:
        return Failure(found.kind, found.message.replace(server.url, "https://api.cleverpush.com"))
    return None


def test_there_are_enough_of_them() -> None:
    assert len({slip.what for slip in SLIPS}) == len(SLIPS) >= FEWEST


@pytest.mark.parametrize("slip", SLIPS, ids=[slip.what for slip in SLIPS])
def test_each_slip_gets_its_message(slip: Slip) -> None:
    found = failure(slip)
    assert found is not None
    assert found.message == slip.message
    assert found.kind is (FailureKind.TRANSIENT if slip.fields.get("answers") in (429, 500) else FailureKind.CONFIG)
    assert KEY not in found.message
