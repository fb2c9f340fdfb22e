"""What the channel holds: its tags, topics and attributes, and its subscriptions.

Sources: the public Singer tap for the paged lists (`limit`, `skip`; `startId`), CleverPush's SDKs for
`/channel/{id}/config`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from destination_cleverpush.api.client import Client
from destination_cleverpush.api.trouble import NoReply
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.words import Channel

PAGE_ROWS = 100
"""Entries asked for at once."""

MOST_PAGES = 1_000
"""Pages of one list that are read at most, so that a server that repeats itself does not go on for ever."""


class Named(NamedTuple):
    """A tag, topic or attribute of the channel."""

    id: str
    name: str


LISTS = ("tags", "topics", "attributes")
"""What :func:`read_channel` can read: the fields of a :class:`Channel`."""


def read_channel(
    client: Client, lists: Collection[str], tell: Callable[[str], None], *, needed: Collection[str] = ()
) -> Channel:
    """What exists in the channel's settings. What may not be read is told in one line, and all goes on without it.

    Args:
        lists: which of :data:`LISTS` are wanted.
        needed: those of them without which the sync cannot go on.

    Raises:
        Failure: `config_error`: the network's own settings let no call through (a proxy, a certificate); where a
            list is needed, also any other reason why it cannot be read.
    """
    found: dict[str, Mapping[str, str]] = {}
    for what in (name for name in LISTS if name in lists):
        try:
            found[what] = dict({"tags": tags, "topics": topics, "attributes": attributes}[what](client))
        except Failure as failure:  # noqa: PERF203 - three turns at most
            unanswered = isinstance(failure.__cause__, NoReply)
            if what in needed or (unanswered and failure.kind is FailureKind.CONFIG):
                raise
            tell(f"The channel's {what} cannot be read, so they are not compared with the rows. {failure.message}")
            if unanswered:
                break  # nor would the others, and each may take a whole time-out
    return Channel(**found)


def tags(client: Client) -> list[Named]:
    """The channel's tags.

    Raises:
        Failure: they cannot be read.
    """
    return _pages(client, "tags")


def topics(client: Client) -> list[Named]:
    """The channel's topics.

    Raises:
        Failure: they cannot be read.
    """
    return _pages(client, "topics")


def attributes(client: Client) -> list[Named]:
    """The channel's custom attributes; their ids are the keys of `customAttributes`. The call needs no key.

    Raises:
        Failure: they cannot be read.
    """
    return _named(client.read(f"{_channel(client)}/config"), "customAttributes", client)


def subscriptions(client: Client, fields: Sequence[str] = ()) -> Iterator[Mapping[str, Any]]:
    """All subscriptions of the channel, with these fields beside `_id`, each once, page by page.

    The cursor `startId` is the last id; whether the next page begins with it or after it is not known, so both are
    taken, and a page that brings nothing new is the end.

    Raises:
        Failure: a page cannot be read.
    """
    last: str | None = None
    while True:
        query = [("fields", field) for field in fields] + ([("startId", last)] if last else [])
        found = client.read(f"{_channel(client)}/subscriptions" + (f"?{urlencode(query)}" if query else ""))
        page = found.get("subscriptions")
        if not isinstance(page, list):
            raise client.unreadable("a reply without a list of subscriptions")
        new = [one for one in page if _id(one) not in (None, last)]
        yield from new
        following = _id(page[-1]) if page else None
        if not new or following in (None, last):
            return
        last = following


def _pages(client: Client, what: str) -> list[Named]:
    found: dict[str, Named] = {}
    for page in range(MOST_PAGES):
        query = urlencode({"limit": PAGE_ROWS, "skip": page * PAGE_ROWS})
        entries = _named(client.read(f"{_channel(client)}/{what}?{query}"), what, client)
        before = len(found)
        found.update((entry.id, entry) for entry in entries)
        # A page that brings nothing new is that of a server that does not know `skip`.
        if len(entries) < PAGE_ROWS or len(found) == before:
            break
    return list(found.values())


def _named(body: Mapping[str, Any], what: str, client: Client) -> list[Named]:
    entries = body.get(what)
    if not isinstance(entries, list):
        raise client.unreadable(f"a reply without a list of {what}")
    return [Named(key, str(entry.get("name") or "")) for entry in entries if (key := _id(entry))]


def _id(entry: Any) -> str | None:
    if not isinstance(entry, Mapping):
        return None
    found = entry.get("_id") or entry.get("id")
    return found if isinstance(found, str) else None


def _channel(client: Client) -> str:
    return f"/channel/{quote(client.settings.channel_id, safe='')}"
