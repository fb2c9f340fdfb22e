"""Whether the key opens the channel, by reads that need the private key."""

from __future__ import annotations

from collections.abc import Mapping

from destination_cleverpush.api.client import Client
from destination_cleverpush.api.failures import NO_CHANNEL
from destination_cleverpush.errors import config_error


def check_access(client: Client, *, tags: bool) -> None:
    """Validate the key against the channel; with `tags`, that it may read the channel's tags too.

    Raises:
        Failure: `config_error` or `transient_error`, each in a sentence of its own.
    """
    wanted = client.settings.channel_id
    channels = client.read("/channels").get("channels")
    if not isinstance(channels, list):
        raise client.unreadable("a reply without a list of channels")
    ids = [str(channel["_id"]) for channel in channels if isinstance(channel, Mapping) and "_id" in channel]
    if wanted not in ids:
        twin = next((i for i in ids if i.lower() == wanted.lower()), None)
        hint = f" There is a channel '{twin}' that differs only in upper and lower case." if twin else ""
        raise config_error(NO_CHANNEL + hint)
    if tags and not isinstance(client.read(f"/channel/{wanted}/tags?limit=1&skip=0").get("tags"), list):
        raise client.unreadable("a reply without a list of tags")
