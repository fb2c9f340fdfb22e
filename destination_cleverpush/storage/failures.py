"""Failures of cloud stores, as errors that say what to do.

The texts of obstore's errors may quote the store's answer and, in it, keys and signatures: only the kind of error, the
HTTP status and the store's error code are taken from them.
"""

from __future__ import annotations

import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from destination_cleverpush.errors import Failure, config_error, transient_error

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_PASSING_STATUSES = frozenset({408, 409, 425, 429})
_PASSING_CODES = frozenset({"RequestTimeout", "ExpiredToken", "OperationAborted", "SlowDown", "ServerBusy"})
_WRONG_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})
_METADATA_SERVICES = re.compile(r"169\.254\.\d+\.\d+|fd00:ec2::|metadata\.google|metadata service", re.IGNORECASE)


def error_code(error: BaseException) -> str | None:
    """The store's own code for what is wrong, such as `NoSuchKey`, where it gave one."""
    found = _CODE.search(str(error))
    return found[1] if found else None


def remote_failure(error: BaseException, what: str, store: str, advice: str) -> Failure:
    """What an error of obstore means.

    Args:
        what: whose store it is, such as `The dead letter store`.
        store: the store in words, such as `the S3 bucket 'rejects'`.
        advice: what to check in the configuration, a sentence.
    """
    text = str(error)
    status = int(found[1]) if (found := _STATUS.search(text)) else None
    code = error_code(error)
    answer = ", ".join(part for part in (status and f"HTTP {status}", code) if part)
    internal = f"{what}, {store}: {type(error).__name__}" + (f" ({answer})" if answer else "")
    shown = f" ({answer})" if answer else ""
    subject = f"{what}, {store},"
    if (status is not None and (status >= 500 or status in _PASSING_STATUSES)) or code in _PASSING_CODES:
        return transient_error(
            f"{subject} did not do what it was asked{shown}, also when asked again. Airbyte will try again later.",
            internal,
        )
    if code in _WRONG_REGION or "redirect without LOCATION" in text:
        return config_error(f"{subject} lies in another region{shown}. {advice}", internal)
    if isinstance(error, FileNotFoundError) or status == 404:
        return config_error(f"{subject} was not found{shown}. Create it, or correct its name. {advice}", internal)
    if status is None and (isinstance(error, UnauthenticatedError) or _METADATA_SERVICES.search(text)):
        return config_error(
            f"{subject} gets no credentials: the configuration has none, and neither has the environment that the "
            f"connector runs in. {advice}",
            internal,
        )
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return config_error(f"{subject} refused access{shown}. {advice}", internal)
    if status is None and "HTTP error" in text and "builder error" not in text:
        return transient_error(
            f"{subject} could not be reached, also when asked again. If this goes on, check the network and the "
            f"address. {advice}",
            internal,
        )
    return config_error(f"{subject} cannot be used as it is configured{shown}. {advice}", internal)
