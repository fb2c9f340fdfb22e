"""What a CleverPush object is to the rest of the connector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from destination_cleverpush.objects.settings import Settings
from destination_cleverpush.words import Action, Operation

Fields = Mapping[str, Any]
"""A row as CleverPush's fields, nulls left out."""


class IdKind(Enum):
    """How a call names its subscription."""

    EXTERNAL = "external"  # by the user's own ID, the attribute `user_id`, or by CleverPush's, or by both
    NATIVE = "native"  # by CleverPush's own alone


@dataclass(frozen=True)
class CleverPushObject:
    """An object that rows can become: all that is particular to it.

    Attributes:
        name: in the configuration.
        title: in the form.
        known_fields: fields that the object has by itself.
        required_fields: those without which no row can be sent.
        told_fields: those that hold IDs, and may be told in logs.
        put_id, remove_id: how the calls of `put` and of `remove` name the subscription.
        lists: of what its rows name the channel has lists: fields of :class:`destination_cleverpush.words.Channel`.
        actions: the call of `put`, and that of `remove`.
        put: the calls that bring a row to CleverPush, for a subscription that is still to be named
            (:mod:`destination_cleverpush.objects.scripts`). May raise
            :class:`destination_cleverpush.words.RowRejected`.
        remove: the calls that take it away. May raise the same.
        absent_is_removed: where there is no such subscription, there is nothing to remove; else the row is rejected.
        has_attributes: fields of other names are custom attributes; else they are not looked at.
        can_update: rows can be kept to subscriptions that the channel has already.
        pair: what of an operation's payload a subscription can have several of, such as `tagId`; None: it is had whole.
        clear: the call that empties a custom attribute; None where there are none.
    """

    name: str
    title: str
    known_fields: frozenset[str]
    required_fields: tuple[str, ...]
    told_fields: tuple[str, ...]
    put_id: IdKind
    remove_id: IdKind
    lists: tuple[str, ...]
    actions: tuple[Action, ...]
    put: Callable[[Fields, Settings], list[Operation]]
    remove: Callable[[Fields, Settings], list[Operation]]
    absent_is_removed: bool = False
    has_attributes: bool = False
    can_update: bool = False
    pair: str | None = None
    clear: Action | None = None
