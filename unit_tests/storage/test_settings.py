"""The objects of the form as settings: what it allows, what it refuses, and what it cannot express."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets
from jsonschema import Draft7Validator

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import AzureSettings, GcsSettings, LocalSettings, S3Settings, parse

FIELD = "rejected_records"

VALID: list[tuple[dict[str, Any], Any]] = [
    ({"storage_type": "none"}, None),
    ({"storage_type": "local", "destination_path": "/local/rejected"}, LocalSettings("/local/rejected")),
    (
        {
            "storage_type": "s3",
            "s3_bucket_name": "b.name",
            "s3_bucket_region": "eu-central-1",
            "bucket_path": "/some/path/",
            "access_key_id": "AKIAPOISON",
            "secret_access_key": "POISON/SECRET",
            "role_arn": "arn:aws:iam::123456789012:role/x",
            "s3_endpoint": "http://minio:9000/",
            "allow_http": True,
        },
        S3Settings(
            "b.name",
            "eu-central-1",
            "some/path",
            "AKIAPOISON",
            "POISON/SECRET",
            "arn:aws:iam::123456789012:role/x",
            "http://minio:9000",
            True,
        ),
    ),
    (
        {
            "storage_type": "s3",
            "s3_bucket_name": "bucket",
            "s3_bucket_region": "auto",
            "access_key_id": "",
            "s3_endpoint": "",
        },
        S3Settings("bucket", "auto"),
    ),
    (
        {
            "storage_type": "gcs",
            "gcs_bucket_name": "bucket",
            "service_account": '{"client_email": "a@b", "private_key": "POISON", "private_key_id": "1"}',
        },
        GcsSettings("bucket", "", '{"client_email": "a@b", "private_key": "POISON", "private_key_id": "1"}'),
    ),
    (
        {
            "storage_type": "azure",
            "azure_blob_storage_account_name": "account",
            "azure_blob_storage_container_name": "container",
            "azure_blob_storage_account_key": "UE9JU09O",
        },
        AzureSettings("account", "container", "", "UE9JU09O"),
    ),
    (
        {
            "storage_type": "azure",
            "azure_blob_storage_account_name": "account",
            "azure_blob_storage_container_name": "container",
            "shared_access_signature": "?sv=1&sig=POISON%3D",
        },
        AzureSettings("account", "container", "", None, "sv=1&sig=POISON%3D"),
    ),
]


def spec() -> dict[str, Any]:
    text = files("destination_cleverpush").joinpath("spec.json").read_text(encoding="utf-8")
    fields: dict[str, Any] = json.loads(text)["connectionSpecification"]
    return fields


def form() -> dict[str, Any]:
    fields: dict[str, Any] = spec()["properties"][FIELD]
    return fields


@pytest.mark.parametrize(("raw", "settings"), VALID)
def test_what_the_form_allows_becomes_settings(raw: dict[str, Any], settings: Any) -> None:
    assert list(Draft7Validator(form()).iter_errors(raw)) == []
    assert parse(raw, FIELD) == settings
    assert "POISON" not in repr(parse(raw, FIELD))
    assert "UE9JU09O" not in repr(parse(raw, FIELD))


@pytest.mark.parametrize("raw", [raw for raw, _ in VALID])
def test_the_cdk_finds_the_secrets(raw: dict[str, Any]) -> None:
    secrets = get_secrets(spec(), {"api_key": "k", "rejected_records": raw})
    hidden = {"access_key_id", "secret_access_key", "service_account", "azure_blob_storage_account_key"}
    hidden.add("shared_access_signature")
    assert set(secrets) == {"k", *(raw[name] for name in hidden & raw.keys())}


S3 = {"storage_type": "s3", "s3_bucket_name": "bucket", "s3_bucket_region": "eu-central-1"}
GCS = {"storage_type": "gcs", "gcs_bucket_name": "bucket"}
AZURE = {
    "storage_type": "azure",
    "azure_blob_storage_account_name": "account",
    "azure_blob_storage_container_name": "container",
}


@pytest.mark.parametrize(
    "raw",
    [
        {"storage_type": "ftp"},
        {"storage_type": "local"},
        {"storage_type": "local", "destination_path": "relative"},
        {"storage_type": "s3", "s3_bucket_region": "eu-central-1"},
        S3 | {"s3_bucket_name": "s3://bucket"},
        S3 | {"s3_bucket_region": "EU"},
        S3 | {"s3_endpoint": "minio:9000"},
        S3 | {"s3_endpoint": "http://user:pass@minio"},
        S3 | {"bucket_path": "a/../b"},
        S3 | {"bucket_path": "a//b"},
        S3 | {"bucket_path": "."},
        S3 | {"role_arn": "admin"},
        GCS | {"gcs_bucket_name": "a/b"},
        AZURE | {"azure_blob_storage_account_name": "Account"},
        AZURE | {"azure_blob_storage_container_name": "x/y"},
    ],
)
def test_the_form_refuses(raw: dict[str, Any]) -> None:
    assert list(Draft7Validator(form()).iter_errors(raw)) != []


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (S3 | {"access_key_id": "POISON"}, "secret_access_key' is missing"),
        (S3 | {"secret_access_key": "POISON"}, "access_key_id' is missing"),
        (S3 | {"s3_endpoint": "http://minio:99999"}, "s3_endpoint' has a port that does not exist"),
        (GCS | {"service_account": "POISON"}, "service_account' is not the JSON key"),
        (GCS | {"service_account": '{"type": "authorized_user", "refresh_token": "POISON"}'}, "is not the JSON key"),
        (S3 | {"s3_endpoint": "http://minio:9000"}, "s3_endpoint' is an address that begins with http://"),
        (S3 | {"s3_endpoint": "http://minio:9000", "allow_http": False}, "or switch on 'rejected_records.allow_http'"),
        (GCS | {"gcs_endpoint": "http://gcs"}, "gcs_endpoint' is an address that begins with http://"),
        (AZURE | {"shared_access_signature": "sig=x", "azure_blob_storage_endpoint": "http://blobs"}, "with http://"),
        (AZURE, "needs either"),
        (AZURE | {"azure_blob_storage_account_key": "UE9JU09O", "shared_access_signature": "sig=x"}, "not both"),
        (AZURE | {"azure_blob_storage_account_key": "POISON="}, "account_key' is not an account key"),
        (AZURE | {"shared_access_signature": "POISON"}, "is not a SAS token"),
    ],
)
def test_what_the_form_cannot_express_is_a_config_error(raw: dict[str, Any], words: str) -> None:
    assert list(Draft7Validator(form()).iter_errors(raw)) == []
    with pytest.raises(Failure, match=words) as error:
        parse(raw, FIELD)
    assert error.value.kind is FailureKind.CONFIG
    assert "POISON" not in f"{error.value.message}{error.value.internal}{error.value!r}"


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("http://localhost:9000", True),
        ("http://127.0.0.1:9000", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:9000/path", True),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1", False),
        ("http://169.254.169.254", False),
        ("http://[::2]", False),
        ("http://0.0.0.0", False),
        ("http://localhost@example.com", False),
        ("https://minio:9000", True),
    ],
)
def test_unencrypted_addresses_stay_on_this_machine(address: str, allowed: bool) -> None:
    raw = S3 | {"s3_endpoint": address}
    assert parse(raw | {"allow_http": True}, FIELD) is not None
    if allowed:
        assert parse(raw, FIELD) is not None
        return
    with pytest.raises(Failure, match="begins with http://"):
        parse(raw, FIELD)


def test_messages_name_the_object_of_the_form() -> None:
    with pytest.raises(Failure, match=r"'change_tracking\.secret_access_key' is missing"):
        parse(S3 | {"access_key_id": "a"}, "change_tracking")
