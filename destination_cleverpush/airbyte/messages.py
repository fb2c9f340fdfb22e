"""Airbyte's lines out: logs and failures, with secrets hidden by the CDK."""

from __future__ import annotations

import json
import logging
from copy import copy

from airbyte_cdk.logger import AirbyteLogFormatter
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_cleverpush.airbyte.output import Output
from destination_cleverpush.errors import Failure


class OutputLogHandler(logging.Handler):
    """Log records as Airbyte LOG lines, with the CDK's secret filter, through the same output as the states."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output
        self.setFormatter(AirbyteLogFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one log record over; never waits."""
        # The CDK's formatter refuses half characters (lone surrogates), which a row may hold.
        told = copy(record)  # the record itself belongs to all handlers
        told.msg, told.args = record.getMessage().encode("utf-8", "backslashreplace").decode(), None
        if record.levelno < logging.INFO:  # the CDK makes a line of its own kind of these, which is none of Airbyte's
            log = {"level": "DEBUG", "message": filter_secrets(told.msg)}
            self._output.tell(json.dumps({"type": "LOG", "log": log}))
        else:
            self._output.tell(self.format(told))


def error_trace(failure: Failure, now: float, stack: str | None = None) -> str:
    """The TRACE ERROR line for a failure.

    Args:
        now: epoch seconds.
        stack: where in the connector an unforeseen failure happened; None for failures that the user can understand.
    """
    trace = {
        "type": "TRACE",
        "trace": {
            "type": "ERROR",
            "emitted_at": int(now * 1000),
            "error": {
                "message": filter_secrets(failure.message),
                "internal_message": filter_secrets(failure.internal),
                "failure_type": failure.kind.value,
                **({"stack_trace": filter_secrets(stack)} if stack else {}),
            },
        },
    }
    return json.dumps(trace)


def traced(failure: Failure) -> AirbyteTracedException:
    """A failure as the CDK's own type, for callers from Python."""
    return AirbyteTracedException(
        message=failure.message, internal_message=failure.internal, failure_type=FailureType(failure.kind.value)
    )
