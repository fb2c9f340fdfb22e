"""Objects in S3 (moto), and settings that cannot work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from moto.server import ThreadedMotoServer

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.objects import Conflict, Objects, open_objects
from destination_cleverpush.storage.settings import GcsSettings, S3Settings, Settings

REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def _no_aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    place = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    requests.put(f"{address}/bucket", data=place, timeout=30).raise_for_status()
    yield address
    server.stop()


def opened(settings: Settings) -> Objects:
    return open_objects(settings, "The dead letter store", timedelta(seconds=2))


def s3(endpoint: str, path: str, **fields: Any) -> Objects:
    known = {"s3_bucket_name": "bucket", "s3_endpoint": endpoint, "access_key_id": "a", "secret_access_key": "b"}
    return opened(S3Settings(s3_bucket_region=REGION, bucket_path=path, **(known | fields)))


def test_an_object_is_written_read_replaced_and_removed(endpoint: str) -> None:
    objects = s3(endpoint, "first")
    objects.put("a/b", b"1")
    objects.put("a/b", b"2")
    objects.put("ab", b"3")
    with objects.read("a/b") as file:
        assert file.read() == b"2"
    assert sorted(objects.names()) == ["a/b", "ab"]
    assert objects.names("a") == ["a/b"]
    objects.delete("a/b")
    objects.delete("a/b")
    assert objects.names() == ["ab"]
    assert s3(endpoint, "fir").names() == []


def test_an_object_is_made_once_and_replaced_in_the_version_that_is_known(endpoint: str) -> None:
    objects = s3(endpoint, "conditional")
    assert objects.find("lock") is None
    first = objects.put_if("lock", b"1", None)
    assert objects.find("lock") == (b"1", first)
    with pytest.raises(Conflict):
        objects.put_if("lock", b"2", None)
    second = objects.put_if("lock", b"2", first)
    with pytest.raises(Conflict):
        objects.put_if("lock", b"3", first)
    assert objects.find("lock") == (b"2", second)
    objects.delete("lock")
    with pytest.raises(Conflict):
        objects.put_if("lock", b"3", second)


def test_a_missing_bucket_is_no_missing_object(endpoint: str) -> None:
    objects = s3(endpoint, "", s3_bucket_name="nowhere")
    for use in (lambda: objects.find("a"), lambda: objects.put_if("a", b"", None), lambda: objects.put("a", b"")):
        with pytest.raises(Failure, match=r"^The dead letter store, the S3 bucket 'nowhere', was not found") as error:
            use()
        assert error.value.kind is FailureKind.CONFIG


def test_an_object_that_is_not_there_cannot_be_read(endpoint: str) -> None:
    with pytest.raises(Failure, match="NoSuchKey"):
        s3(endpoint, "").read("nothing")


def test_the_client_itself_refuses_what_the_settings_do_not_allow() -> None:
    with pytest.raises(Failure, match="cannot be used as it is configured") as error:
        s3("http://10.255.255.1:9", "").put("a", b"")
    assert error.value.kind is FailureKind.CONFIG
    with pytest.raises(Failure, match="could not be reached") as error:
        s3("http://nowhere.invalid", "", allow_http=True).put("a", b"")
    assert error.value.kind is FailureKind.TRANSIENT


def test_a_role_needs_credentials_to_be_assumed() -> None:
    with pytest.raises(Failure, match=r"^The dead letter store's role .* cannot be assumed without cred") as error:
        opened(S3Settings("b", REGION, role_arn="arn:aws:iam::1:role/x"))
    assert error.value.kind is FailureKind.CONFIG


def test_a_service_account_with_an_unreadable_key_is_a_config_error() -> None:
    key = '{"client_email": "a@b", "private_key": "POISON", "private_key_id": "1"}'
    with pytest.raises(Failure, match="service account's key") as error:
        opened(GcsSettings("bucket", "", key))
    assert error.value.kind is FailureKind.CONFIG
    assert "POISON" not in f"{error.value.message}{error.value.internal}"
