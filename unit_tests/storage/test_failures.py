"""What cloud stores answer, as failures that say what to do."""

from __future__ import annotations

import re

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from destination_cleverpush.storage.failures import remote_failure


def http(status: str, body: str = "") -> str:
    return f"Generic S3 error: Error performing PUT - Server returned non-2xx status code: {status}: POISON{body}"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            GenericError(http("503 Service Unavailable")),
            "transient_error",
            r"did not do what it was asked \(HTTP 503\)",
        ),
        (GenericError(http("429 Too Many Requests")), "transient_error", "HTTP 429"),
        (GenericError(http("400 Bad Request", "<Code>ExpiredToken</Code>")), "transient_error", "ExpiredToken"),
        (
            GenericError("Generic S3 error: POISON - HTTP error: error sending request"),
            "transient_error",
            "not be reached",
        ),
        (PermissionDeniedError(http("403 Forbidden", "<Code>AccessDenied</Code>")), "config_error", "AccessDenied"),
        (UnauthenticatedError(http("401 Unauthorized")), "config_error", "refused access"),
        (UnauthenticatedError("POISON"), "config_error", "no credentials"),
        (GenericError("Error performing PUT http://169.254.169.254/latest POISON"), "config_error", "no credentials"),
        (FileNotFoundError(http("404 Not Found", "<Code>NoSuchBucket</Code>")), "config_error", "NoSuchBucket"),
        (GenericError("POISON Received redirect without LOCATION"), "config_error", "another region"),
        (GenericError(http("400 B", "<Code>AuthorizationHeaderMalformed</Code>")), "config_error", "another region"),
        (GenericError("POISON - HTTP error: builder error"), "config_error", "cannot be used as it is configured"),
        (GenericError(http("405 Method Not Allowed")), "config_error", "cannot be used as it is configured"),
        (ValueError("POISON"), "config_error", "cannot be used as it is configured"),
    ],
)
def test_what_a_store_answers_says_what_to_do(error: Exception, kind: str, words: str) -> None:
    failure = remote_failure(error, "The dead letter store", "the S3 bucket 'b'", "Check it.")
    assert failure.kind == kind
    assert re.search(words, failure.message)
    assert failure.message.startswith("The dead letter store, the S3 bucket 'b', ")
    assert "POISON" not in f"{failure.message}{failure.internal}"
