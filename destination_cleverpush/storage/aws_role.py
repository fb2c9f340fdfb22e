"""Credentials of an AWS role, assumed with an access key or with a web identity token.

It is one call of the AWS Security Token Service (STS API reference, `AssumeRole` and `AssumeRoleWithWebIdentity`), the
former signed by requests-aws4auth (25 kB; botocore would bring 30 MB of service descriptions). obstore could assume a
role by web identity, and by nothing else; but it would tell a role that STS refuses as a bucket that does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import requests
from requests.adapters import HTTPAdapter
from requests_aws4auth import AWS4Auth
from urllib3.util.retry import Retry

from destination_cleverpush.errors import Failure, config_error, transient_error

if TYPE_CHECKING:
    from obstore.store import S3Credential

_Auth: TypeAlias = Callable[[requests.PreparedRequest], requests.PreparedRequest]

_TIMEOUT_SECONDS = 20
_ANSWER_PARTS = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([^<]+)<")


@dataclass(frozen=True)
class KeyPair:
    """An AWS access key, with its session token where it is a temporary one."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def signer(self, region: str) -> _Auth:
        """What signs requests to the region's token service."""
        keys = (self.access_key_id, self.secret_access_key)
        signer: _Auth = AWS4Auth(*keys, region, "sts", session_token=self.session_token)
        return signer

    def credential(self) -> S3Credential:
        """In the form of an obstore credential provider; it does not expire."""
        return {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "token": self.session_token,
            "expires_at": None,
        }


def environment_keys() -> KeyPair | None:
    """The key in the variables that AWS's own tools read. Airbyte sets them where it assumes roles for its users."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    return KeyPair(key, secret, os.environ.get("AWS_SESSION_TOKEN") or None) if key and secret else None


def web_identity() -> Path | None:
    """The token file that AWS's own tools use; Kubernetes on AWS sets it (IAM roles for service accounts)."""
    file = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    return Path(file) if file else None


def sts_endpoint(region: str) -> str:
    """The address of the token service in a region, or that in the variable that AWS's own tools read."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return os.environ.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.{domain}"


class AssumedRole:
    """A credential provider for obstore: called for the first request and again when the credentials run out.

    The external ID that a role may ask for is taken from AWS_ASSUME_ROLE_EXTERNAL_ID, where Airbyte puts it.

    Args:
        role_arn: the role.
        region: whose token service is asked.
        identity: who assumes it: an access key, or the file of a web identity token.
        what: whose role it is, such as `The dead letter store`, for messages.

    Attributes:
        failure: why the last call failed; obstore wraps what is raised here into an error of its own.
    """

    def __init__(self, role_arn: str, region: str, identity: KeyPair | Path, what: str) -> None:
        self._role_arn = role_arn
        self._region = region
        self._identity = identity
        self._what = what
        self.failure: Failure | None = None

    def __call__(self) -> S3Credential:
        """Assume the role.

        Raises:
            Failure: also kept in `failure`.
        """
        try:
            credential = self._assume()
        except Failure as error:
            self.failure = error
            raise
        self.failure = None
        return credential

    def _assume(self) -> S3Credential:
        form = {"Version": "2011-06-15", "RoleArn": self._role_arn, "RoleSessionName": "destination-cleverpush"}
        auth: _Auth
        if isinstance(self._identity, KeyPair):
            external_id = os.environ.get("AWS_ASSUME_ROLE_EXTERNAL_ID")
            form |= {"Action": "AssumeRole", **({"ExternalId": external_id} if external_id else {})}
            auth = self._identity.signer(self._region)
        else:
            form |= {"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": self._read_token(self._identity)}
            auth = _unsigned
        answer = self._post(form, auth)
        parts = dict(_ANSWER_PARTS.findall(answer))
        try:
            return {
                "access_key_id": parts["AccessKeyId"],
                "secret_access_key": parts["SecretAccessKey"],
                "token": parts["SessionToken"],
                "expires_at": datetime.fromisoformat(parts["Expiration"].replace("Z", "+00:00")),
            }
        except (KeyError, ValueError):
            raise transient_error(
                f"{self._what}: AWS STS gave no readable credentials for the role '{self._role_arn}'."
            ) from None

    def _read_token(self, file: Path) -> str:
        try:
            return file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise config_error(
                f"{self._what}: the web identity token for its role cannot be read ({type(error).__name__}). Check "
                "AWS_WEB_IDENTITY_TOKEN_FILE in the connector's environment."
            ) from None

    def _post(self, form: dict[str, str], auth: _Auth) -> str:
        url = sts_endpoint(self._region).rstrip("/") + "/"
        retries = HTTPAdapter(
            max_retries=Retry(
                total=3,
                backoff_factor=0.5,
                status_forcelist=(429, 500, 502, 503, 504),
                allowed_methods=("POST",),
                raise_on_status=False,
            )
        )
        role = f"the role '{self._role_arn}' of its S3 bucket"
        with requests.Session() as session:
            session.mount("https://", retries)
            session.mount("http://", retries)
            try:
                response = session.post(url, form, auth=auth, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
            except requests.RequestException as error:
                raise transient_error(
                    f"{self._what} could not reach AWS STS to assume {role} ({type(error).__name__}). If this goes on, "
                    "check the network and the bucket's region."
                ) from None
        if response.status_code == 200:
            return response.text
        if response.status_code >= 500 or response.status_code == 429:
            raise transient_error(
                f"{self._what}: AWS STS did not assume {role} (HTTP {response.status_code}), also when asked again. "
                "Airbyte will try again later."
            )
        raise config_error(
            f"{self._what}: AWS STS refused to assume {role} (HTTP {response.status_code}). Check the access key or "
            "web identity, that it may assume roles, and that the role's trust policy names it."
        )


def _unsigned(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without an `auth` of its own, requests would send what a netrc file has for the host."""
    return request
