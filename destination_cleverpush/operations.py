"""An operation: one API call meant for one subscription."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple


class Action(Enum):
    """What a call does to a subscription; the client knows the route for each."""

    SYNC = "sync"
    UNSUBSCRIBE = "unsubscribe"
    ADD_TAG = "add_tag"
    REMOVE_TAG = "remove_tag"


class Operation(NamedTuple):
    """One call: what to do and the request body, without the channel (the client adds it)."""

    action: Action
    payload: dict[str, Any]
