"""Objects in a bucket or container, through obstore."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import AzureStore, GCSStore, S3Store

from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.storage.aws_role import AssumedRole, KeyPair, environment_keys, web_identity
from destination_cleverpush.storage.failures import error_code, remote_failure
from destination_cleverpush.storage.objects import Conflict, Version
from destination_cleverpush.storage.settings import GcsSettings, RemoteSettings, S3Settings, may_use_http

if TYPE_CHECKING:
    from obstore import PutMode, UpdateVersion
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

T = TypeVar("T")

_MISSING_OBJECT = frozenset({"NoSuchKey", "BlobNotFound"})
"""The codes by which S3, Google's XML API and Azure tell a missing object from a missing bucket or container."""


class RemoteObjects:
    """Objects in a bucket or container, each written by one request that is tried again within `patience`."""

    def __init__(self, settings: RemoteSettings, what: str, patience: timedelta) -> None:
        self._prefix = f"{settings.bucket_path}/" if settings.bucket_path else ""
        self._what = what
        self._label = _label(settings)
        self._advice = _advice(settings)
        self._role = _role(settings, what) if isinstance(settings, S3Settings) else None
        self._store: S3Store | GCSStore | AzureStore = self._call(lambda: _open(settings, self._role, patience))

    def put(self, name: str, data: bytes) -> None:
        """Store the object by one request."""
        self._call(lambda: self._store.put(self._prefix + name, data, use_multipart=False))

    def put_if(self, name: str, data: bytes, version: Version | None) -> Version:
        """Store the object by one request with a precondition (`If-Match`, or what the store has in its place)."""
        mode: PutMode = "create" if version is None else _update(version)
        path = self._prefix + name
        stored = self._call(lambda: _as_expected(lambda: self._store.put(path, data, mode=mode, use_multipart=False)))
        if stored is None:
            raise Conflict
        return stored["e_tag"], stored["version"]

    def delete(self, name: str) -> None:
        """Remove the object."""

        def delete() -> None:
            with suppress(FileNotFoundError):
                self._store.delete(self._prefix + name)

        self._call(delete)

    def names(self, folder: str = "") -> list[str]:
        """All objects under the folder."""
        path = self._prefix + folder
        found = self._call(lambda: [m["path"] for chunk in self._store.list(path or None) for m in chunk])
        return [path.removeprefix(self._prefix) for path in found]

    def read(self, name: str) -> BinaryIO:
        """The object in memory; objects of these stores hold a few MiB."""
        return io.BytesIO(self._call(lambda: self._get(name))[0])

    def find(self, name: str) -> tuple[bytes, Version] | None:
        """The object in memory."""
        return self._call(lambda: _as_expected(lambda: self._get(name)))

    def _get(self, name: str) -> tuple[bytes, Version]:
        found = self._store.get(self._prefix + name)
        return bytes(found.bytes()), (found.meta["e_tag"], found.meta["version"])

    def _call(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except BaseException as error:
            # A panic in Rust is no Exception; it is met for addresses that no pattern keeps out.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            if isinstance(error, Failure):
                raise
            if self._role is not None and self._role.failure is not None:
                raise self._role.failure from None
            raise remote_failure(error, self._what, self._label, self._advice) from None


def _as_expected(request: Callable[[], T]) -> T | None:
    """What the request gives, None where the object is not there, or not in the version that was expected."""
    try:
        return request()
    except (AlreadyExistsError, PreconditionError):
        return None
    except FileNotFoundError as error:
        if error_code(error) in _MISSING_OBJECT:
            return None
        raise


def _update(version: Version) -> UpdateVersion:
    """The precondition "this version still"; obstore takes no None for what a store does not give."""
    e_tag, number = version
    update: UpdateVersion = {}
    if e_tag is not None:
        update["e_tag"] = e_tag
    if number is not None:
        update["version"] = number
    return update


def _open(settings: RemoteSettings, role: AssumedRole | None, patience: timedelta) -> S3Store | GCSStore | AzureStore:
    retry: RetryConfig = {
        "max_retries": 10,
        "retry_timeout": patience,
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": min(timedelta(seconds=15), patience / 4),
            "base": 2,
        },
    }
    client: ClientConfig = {
        "allow_http": may_use_http(_endpoint(settings), settings.allow_http),
        "connect_timeout": timedelta(seconds=10),
        "timeout": min(timedelta(seconds=60), patience),
        "user_agent": "destination-cleverpush",
    }
    if isinstance(settings, S3Settings):
        return _open_s3(settings, role, client, retry)
    if isinstance(settings, GcsSettings):
        return GCSStore(
            settings.gcs_bucket_name,
            config={
                **({"service_account_key": settings.service_account} if settings.service_account else {}),
                **({"base_url": settings.gcs_endpoint} if settings.gcs_endpoint else {}),
            },
            client_options=client,
            retry_config=retry,
        )
    key, sas = settings.azure_blob_storage_account_key, settings.shared_access_signature
    endpoint = settings.azure_blob_storage_endpoint
    return AzureStore(
        settings.azure_blob_storage_container_name,
        config={
            "account_name": settings.azure_blob_storage_account_name,
            **({"account_key": key, "credential_type": "access_key"} if key else {}),
            **({"sas_key": sas, "credential_type": "sas_token"} if sas else {}),
            **({"endpoint": endpoint} if endpoint else {}),
        },
        client_options=client,
        retry_config=retry,
    )


def _open_s3(settings: S3Settings, role: AssumedRole | None, client: ClientConfig, retry: RetryConfig) -> S3Store:
    config: S3Config = {
        "region": settings.s3_bucket_region,
        "disable_bulk_delete": True,
    }
    if settings.s3_endpoint:
        config["endpoint"] = settings.s3_endpoint
    credentials: Callable[[], S3Credential] | None = role
    if role is None and settings.access_key_id and settings.secret_access_key:
        # Given by a provider, so that no session token of the environment is mixed with the configured keys.
        keys = KeyPair(settings.access_key_id, settings.secret_access_key)
        credentials = keys.credential
    return S3Store(
        settings.s3_bucket_name,
        config=config,
        client_options=client,
        retry_config=retry,
        credential_provider=credentials,
    )


def _role(settings: S3Settings, what: str) -> AssumedRole | None:
    if settings.role_arn is None:
        return None
    identity: KeyPair | Path | None
    if settings.access_key_id and settings.secret_access_key:
        identity = KeyPair(settings.access_key_id, settings.secret_access_key)
    else:
        identity = environment_keys() or web_identity()
    if identity is not None:
        return AssumedRole(settings.role_arn, settings.s3_bucket_region, identity, what)
    raise config_error(
        f"{what}'s role ('role_arn') cannot be assumed without credentials: fill in the access key ID and the secret "
        "access key, or run the connector with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or with a web identity "
        "(AWS_WEB_IDENTITY_TOKEN_FILE), in its environment."
    )


def _endpoint(settings: RemoteSettings) -> str | None:
    if isinstance(settings, S3Settings):
        return settings.s3_endpoint
    if isinstance(settings, GcsSettings):
        return settings.gcs_endpoint
    return settings.azure_blob_storage_endpoint


def _label(settings: RemoteSettings) -> str:
    if isinstance(settings, S3Settings):
        return f"the S3 bucket '{settings.s3_bucket_name}'"
    if isinstance(settings, GcsSettings):
        return f"the Google Cloud Storage bucket '{settings.gcs_bucket_name}'"
    return (
        f"the container '{settings.azure_blob_storage_container_name}' of the Azure storage account "
        f"'{settings.azure_blob_storage_account_name}'"
    )


def _advice(settings: RemoteSettings) -> str:
    if isinstance(settings, S3Settings):
        return (
            "Check the bucket's name, region and endpoint, the access key or role, and that it has the right "
            "s3:PutObject under the bucket path (to read from there, also s3:ListBucket and s3:GetObject)."
        )
    if isinstance(settings, GcsSettings):
        return (
            "Check the bucket's name, the service account's key, and that the account has the role Storage Object User "
            "on the bucket."
        )
    return (
        "Check the names of the account and the container, and the account key, or that the SAS token has not expired "
        "and has the rights to create and write blobs in the container."
    )
