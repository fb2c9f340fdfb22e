"""Lines out: logs and failures, without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets

from destination_cleverpush.airbyte.messages import OutputLogHandler, error_trace, traced
from destination_cleverpush.airbyte.output import Output
from destination_cleverpush.errors import Failure, config_error, system_error, transient_error


@pytest.fixture
def _secret() -> Iterator[None]:
    update_secrets(["s3cret"])
    yield
    update_secrets([])


def logged(record: logging.LogRecord) -> Any:
    """The line of a log record."""
    written = io.BytesIO()
    output = Output(SimpleNamespace(buffer=written))
    OutputLogHandler(output).emit(record)
    output.flush()
    return json.loads(written.getvalue())


def test_a_log_line_may_hold_half_a_character() -> None:
    record = logging.LogRecord("airbyte", logging.WARNING, "", 0, "Rejected: '%s'", ("a\ud800 b",), None)
    assert logged(record) == {"type": "LOG", "log": {"level": "WARN", "message": "Rejected: 'a\\ud800 b'"}}
    assert record.args == ("a\ud800 b",), "other handlers get the record too"


@pytest.mark.usefixtures("_secret")
def test_a_line_for_who_looks_closely_is_one_of_airbytes_too() -> None:
    record = logging.LogRecord("airbyte", logging.DEBUG, "", 0, "The key %s", ("s3cret",), None)
    assert logged(record) == {"type": "LOG", "log": {"level": "DEBUG", "message": "The key ****"}}


@pytest.mark.usefixtures("_secret")
def test_a_log_line_hides_secrets() -> None:
    record = logging.LogRecord("airbyte", logging.INFO, "", 0, "The key %s", ("s3cret",), None)
    assert logged(record)["log"]["message"] == "The key ****"


def test_a_failure_as_a_trace() -> None:
    trace = json.loads(error_trace(config_error("Do this."), 12.5))
    assert trace == {
        "type": "TRACE",
        "trace": {
            "type": "ERROR",
            "emitted_at": 12500,
            "error": {"message": "Do this.", "internal_message": "Do this.", "failure_type": "config_error"},
        },
    }


@pytest.mark.usefixtures("_secret")
def test_a_trace_hides_secrets_and_tells_where_something_unforeseen_happened() -> None:
    error = json.loads(error_trace(system_error("No s3cret.", "in s3cret"), 1.0, "line 1, s3cret"))["trace"]["error"]
    assert error == {
        "message": "No ****.",
        "internal_message": "in ****",
        "failure_type": "system_error",
        "stack_trace": "line 1, ****",
    }


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (config_error("No.", "inside"), FailureType.config_error),
        (transient_error("No.", "inside"), FailureType.transient_error),
        (system_error("No.", "inside"), FailureType.system_error),
    ],
)
def test_a_failure_for_callers_from_python(failure: Failure, kind: FailureType) -> None:
    found = traced(failure)
    assert (found.message, found.internal_message, found.failure_type) == ("No.", "inside", kind)
