"""The connection check: everything that a sync would need, tried without changing anything at CleverPush."""

from __future__ import annotations

from destination_cleverpush.api.check import check_access
from destination_cleverpush.api.client import Client
from destination_cleverpush.config import Config
from destination_cleverpush.dead_letter.store import probe
from destination_cleverpush.objects.notices import Tell
from destination_cleverpush.objects.plan import check_mapping
from destination_cleverpush.objects.table import OBJECTS


def check_connection(config: Config, tell: Tell) -> None:
    """Try the mapping, the key against the channel, and the stores.

    Args:
        tell: takes what the user should know although it works: a level of :mod:`logging`, and a sentence.

    Raises:
        Failure: what is wrong, and what to do about it.
    """
    check_mapping(config.objects, tell)
    known = OBJECTS[config.objects.object_type].known_fields
    check_access(Client(config.api), tags="tags" in known)
    if config.rejected_records is not None:
        probe(config.rejected_records)
