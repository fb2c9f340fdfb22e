"""What a store can do, and how one is opened."""

from __future__ import annotations

from datetime import timedelta
from typing import BinaryIO, Protocol, TypeAlias

from destination_cleverpush.storage.settings import LocalSettings, Settings

SYNC_PATIENCE = timedelta(seconds=120)
"""How long a request may be tried again during a sync."""
CHECK_PATIENCE = timedelta(seconds=15)
"""How long a request may be tried again during a check, in which somebody waits."""

Version: TypeAlias = tuple[str | None, str | None]
"""Names what an object holds. To be handed back, and compared for equality alone; equal content may have equal ones."""


class Conflict(Exception):
    """A conditional write found another version than the expected one, or another writer at work.

    Where the answer to a write was lost and it was tried again, it can come after a write that took place: who must
    know reads the object.
    """


class Objects(Protocol):
    """A place for objects, named by relative paths such as `folder/name`. All methods raise Failure."""

    def put(self, name: str, data: bytes) -> None:
        """Store the object durably and whole, in place of an older version of it."""

    def put_if(self, name: str, data: bytes, version: Version | None) -> Version:
        """Like `put`, but only in place of this very version; None: only where there is no such object.

        Objects that are written so are to be written only so. Gives the new version.

        Raises:
            Conflict: nothing was written.
        """

    def delete(self, name: str) -> None:
        """Remove the object; it is no failure if it is gone already."""

    def names(self, folder: str = "") -> list[str]:
        """All objects under the folder, with their whole names."""

    def read(self, name: str) -> BinaryIO:
        """The object's bytes, to be closed by the caller."""

    def find(self, name: str) -> tuple[bytes, Version] | None:
        """The bytes and version of an object, None where there is no such object."""


def open_objects(settings: Settings, what: str, patience: timedelta) -> Objects:
    """The place that the settings name; nothing is sent to it yet.

    Args:
        what: whose place it is, at the beginning of messages, such as `The dead letter store`.
        patience: how long a request to a cloud store may be tried again.

    Raises:
        Failure: `config_error` where the settings cannot work.
    """
    if isinstance(settings, LocalSettings):
        from destination_cleverpush.storage.local import LocalObjects  # noqa: PLC0415

        return LocalObjects(settings, what)
    from destination_cleverpush.storage.remote import RemoteObjects  # noqa: PLC0415 - obstore is large

    return RemoteObjects(settings, what, patience)
