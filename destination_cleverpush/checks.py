"""The connection check: everything that a sync would need, tried without changing anything at CleverPush."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from destination_cleverpush.api import channel
from destination_cleverpush.api.check import check_access
from destination_cleverpush.api.client import Client
from destination_cleverpush.config import Config
from destination_cleverpush.dead_letter.store import probe
from destination_cleverpush.objects.notices import Tell
from destination_cleverpush.objects.plan import check_mapping
from destination_cleverpush.objects.table import OBJECTS


class Step(NamedTuple):
    """A part of the check.

    Attributes:
        title: what is tried.
        run: tries it, and says what was found. May raise :class:`destination_cleverpush.errors.Failure`.
        needed: no sync can go well where this fails; else it is only good to know.
    """

    title: str
    run: Callable[[], str]
    needed: bool = True


def steps(config: Config, tell: Tell) -> list[Step]:
    """All parts of the check, in their order.

    Args:
        tell: takes what the user should know although it works: a level of :mod:`logging`, and a sentence.
    """
    client = Client(config.api)
    tags = "tags" in OBJECTS[config.objects.object_type].known_fields

    def mapping() -> str:
        check_mapping(config.objects, tell)
        number = len(config.objects.field_mapping)
        return f"{number} column{'' if number == 1 else 's'} mapped" if number else "columns keep their names"

    def access() -> str:
        check_access(client, tags=tags)
        return f"the key opens the channel {config.api.channel_id}"

    def store() -> str:
        if config.rejected_records is None:
            return "none: rejected rows are told in the log, and not kept"
        probe(config.rejected_records)
        return "an object was written, and deleted again"

    return [
        Step("Mapping", mapping),
        Step("Channel", access),
        Step("Tags", lambda: f"{len(channel.tags(client))} in the channel", needed=False),
        Step("Attributes", lambda: _named([one.id for one in channel.attributes(client)]), needed=False),
        Step("Dead letters", store),
    ]


def check_connection(config: Config, tell: Tell) -> None:
    """Try what a sync needs: the mapping, the key against the channel, and the stores.

    Args:
        tell: takes what the user should know although it works: a level of :mod:`logging`, and a sentence.

    Raises:
        Failure: what is wrong, and what to do about it.
    """
    for step in steps(config, tell):
        if step.needed:
            step.run()


def _named(ids: list[str], most: int = 8) -> str:
    return ", ".join(ids[:most]) + (f" and {len(ids) - most} others" if len(ids) > most else "") or "none"
