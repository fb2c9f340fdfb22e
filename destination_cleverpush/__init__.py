"""Airbyte destination that keeps the subscriptions and tags of one CleverPush channel in step with a warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from destination_cleverpush.airbyte.destination import DestinationCleverpush

__all__ = ["DestinationCleverpush"]


def __getattr__(name: str) -> Any:
    """The destination, imported when it is asked for: no other room needs the CDK, whose import takes a second."""
    if name in __all__:
        from destination_cleverpush.airbyte.destination import DestinationCleverpush  # noqa: PLC0415

        return DestinationCleverpush
    raise AttributeError(name)
