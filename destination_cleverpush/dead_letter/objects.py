"""Objects under the configured path, by relative names: in a directory, or through obstore.

Both write an object whole or not at all. Every error is an AirbyteTracedException that says what to do.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from obstore.store import AzureStore, GCSStore, S3Store

from destination_cleverpush.dead_letter.aws_role import AssumedRole, KeyPair, environment_keys, web_identity
from destination_cleverpush.dead_letter.failures import local_failure, remote_failure
from destination_cleverpush.dead_letter.settings import (
    GcsSettings,
    LocalSettings,
    RemoteSettings,
    S3Settings,
    Settings,
)
from destination_cleverpush.errors import config_error

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

T = TypeVar("T")

SYNC_PATIENCE = timedelta(seconds=120)
"""How long a request may be tried again during a sync."""
CHECK_PATIENCE = timedelta(seconds=15)
"""How long a request may be tried again during a check, in which somebody waits."""


class Objects(Protocol):
    """A place for objects. All methods raise AirbyteTracedException."""

    def put(self, name: str, data: bytes) -> None:
        """Store the object durably and whole, in place of an older version of it."""

    def delete(self, name: str) -> None:
        """Remove the object."""

    def names(self) -> list[str]:
        """All objects under the path."""

    def read(self, name: str) -> BinaryIO:
        """The object's bytes, to be closed by the caller."""


def open_objects(settings: Settings, patience: timedelta = SYNC_PATIENCE) -> Objects:
    """The place that the settings name; nothing is sent to it yet.

    Raises:
        AirbyteTracedException: `config_error` where the settings cannot work.
    """
    if isinstance(settings, LocalSettings):
        return LocalObjects(settings)
    return RemoteObjects(settings, patience)


class LocalObjects:
    """Files that only their owner may read (they hold personal data), under a directory that must exist."""

    def __init__(self, settings: LocalSettings) -> None:
        self._root = Path(settings.destination_path)

    def put(self, name: str, data: bytes) -> None:
        """Write beside, sync to disk, and rename: after a crash there is the old version or the new one."""
        target = self._root / name
        draft = target.with_name(f".{target.name}.tmp")
        try:
            self._make_folders(target.parent)
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
            _sync_directory(target.parent)
        except OSError as error:
            raise local_failure(error, str(self._root)) from None

    def delete(self, name: str) -> None:
        """Remove the file."""
        try:
            (self._root / name).unlink()
        except OSError as error:
            raise local_failure(error, str(self._root)) from None

    def names(self) -> list[str]:
        """All files under the directory, drafts of a crash left out."""
        try:
            files = files_under(self._root)
        except OSError as error:
            raise local_failure(error, str(self._root)) from None
        return [path.relative_to(self._root).as_posix() for path in files if not path.name.startswith(".")]

    def read(self, name: str) -> BinaryIO:
        """The open file."""
        try:
            return (self._root / name).open("rb")
        except OSError as error:
            raise local_failure(error, str(self._root)) from None

    def _make_folders(self, folder: Path) -> None:
        made = self._root
        for part in folder.relative_to(self._root).parts:
            made /= part
            try:
                made.mkdir(0o700)
            except FileExistsError:
                continue
            _sync_directory(made.parent)


def files_under(folder: Path) -> list[Path]:
    """All files in the directory and in those below it.

    Raises:
        OSError: one of the directories cannot be read; its files are not passed over.
    """

    def fail(error: OSError) -> None:
        raise error

    walk = os.walk(folder, onerror=fail)
    return [path for place, _, names in walk for name in names if (path := Path(place, name)).is_file()]


def _sync_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class RemoteObjects:
    """Objects in a bucket or container, each written by one request that is tried again within `patience`."""

    def __init__(self, settings: RemoteSettings, patience: timedelta) -> None:
        self._prefix = f"{settings.bucket_path}/" if settings.bucket_path else ""
        self._label = _label(settings)
        self._advice = _advice(settings)
        self._role = _role(settings) if isinstance(settings, S3Settings) else None
        self._store: S3Store | GCSStore | AzureStore = self._call(lambda: _open(settings, self._role, patience))

    def put(self, name: str, data: bytes) -> None:
        """Store the object by one request."""
        self._call(lambda: self._store.put(self._prefix + name, data, use_multipart=False))

    def delete(self, name: str) -> None:
        """Remove the object."""
        self._call(lambda: self._store.delete(self._prefix + name))

    def names(self) -> list[str]:
        """All objects under the path."""
        found = self._call(lambda: [m["path"] for chunk in self._store.list(self._prefix or None) for m in chunk])
        return [path.removeprefix(self._prefix) for path in found]

    def read(self, name: str) -> BinaryIO:
        """The object in memory; objects of this store hold a few MiB."""
        return io.BytesIO(self._call(lambda: bytes(self._store.get(self._prefix + name).bytes())))

    def _call(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except BaseException as error:
            # A panic in Rust is no Exception; it is met for addresses that no pattern keeps out.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            if self._role is not None and self._role.failure is not None:
                raise self._role.failure from None
            raise _failure(error, self._label, self._advice) from None


def _failure(error: BaseException, label: str, advice: str) -> AirbyteTracedException:
    return error if isinstance(error, AirbyteTracedException) else remote_failure(error, label, advice)


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
        "allow_http": True,
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


def _role(settings: S3Settings) -> AssumedRole | None:
    if settings.role_arn is None:
        return None
    identity: KeyPair | Path | None
    if settings.access_key_id and settings.secret_access_key:
        identity = KeyPair(settings.access_key_id, settings.secret_access_key)
    else:
        identity = environment_keys() or web_identity()
    if identity is not None:
        return AssumedRole(settings.role_arn, settings.s3_bucket_region, identity)
    raise config_error(
        "The role in 'rejected_records.role_arn' cannot be assumed without credentials: fill in the access key ID and "
        "the secret access key, or run the connector with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or with a web "
        "identity (AWS_WEB_IDENTITY_TOKEN_FILE), in its environment."
    )


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
            "s3:PutObject under the bucket path."
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
