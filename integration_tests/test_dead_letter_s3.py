"""The dead letter store on S3: against moto's server, and against a server that fails as it is told."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import boto3  # type: ignore[import-untyped]
import pytest
import requests

from destination_cleverpush.dead_letter.store import probe
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import GcsSettings, S3Settings
from integration_tests.object_stores import (
    REPOSITORY,
    Answers,
    Notes,
    Server,
    a_row,
    a_store,
    opened,
    start_answers,
    start_moto,
    stored_rows,
    waiting,
)
from integration_tests.platform_double import CONNECTOR

REGION = "eu-central-1"
IMPATIENT = timedelta(seconds=1)
ROLE = "arn:aws:iam::123456789012:role/rejected"


@pytest.fixture(autouse=True)
def _no_aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def answers() -> Iterator[Answers]:
    with start_answers() as server:
        yield server


@pytest.fixture
def s3(moto: Server, request: pytest.FixtureRequest) -> S3Settings:
    """A new bucket, with keys that moto does not check."""
    bucket = f"test-{abs(hash(request.node.name))}"
    assert requests.put(f"{moto.endpoint}/{bucket}", data=_location(), timeout=30).status_code == 200
    return S3Settings(bucket, REGION, "some/path", "AKIAPOISON", "POISON/secret", None, moto.endpoint)


def _location() -> str:
    return f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"


def at(answers: Answers, **fields: Any) -> S3Settings:
    """Settings for the server that answers as it is told."""
    keys = {"access_key_id": "AKIAPOISON", "secret_access_key": "POISON/secret"}
    return S3Settings(
        **({"s3_bucket_name": "bucket", "s3_bucket_region": REGION, "s3_endpoint": answers.endpoint} | keys | fields)
    )


@pytest.fixture
def notes() -> Notes:
    return Notes()


def without_poison(error: Failure) -> str:
    """The message, after making sure that nothing of the error shows a key or the store's own words."""
    assert "POISON" not in f"{error.message}{error.internal}{error!r}"
    return error.message


# --- against moto


def test_ten_thousand_rows_take_few_requests(moto: Server, s3: S3Settings, notes: Notes) -> None:
    store = a_store(s3, notes)
    for position in range(10_000):
        store.keep([waiting(a_row(position))])
    store.close()
    assert notes.kept == list(range(10_000))
    rows = stored_rows(s3)
    assert [row["data"]["id"] for row in rows] == [2**60 + position for position in range(10_000)]
    assert moto.requests(f'"PUT /{s3.s3_bucket_name}/') <= 5
    (name,) = opened(s3).names()
    assert name.startswith("crm.users/sync-1/")


def test_attempts_and_streams_have_objects_of_their_own(s3: S3Settings, notes: Notes) -> None:
    for _ in range(2):
        store = a_store(s3, notes)
        store.keep([waiting(a_row(1, "a/b ü"))])
        store.keep([waiting(a_row(2, "tags"))])
        store.close()
    folders = sorted(name.rpartition("/")[0] for name in opened(s3).names())
    assert folders == ["crm.a=2Fb=20=C3=BC/sync-1"] * 2 + ["crm.tags/sync-1"] * 2


def test_the_probe_leaves_nothing_behind(s3: S3Settings) -> None:
    probe(s3)
    assert opened(s3).names() == []


def test_a_missing_bucket_is_a_config_error(s3: S3Settings) -> None:
    settings = S3Settings("no-such-bucket", REGION, "", "AKIAPOISON", "POISON", None, s3.s3_endpoint)
    with pytest.raises(Failure) as error:
        probe(settings)
    assert error.value.kind is FailureKind.CONFIG
    assert "'no-such-bucket', was not found (HTTP 404, NoSuchBucket)" in without_poison(error.value)


def test_stored_rows_are_replayed_from_the_configured_bucket(s3: S3Settings, tmp_path: Path, notes: Notes) -> None:
    store = a_store(s3, notes, roll_bytes=10_000)
    for position in range(300):
        store.keep([waiting(a_row(position))])
    store.close()
    config = tmp_path / "config.json"
    rejected = {
        "storage_type": "s3",
        "s3_bucket_name": s3.s3_bucket_name,
        "s3_bucket_region": REGION,
        "s3_endpoint": s3.s3_endpoint,
        "bucket_path": "some/path",
        "access_key_id": "a",
        "secret_access_key": "b",
    }
    config.write_text(
        json.dumps({"channel_id": "c", "api_key": "k", "object_type": "tags", "rejected_records": rejected})
    )
    done = subprocess.run([*CONNECTOR, "replay", "--config", str(config)], capture_output=True, text=True, check=True)
    records = [json.loads(line)["record"] for line in done.stdout.splitlines()]
    assert [record["data"] for record in records] == [dict(a_row(position).data) for position in range(300)]
    assert {(record["namespace"], record["stream"]) for record in records} == {("crm", "users")}


KEEPS_ROWS = """
import json, sys, time
from destination_cleverpush.storage.settings import parse
from integration_tests.object_stores import Notes, a_row, a_store, waiting

def tell(jobs):
    for job in jobs:
        print(job.origin, flush=True)

notes = Notes()
notes.keep = tell
settings = parse(json.loads(sys.argv[1]), "rejected_records")
store = a_store(settings, notes, flush_interval_seconds=0.05, roll_bytes=20_000)
for position in range(1, 1_000_000):
    store.keep([waiting(a_row(position))])
    if position % 50 == 0:
        time.sleep(0.005)
"""


def test_what_was_reported_as_stored_survives_a_kill(s3: S3Settings) -> None:
    raw = {
        "storage_type": "s3",
        "s3_bucket_name": s3.s3_bucket_name,
        "s3_bucket_region": REGION,
        "bucket_path": s3.bucket_path,
        "access_key_id": "a",
        "secret_access_key": "b",
        "s3_endpoint": s3.s3_endpoint,
    }
    command = [sys.executable, "-c", KEEPS_ROWS, json.dumps(raw)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    reported = [process.stdout.readline() for _ in range(1_500)]
    process.send_signal(signal.SIGKILL)
    reported += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    positions = [int(line) for line in reported if line.endswith("\n")]
    kept = [row["position"] for row in stored_rows(s3)]
    assert kept == list(range(1, len(kept) + 1))
    assert positions == kept[: len(positions)]


# --- roles


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, str]]:
    """A moto that checks signatures and policies; its user may assume the role, and the role may use the bucket."""
    with start_moto(tmp_path_factory.mktemp("guarded")) as server:
        options = {"endpoint_url": server.endpoint, "region_name": REGION}
        options |= {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        boto3.client("s3", **options).create_bucket(
            Bucket="guarded", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        iam = boto3.client("iam", **options)
        iam.create_user(UserName="airbyte")
        iam.put_user_policy(UserName="airbyte", PolicyName="p", PolicyDocument=_allow("sts:AssumeRole"))
        trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:user/airbyte"}}
        document = {"Version": "2012-10-17", "Statement": [trust | {"Action": "sts:AssumeRole"}]}
        iam.create_role(RoleName="rejected", AssumeRolePolicyDocument=json.dumps(document))
        iam.put_role_policy(RoleName="rejected", PolicyName="p", PolicyDocument=_allow("s3:*"))
        key = iam.create_access_key(UserName="airbyte")["AccessKey"]
        requests.post(f"{server.endpoint}/moto-api/reset-auth", data=b"0", timeout=30).raise_for_status()
        yield server, key["AccessKeyId"], key["SecretAccessKey"]


def _allow(action: str) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})


@pytest.mark.parametrize("keys_from", ["configuration", "environment"])
def test_a_role_is_assumed(
    guarded: tuple[Server, str, str], monkeypatch: pytest.MonkeyPatch, keys_from: str, notes: Notes
) -> None:
    server, key, secret = guarded
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.endpoint)
    settings = S3Settings("guarded", REGION, keys_from, key, secret, ROLE, server.endpoint)
    if keys_from == "environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        settings = S3Settings("guarded", REGION, keys_from, None, None, ROLE, server.endpoint)
    store = a_store(settings, notes)
    probe(settings)
    store.keep([waiting(a_row(1))])
    store.close()
    assert [row["position"] for row in stored_rows(settings)] == [1]


def test_the_keys_alone_may_not_write_what_the_role_may(guarded: tuple[Server, str, str]) -> None:
    server, key, secret = guarded
    settings = S3Settings("guarded", REGION, "", key, secret, None, server.endpoint)
    with pytest.raises(Failure) as error:
        probe(settings)
    assert error.value.kind is FailureKind.CONFIG
    assert "refused access (HTTP 403, AccessDenied)" in str(error.value.message)


def test_configured_keys_are_not_mixed_with_a_session_token_of_the_environment(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, notes: Notes
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-another-key")
    store = a_store(at(answers), notes)
    store.keep([waiting(a_row(1))])
    store.close()
    ((_, _, headers),) = answers.seen
    assert "AKIAPOISON" in headers["authorization"]
    assert "x-amz-security-token" not in headers


def test_a_refused_role_is_a_config_error(guarded: tuple[Server, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    server, key, _ = guarded
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.endpoint)
    settings = S3Settings("guarded", REGION, "", key, "POISON", ROLE, server.endpoint)
    with pytest.raises(Failure) as error:
        probe(settings)
    assert error.value.kind is FailureKind.CONFIG
    assert f"AWS STS refused to assume the role '{ROLE}'" in without_poison(error.value)


def test_a_role_is_assumed_by_web_identity(
    moto: Server, s3: S3Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: Notes
) -> None:
    token = tmp_path / "token"
    token.write_text("identity\n")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint)
    settings = S3Settings(s3.s3_bucket_name, REGION, "", None, None, ROLE, moto.endpoint)
    store = a_store(settings, notes)
    store.keep([waiting(a_row(1))])
    store.close()
    assert [row["position"] for row in stored_rows(settings)] == [1]
    assert moto.requests('"POST / HTTP') > 0
    token.unlink()
    with pytest.raises(Failure, match=r"web identity token .* cannot be read") as error:
        probe(settings)
    assert error.value.kind is FailureKind.CONFIG


def test_a_role_is_assumed_again_when_its_credentials_run_out(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, notes: Notes
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", answers.endpoint)
    answers.body = _credentials(expires_in=timedelta(seconds=-1))
    store = a_store(at(answers, role_arn=ROLE), notes, flush_interval_seconds=0.0)
    for position in (1, 2):
        store.keep([waiting(a_row(position))])
        notes.wait_for(position)
    store.close()
    assert [method for method, _, _ in answers.seen] == ["POST", "PUT", "POST", "PUT"]
    assert [headers.get("x-amz-security-token") for _, _, headers in answers.seen] == [None, "T", None, "T"]


@pytest.mark.parametrize("external_id", [None, "workspace-1"])
def test_the_external_id_of_the_platform_is_handed_on(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, external_id: str | None
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", answers.endpoint)
    if external_id:
        monkeypatch.setenv("AWS_ASSUME_ROLE_EXTERNAL_ID", external_id)
    answers.body = _credentials(expires_in=timedelta(hours=1))
    probe(at(answers, role_arn=ROLE))
    form = dict(parse_qsl(answers.bodies[0]))
    assert form.get("ExternalId") == external_id
    assert (form["Action"], form["RoleArn"]) == ("AssumeRole", ROLE)


def _credentials(expires_in: timedelta) -> str:
    return (
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>S"
        "</SecretAccessKey><SessionToken>T</SessionToken>"
        f"<Expiration>{datetime.now(timezone.utc) + expires_in:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(200, "POISON", "transient_error"), (403, "POISON", "config_error"), (500, "POISON", "transient_error")],
)
def test_what_sts_answers_says_what_to_do(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, status: int, body: str, kind: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", answers.endpoint)
    answers.status, answers.body = status, body
    with pytest.raises(Failure) as error:
        probe(at(answers, role_arn=ROLE))
    assert error.value.kind == kind
    assert "AWS STS" in without_poison(error.value)
    assert {method for method, _, _ in answers.seen} == {"POST"}


# --- failures


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((403, "AccessDenied"), "config_error", "refused access (HTTP 403, AccessDenied)"),
        ((403, "InvalidAccessKeyId"), "config_error", "InvalidAccessKeyId"),
        ((401, ""), "config_error", "refused access"),
        ((404, "NoSuchBucket"), "config_error", "was not found"),
        ((400, "AuthorizationHeaderMalformed"), "config_error", "another region"),
        ((301, "PermanentRedirect"), "config_error", "another region"),
        ((503, "SlowDown"), "transient_error", "did not do what it was asked (HTTP 503, SlowDown)"),
        ((429, ""), "transient_error", "HTTP 429"),
        ((500, "InternalError"), "transient_error", "HTTP 500"),
        ((400, "RequestTimeout"), "transient_error", "RequestTimeout"),
    ],
)
def test_a_store_that_refuses_fails_with_what_to_do(
    answers: Answers, caplog: pytest.LogCaptureFixture, answer: tuple[int, str], kind: str, words: str
) -> None:
    caplog.set_level(logging.DEBUG)
    answers.status, code = answer
    answers.body = (
        f"<Error><Code>{code}</Code><Message>POISON</Message><AWSAccessKeyId>AKIAPOISON</AWSAccessKeyId></Error>"
    )
    with pytest.raises(Failure) as error:
        probe(at(answers), IMPATIENT)
    assert error.value.kind == kind
    assert words in without_poison(error.value)
    assert "POISON" not in caplog.text


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        ("http://127.0.0.1:1", "transient_error"),
        ("http://nowhere.invalid", "transient_error"),
        ("no address at all", "config_error"),
    ],
)
def test_an_address_without_a_store(answers: Answers, endpoint: str, kind: str) -> None:
    with pytest.raises(Failure) as error:
        probe(at(answers, s3_endpoint=endpoint, allow_http=True), IMPATIENT)
    assert error.value.kind == kind
    without_poison(error.value)


def test_a_store_that_never_answers_is_a_transient_error(answers: Answers) -> None:
    answers.gate.clear()
    with pytest.raises(Failure, match="could not be reached") as error:
        probe(at(answers), IMPATIENT)
    assert error.value.kind is FailureKind.TRANSIENT


def test_an_outage_that_passes_is_not_noticed(answers: Answers, notes: Notes) -> None:
    answers.queue = [(503, "")] * 3
    store = a_store(at(answers), notes)
    store.keep([waiting(a_row(1))])
    store.close()
    assert notes.kept == [1]
    assert [method for method, _, _ in answers.seen] == ["PUT"] * 4


def test_adding_never_waits_for_the_store_and_rows_gather_meanwhile(answers: Answers, notes: Notes) -> None:
    answers.gate.clear()
    store = a_store(at(answers), notes, flush_interval_seconds=0.0)
    for position in range(3_000):
        store.keep([waiting(a_row(position))])
    assert notes.kept == []
    answers.gate.set()
    store.close()
    assert notes.kept == list(range(3_000))
    assert len(answers.seen) <= 3


def test_a_failed_store_tells_once_and_stores_nothing_more(answers: Answers, notes: Notes) -> None:
    answers.status = 403
    store = a_store(at(answers), notes, flush_interval_seconds=0.0)
    for position in range(100):
        store.keep([waiting(a_row(position, f"stream-{position % 3}"))])
    with pytest.raises(Failure) as closing:
        store.close()
    assert notes.failures == [closing.value]
    assert notes.kept == []
    assert len(answers.seen) == 1


@pytest.mark.parametrize("already_closing", [True, False])
def test_closing_does_not_wait_longer_than_told(answers: Answers, already_closing: bool, notes: Notes) -> None:
    answers.gate.clear()
    store = a_store(at(answers), notes, flush_interval_seconds=0.0)
    store.keep([waiting(a_row(1))])
    hurry = threading.Timer(0.2 if already_closing else 0.0, store.hurry, [0.2])
    hurry.start()
    if not already_closing:
        hurry.join()
    with pytest.raises(Failure, match="in time") as error:
        store.close()
    assert error.value.kind is FailureKind.TRANSIENT


def test_a_store_that_may_not_delete_passes_the_check(answers: Answers, caplog: pytest.LogCaptureFixture) -> None:
    answers.queue = [(200, ""), (403, "POISON")]
    probe(at(answers), IMPATIENT)
    assert [method for method, _, _ in answers.seen] == ["PUT", "DELETE"]
    assert "could not delete its object 'connection-check-" in caplog.text
    assert "POISON" not in caplog.text


# --- Google Cloud Storage, whose XML API is that of S3 for these requests


def test_the_xml_api_of_google_cloud_storage(moto: Server, notes: Notes) -> None:
    """Emulators on PyPI and npm have the JSON API, or half of this one; moto does not check Google's signature."""
    requests.put(f"{moto.endpoint}/googlebucket", timeout=30).raise_for_status()
    settings = GcsSettings("googlebucket", "some/path", _service_account(), moto.endpoint)
    store = a_store(settings, notes)
    probe(settings)
    for position in range(100):
        store.keep([waiting(a_row(position))])
    store.close()
    assert notes.kept == list(range(100))
    assert [row["position"] for row in stored_rows(settings)] == notes.kept


def test_google_cloud_storage_is_sent_a_signed_token_and_no_key(answers: Answers) -> None:
    answers.headers = {"ETag": '"1"', "x-goog-generation": "1"}
    probe(GcsSettings("bucket", "", _service_account(), answers.endpoint))
    assert [(method, unquote(path).startswith("/bucket/connection-check")) for method, path, _ in answers.seen] == [
        ("PUT", True),
        ("DELETE", True),
    ]
    assert {headers["authorization"][:10] for _, _, headers in answers.seen} == {"Bearer eyJ"}


def test_a_missing_google_bucket_is_a_config_error(moto: Server) -> None:
    settings = GcsSettings("no-such-bucket", "", _service_account(), moto.endpoint)
    with pytest.raises(Failure, match="'no-such-bucket', was not found") as error:
        probe(settings)
    assert error.value.kind is FailureKind.CONFIG


def _service_account() -> str:
    key = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, text=True, check=True).stdout
    fields = {"type": "service_account", "client_email": "a@b.iam.gserviceaccount.com", "private_key_id": "1"}
    return json.dumps(fields | {"private_key": key})
