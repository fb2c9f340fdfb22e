"""Failures as Airbyte tells them apart: the user must act, it may pass, or it is our own fault."""

from __future__ import annotations

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException


def config_error(message: str, internal: str | None = None) -> AirbyteTracedException:
    """A failure that only the user can mend: Airbyte shows it and does not try again."""
    return _error(FailureType.config_error, message, internal)


def transient_error(message: str, internal: str | None = None) -> AirbyteTracedException:
    """A failure that may pass by itself: Airbyte tries again."""
    return _error(FailureType.transient_error, message, internal)


def system_error(message: str, internal: str | None = None) -> AirbyteTracedException:
    """A failure of the connector, or of what feeds it."""
    return _error(FailureType.system_error, message, internal)


def _error(kind: FailureType, message: str, internal: str | None) -> AirbyteTracedException:
    return AirbyteTracedException(message=message, internal_message=internal or message, failure_type=kind)
