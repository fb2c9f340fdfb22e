"""Failures of the dead letter store, as errors that say what to do.

The texts of obstore's errors may quote the store's answer and, in it, keys and signatures: only the kind of error, the
HTTP status and the store's error code are taken from them.
"""

from __future__ import annotations

import errno
import re

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from destination_cleverpush.errors import config_error, transient_error

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_PASSING_STATUSES = frozenset({408, 409, 425, 429})
_PASSING_CODES = frozenset({"RequestTimeout", "ExpiredToken", "OperationAborted", "SlowDown", "ServerBusy"})
_WRONG_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})
_METADATA_SERVICES = re.compile(r"169\.254\.\d+\.\d+|fd00:ec2::|metadata\.google|metadata service", re.IGNORECASE)
_MENDABLE_ERRNOS = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EISDIR, errno.ELOOP}
)


def remote_failure(error: BaseException, store: str, advice: str) -> AirbyteTracedException:
    """What an error of obstore means.

    Args:
        store: the store in words, such as `the S3 bucket 'rejects'`.
        advice: what to check in the configuration, a sentence.
    """
    text = str(error)
    status = int(found[1]) if (found := _STATUS.search(text)) else None
    code = found[1] if (found := _CODE.search(text)) else None
    answer = ", ".join(part for part in (status and f"HTTP {status}", code) if part)
    internal = f"Dead letter store, {store}: {type(error).__name__}" + (f" ({answer})" if answer else "")
    shown = f" ({answer})" if answer else ""
    subject = f"The dead letter store, {store},"
    if (status is not None and (status >= 500 or status in _PASSING_STATUSES)) or code in _PASSING_CODES:
        return transient_error(
            f"{subject} did not take the rejected rows{shown}, also when asked again. Airbyte will try again later.",
            internal,
        )
    if code in _WRONG_REGION or "redirect without LOCATION" in text:
        return config_error(f"{subject} lies in another region{shown}. {advice}", internal)
    if isinstance(error, FileNotFoundError) or status == 404:
        return config_error(f"{subject} was not found{shown}. Create it, or correct its name. {advice}", internal)
    if status is None and (isinstance(error, UnauthenticatedError) or _METADATA_SERVICES.search(text)):
        return config_error(
            f"There are no credentials for the dead letter store, {store}: the configuration has none, and neither "
            f"has the environment that the connector runs in. {advice}",
            internal,
        )
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return config_error(f"{subject} refused access{shown}. {advice}", internal)
    if status is None and "HTTP error" in text:
        return transient_error(
            f"{subject} could not be reached, also when asked again. If this goes on, check the network and the "
            f"address. {advice}",
            internal,
        )
    return config_error(f"{subject} cannot be used as it is configured{shown}. {advice}", internal)


def local_failure(error: OSError, directory: str) -> AirbyteTracedException:
    """What an error of the file system means."""
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    place = f"The dead letter store's directory '{directory}'"
    if error.errno in _MENDABLE_ERRNOS:
        wish = {
            errno.ENOENT: "does not exist. Create it, and mount it into the connector's container",
            errno.ENOTDIR: "is not a directory. Name a directory",
            errno.EROFS: "is on a read-only file system. Mount it so that the connector can write",
        }.get(
            error.errno or 0,
            "may not be used. Give the user that the connector runs as the right to read and write there",
        )
        return config_error(f"{place} {wish} ({name}).", f"Dead letter store, local: {name}")
    return transient_error(
        f"{place} could not be written ({name}). Make sure that its disk has room and works; Airbyte will try "
        "again later.",
        f"Dead letter store, local: {name}",
    )
