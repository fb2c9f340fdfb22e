"""Airbyte destination that keeps the subscriptions and tags of one CleverPush channel in step with a warehouse."""

from destination_cleverpush.destination import DestinationCleverpush

__all__ = ["DestinationCleverpush"]
