"""Where a memory lies, as the memory sees it."""

from __future__ import annotations

import hashlib
from typing import Protocol
from urllib.parse import quote

from destination_cleverpush.tracking.changes import Changes
from destination_cleverpush.tracking.database import Database

NAME = "Change tracking"
"""As messages call it."""

LOCK_WAIT_SECONDS = 60.0
"""How long a sync waits for another one on the same memory. For a cloud store also: whoever gives no sign of life for
so long does not live."""


class Place(Protocol):
    """An open memory, which nobody else has open.

    Attributes:
        database: to be read; written only by :meth:`commit`.
        lost: why what was stored before cannot be used, a sentence; empty where all is well.
        new: nothing was stored before, or it cannot be used.
    """

    database: Database
    lost: str
    new: bool

    def commit(self, changes: Changes) -> None:
        """Carry the changes out, all or none; they are durable when it returns.

        After a failure nobody knows what is stored, and nothing more is.

        Raises:
            Failure: they may or may not be stored.
        """

    def close(self) -> None:
        """Let others have it. Nothing that was committed is lost without it.

        Raises:
            Failure: the last tidying did not work; what was committed is stored all the same.
        """

    @property
    def size(self) -> int:
        """Bytes that are stored."""


class Spared(Exception):
    """The memory cannot be used, and was left as it is. `why` is a sentence for the user."""

    def __init__(self, where: str, why: str) -> None:
        self.why = f"{NAME}: the memory in {where} cannot be used: {why}. It was left as it is."
        super().__init__(self.why)


def about(name: str, channel: str) -> dict[str, str]:
    """What a memory says of itself."""
    return {"name": name, "channel": channel}


def label(name: str, channel: str) -> str:
    """The memory's part of file and object names; also apart where a file system takes upper for lower case."""
    digest = hashlib.sha256(f"{name}\0{channel}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = "-".join(quote(part, safe="", errors="replace")[:80] for part in (name, channel))
    return f"change-tracking-{readable}-{digest}"


def unusable(where: str, why: str, kept: str = "") -> str:
    """What to tell of a memory that cannot be used; `kept` names where it was set aside."""
    aside = f" It was set aside as {kept}." if kept else ""
    return (
        f"{NAME}: the memory in {where} cannot be used: {why}.{aside} Everything is sent again, "
        "and nobody is removed for being absent in this sync."
    )
