"""Credentials of an AWS role, assumed with an access key or with a web identity token.

obstore assumes roles by web identity alone. Here it is one call of the AWS Security Token Service (STS API reference,
`AssumeRole` and `AssumeRoleWithWebIdentity`), the former signed as "AWS Signature Version 4 for API requests" in the
IAM user guide describes. botocore would do it with some 15 MB of service descriptions.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import requests
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from destination_cleverpush.errors import config_error, transient_error

if TYPE_CHECKING:
    from obstore.store import S3Credential

_TIMEOUT_SECONDS = 20
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_ANSWER_PARTS = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([^<]+)<")


@dataclass(frozen=True)
class KeyPair:
    """An AWS access key, with its session token where it is a temporary one."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

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

    Attributes:
        failure: why the last call failed; obstore wraps what is raised here into an error of its own.
    """

    def __init__(self, role_arn: str, region: str, identity: KeyPair | Path) -> None:
        self._role_arn = role_arn
        self._region = region
        self._identity = identity
        self.failure: AirbyteTracedException | None = None

    def __call__(self) -> S3Credential:
        """Assume the role.

        Raises:
            AirbyteTracedException: also kept in `failure`.
        """
        try:
            credential = self._assume()
        except AirbyteTracedException as error:
            self.failure = error
            raise
        self.failure = None
        return credential

    def _assume(self) -> S3Credential:
        url = sts_endpoint(self._region).rstrip("/") + "/"
        form = {"Version": "2011-06-15", "RoleArn": self._role_arn, "RoleSessionName": "destination-cleverpush"}
        if isinstance(self._identity, KeyPair):
            external_id = os.environ.get("AWS_ASSUME_ROLE_EXTERNAL_ID")
            body = urlencode({"Action": "AssumeRole", **form, **({"ExternalId": external_id} if external_id else {})})
            headers = signed_headers(self._identity, self._region, url, body, datetime.now(timezone.utc))
        else:
            token = _read_token(self._identity)
            body = urlencode({"Action": "AssumeRoleWithWebIdentity", **form, "WebIdentityToken": token})
            headers = {"content-type": _FORM}
        answer = _post(url, body, headers, self._role_arn)
        parts = dict(_ANSWER_PARTS.findall(answer))
        try:
            return {
                "access_key_id": parts["AccessKeyId"],
                "secret_access_key": parts["SecretAccessKey"],
                "token": parts["SessionToken"],
                "expires_at": datetime.fromisoformat(parts["Expiration"].replace("Z", "+00:00")),
            }
        except (KeyError, ValueError):
            raise transient_error(f"AWS STS gave no readable credentials for the role '{self._role_arn}'.") from None


def _read_token(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise config_error(
            f"The web identity token for the dead letter store's role cannot be read ({type(error).__name__}). Check "
            "AWS_WEB_IDENTITY_TOKEN_FILE in the connector's environment."
        ) from None


def _post(url: str, body: str, headers: dict[str, str], role_arn: str) -> str:
    retries = Retry(
        total=3,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("POST",),
        raise_on_status=False,
    )
    with requests.Session() as session:
        session.mount("https://", HTTPAdapter(max_retries=retries))
        session.mount("http://", HTTPAdapter(max_retries=retries))
        try:
            response = session.post(url, data=body, headers=headers, timeout=_TIMEOUT_SECONDS, auth=_no_netrc)
        except requests.RequestException as error:
            raise transient_error(
                f"AWS STS could not be reached to assume the role '{role_arn}' of the dead letter store "
                f"({type(error).__name__}). If this goes on, check the network and the bucket's region."
            ) from None
    if response.status_code == 200:
        return response.text
    if response.status_code >= 500 or response.status_code == 429:
        raise transient_error(
            f"AWS STS did not assume the role '{role_arn}' of the dead letter store (HTTP {response.status_code}), "
            "also when asked again. Airbyte will try again later."
        )
    raise config_error(
        f"AWS STS refused to assume the role '{role_arn}' of the dead letter store (HTTP {response.status_code}). "
        "Check the access key or web identity, that it may assume roles, and that the role's trust policy names it."
    )


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without an `auth` of its own, requests would replace the signature by what a netrc file has for the host."""
    return request


def signed_headers(keys: KeyPair, region: str, url: str, body: str, now: datetime) -> dict[str, str]:
    """The headers of a signed form POST to STS."""
    parts = urlsplit(url)
    headers = {
        "content-type": _FORM,
        "host": parts.netloc,
        "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        **({"x-amz-security-token": keys.session_token} if keys.session_token else {}),
    }
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [
            "POST",
            quote(parts.path or "/"),
            "",
            *(f"{name}:{headers[name]}" for name in sorted(headers)),
            "",
            names,
            hashlib.sha256(body.encode()).hexdigest(),
        ]
    )
    scope = f"{now:%Y%m%d}/{region}/sts/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = key.hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers
