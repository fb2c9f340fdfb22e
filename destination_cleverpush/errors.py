"""The three kinds of failure: the user must act, it may pass, or it is our own fault.

The names are those of Airbyte's protocol (`AirbyteErrorTraceMessage.failure_type`); the room `airbyte` tells them.
"""

from __future__ import annotations

from enum import Enum


class FailureKind(str, Enum):
    """Who can mend it, and so whether trying again may help."""

    CONFIG = "config_error"
    TRANSIENT = "transient_error"
    SYSTEM = "system_error"


class Failure(Exception):
    """What ends a command or a sync.

    Attributes:
        kind: who can mend it.
        message: a sentence for the user: names fields and screens, never a secret or a row's value.
        internal: for the log, where it says more than the message.
    """

    def __init__(self, kind: FailureKind, message: str, internal: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.internal = internal or message


def config_error(message: str, internal: str | None = None) -> Failure:
    """A failure that only the user can mend: Airbyte shows it and does not try again."""
    return Failure(FailureKind.CONFIG, message, internal)


def transient_error(message: str, internal: str | None = None) -> Failure:
    """A failure that may pass by itself: Airbyte tries again."""
    return Failure(FailureKind.TRANSIENT, message, internal)


def system_error(message: str, internal: str | None = None) -> Failure:
    """A failure of the connector, or of what feeds it."""
    return Failure(FailureKind.SYSTEM, message, internal)
