"""Where something is kept: an object of the form, such as `rejected_records`, as typed, frozen dataclasses.

The S3 fields have the names that Airbyte's own data activation destinations use for their dead letter queue.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from destination_cleverpush.errors import config_error


@dataclass(frozen=True)
class LocalSettings:
    """A directory of the machine or container that runs the connector."""

    destination_path: str


@dataclass(frozen=True)
class S3Settings:
    """An S3 bucket, or one of a service that speaks S3. Keys and role are None where the environment has them."""

    s3_bucket_name: str
    s3_bucket_region: str
    bucket_path: str = ""
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    role_arn: str | None = None
    s3_endpoint: str | None = None
    allow_http: bool = False


@dataclass(frozen=True)
class GcsSettings:
    """A Google Cloud Storage bucket. `service_account` is the JSON key, None where the environment has credentials."""

    gcs_bucket_name: str
    bucket_path: str = ""
    service_account: str | None = field(default=None, repr=False)
    gcs_endpoint: str | None = None
    allow_http: bool = False


@dataclass(frozen=True)
class AzureSettings:
    """An Azure blob container, with the account's key or a shared access signature (SAS)."""

    azure_blob_storage_account_name: str
    azure_blob_storage_container_name: str
    bucket_path: str = ""
    azure_blob_storage_account_key: str | None = field(default=None, repr=False)
    shared_access_signature: str | None = field(default=None, repr=False)
    azure_blob_storage_endpoint: str | None = None
    allow_http: bool = False


RemoteSettings = S3Settings | GcsSettings | AzureSettings
Settings = LocalSettings | RemoteSettings


def parse(raw: Mapping[str, Any], field: str) -> Settings | None:
    """The settings in an object of the form that the spec allows; None for `storage_type` `none`.

    Args:
        field: the object's name in the form, such as `rejected_records`, for messages.

    Raises:
        Failure: `config_error`, for what the spec cannot express. Names fields, never their values.
    """
    kind = raw.get("storage_type", "none")
    text = {name: value for name, value in raw.items() if value != ""}
    path = str(raw.get("bucket_path", "")).strip("/")
    allow_http = raw.get("allow_http") is True
    if kind == "local":
        return LocalSettings(text["destination_path"])
    if kind == "s3":
        if ("access_key_id" in text) != ("secret_access_key" in text):
            missing = "secret_access_key" if "access_key_id" in text else "access_key_id"
            raise config_error(
                f"The configuration field '{field}.{missing}' is missing. Fill in both the access key ID and "
                "the secret access key, or neither to use the credentials of the environment."
            )
        return S3Settings(
            s3_bucket_name=text["s3_bucket_name"],
            s3_bucket_region=text["s3_bucket_region"],
            bucket_path=path,
            access_key_id=text.get("access_key_id"),
            secret_access_key=text.get("secret_access_key"),
            role_arn=text.get("role_arn"),
            s3_endpoint=_endpoint(field, "s3_endpoint", text, allow_http),
            allow_http=allow_http,
        )
    if kind == "gcs":
        return GcsSettings(
            gcs_bucket_name=text["gcs_bucket_name"],
            bucket_path=path,
            service_account=_service_account(field, text.get("service_account")),
            gcs_endpoint=_endpoint(field, "gcs_endpoint", text, allow_http),
            allow_http=allow_http,
        )
    if kind == "azure":
        if ("azure_blob_storage_account_key" in text) == ("shared_access_signature" in text):
            raise config_error(
                f"The store on Azure needs either '{field}.azure_blob_storage_account_key' or "
                f"'{field}.shared_access_signature', and not both."
            )
        return AzureSettings(
            azure_blob_storage_account_name=text["azure_blob_storage_account_name"],
            azure_blob_storage_container_name=text["azure_blob_storage_container_name"],
            bucket_path=path,
            azure_blob_storage_account_key=_account_key(field, text.get("azure_blob_storage_account_key")),
            shared_access_signature=_sas(field, text.get("shared_access_signature")),
            azure_blob_storage_endpoint=_endpoint(field, "azure_blob_storage_endpoint", text, allow_http),
            allow_http=allow_http,
        )
    return None


def may_use_http(address: str | None, allow_http: bool) -> bool:
    """Whether requests may go unencrypted: where the user says so, or to an `http://` address of this machine."""
    return allow_http or (address is not None and address.startswith("http://") and _is_loopback(address))


def _endpoint(field: str, name: str, text: Mapping[str, str], allow_http: bool) -> str | None:
    address = text.get(name)
    if address is None:
        return None
    try:
        usable = urlsplit(address).port != 0
    except ValueError:
        usable = False
    if not usable:
        raise config_error(f"The configuration field '{field}.{name}' has a port that does not exist.")
    if address.startswith("http://") and not may_use_http(address, allow_http):
        raise config_error(
            f"The configuration field '{field}.{name}' is an address that begins with http://, so that others on the "
            "way could read what is stored, and use the signed requests. Use https://, or switch on "
            f"'{field}.allow_http' if the network as far as there is trusted."
        )
    return address.rstrip("/")


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _service_account(field: str, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        key = json.loads(text)
    except (ValueError, RecursionError):
        key = None
    wanted = ("client_email", "private_key", "private_key_id")
    if not isinstance(key, dict) or not all(isinstance(key.get(name), str) and key[name] for name in wanted):
        raise config_error(
            f"The configuration field '{field}.service_account' is not the JSON key of a service account. "
            "Create a key of type JSON in Google Cloud under IAM > Service Accounts > Keys, and paste the whole file."
        )
    return text


def _account_key(field: str, text: str | None) -> str | None:
    try:
        base64.b64decode(text or "", validate=True)
    except ValueError:
        raise config_error(
            f"The configuration field '{field}.azure_blob_storage_account_key' is not an account key. Copy it "
            "in Azure from the storage account's Security + networking > Access keys."
        ) from None
    return text


def _sas(field: str, text: str | None) -> str | None:
    if text is None:
        return None
    token = text.removeprefix("?")
    pairs = [pair.partition("=") for pair in token.split("&")]
    if not all(name and value for name, _, value in pairs) or "sig" not in {name for name, _, _ in pairs}:
        raise config_error(
            f"The configuration field '{field}.shared_access_signature' is not a SAS token. Copy the token in "
            "Azure from the container's Settings > Shared access tokens; it holds '&sig='."
        )
    return token
