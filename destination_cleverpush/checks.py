"""The connection check: everything that a sync would need, tried without changing anything at CleverPush."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from destination_cleverpush.api.channel import LISTS, read_channel
from destination_cleverpush.api.check import check_access
from destination_cleverpush.api.client import Client
from destination_cleverpush.config import Config
from destination_cleverpush.objects.attributes import mapped_in_vain, say_missing
from destination_cleverpush.objects.notices import Tell
from destination_cleverpush.objects.plan import check_mapping, needed_lists, wanted_lists
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
    objects, made = config.objects, OBJECTS[config.objects.object_type]
    tags = "tags" in made.lists

    def mapping() -> str:
        check_mapping(objects, tell, remembers=config.change_tracking is not None)
        number = len(objects.field_mapping)
        return f"{number} column{'' if number == 1 else 's'} mapped" if number else "columns keep their names"

    def access() -> str:
        check_access(client, tags=tags)
        return f"the key opens the channel {config.api.channel_id}"

    def routes() -> str:
        found = {action.name: client.find_route(action) for action in made.actions}
        return ", ".join(
            f"{name} {'not told, a sync finds out' if path is None else path}" for name, path in found.items()
        )

    def lists() -> str:
        warn = partial(tell, logging.WARNING)
        channel = read_channel(client, wanted_lists(objects), warn, needed=needed_lists(objects))
        if channel.attributes is not None and (
            missing := mapped_in_vain(objects, made.known_fields, channel.attributes)
        ):
            warn(f"Field Mapping: {say_missing(missing, channel.attributes)}")
        found = {name: getattr(channel, name) for name in LISTS}
        told = [f"{len(things)} {name}{_some(list(things))}" for name, things in found.items() if things is not None]
        return f"{', '.join(told) or 'nothing of it is compared with the rows'}"

    def store() -> str:
        if config.rejected_records is None:
            return "none: rejected rows are told in the log, and not kept"
        from destination_cleverpush.dead_letter.store import probe  # noqa: PLC0415 - takes a while

        probe(config.rejected_records)
        return "an object was written, and deleted again"

    def memory() -> str:
        if config.change_tracking is None:
            return "none: every row is sent in every sync, and Mirror removes only rows that are marked"
        from destination_cleverpush.tracking import care  # noqa: PLC0415 - takes a while

        if warning := care.ephemeral(config.change_tracking):
            tell(logging.WARNING, warning)
        care.probe(config.change_tracking)
        return f"'{config.change_tracking.name}' can be kept: written, locked and deleted again"

    return [
        Step("Mapping", mapping),
        Step("Channel", access),
        *([Step("Tag routes", routes)] if tags else []),
        Step("Channel has", lists),
        Step("Dead letters", store),
        Step("Tracking", memory),
    ]


def check_connection(config: Config, tell: Tell) -> None:
    """Try what a sync needs: the mapping, the key against the channel, the routes for tags, and the stores.

    Args:
        tell: takes what was found, and what the user should know although it works: a level of :mod:`logging`, and a
            sentence.

    Raises:
        Failure: what is wrong, and what to do about it.
    """
    for step in steps(config, tell):
        if step.needed:
            tell(logging.INFO, f"{step.title}: {step.run()}.")


def _some(ids: list[str], most: int = 8) -> str:
    more = f" and {len(ids) - most} others" if len(ids) > most else ""
    return f" ({', '.join(ids[:most])}{more})" if ids else ""
