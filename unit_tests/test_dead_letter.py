"""The dead letter store: lines, names, settings, and storing in a real directory."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from destination_cleverpush.config import load_spec
from destination_cleverpush.dead_letter import DeadLetterStore, parse, sync_label
from destination_cleverpush.dead_letter.aws_role import KeyPair
from destination_cleverpush.dead_letter.failures import local_failure, remote_failure
from destination_cleverpush.dead_letter.rows import encode, folder, order, part_name
from destination_cleverpush.dead_letter.settings import AzureSettings, GcsSettings, LocalSettings, S3Settings
from destination_cleverpush.rejected import RejectedRow

NOW = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=timezone.utc)


def a_row(position: int = 1, stream: str = "users", namespace: str | None = None, **data: Any) -> RejectedRow:
    return RejectedRow(
        stream=stream,
        namespace=namespace,
        position=position,
        subscription_id=f"sub-{position}",
        code="unknown_tag",
        reason="The tag is unknown.",
        status=404,
        answer="Tag not found: vip",
        data=data or {"subscription_id": f"sub-{position}", "tags": "vip"},
        emitted_at=1_700_000_000_000,
        rejected_at=NOW,
        attempts=1,
    )


def stored_lines(root: Path) -> list[dict[str, Any]]:
    """All stored rows under a directory, part by part."""
    files = sorted(root.rglob("*.jsonl.gz"), key=lambda path: order(str(path)))
    return [json.loads(line) for file in files for line in gzip.open(file)]


def no_failure(error: AirbyteTracedException) -> None:
    raise AssertionError(error.message)


class Notes:
    """What the store has reported, with the thread that it came from."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.failures: list[AirbyteTracedException] = []
        self.threads: set[str] = set()

    def stored_row(self, position: int) -> Callable[[], None]:
        def note() -> None:
            self.stored.append(position)
            self.threads.add(threading.current_thread().name)

        return note


# --- lines and names


def test_a_line_tells_all_about_a_row() -> None:
    row = a_row(7, "users", "crm", email="a@example.com")
    line = encode(row)
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "stream": "users",
        "namespace": "crm",
        "position": 7,
        "subscription_id": "sub-7",
        "code": "unknown_tag",
        "reason": "The tag is unknown.",
        "status": 404,
        "answer": "Tag not found: vip",
        "rejected_at": "2026-01-02T03:04:05.678Z",
        "attempts": 1,
        "emitted_at": 1_700_000_000_000,
        "data": {"email": "a@example.com"},
    }


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda values: st.lists(values) | st.dictionaries(st.text(st.characters(codec=None)), values),
)


@given(JSON_VALUES)
def test_a_row_reads_back_as_it_came(value: Any) -> None:
    line = encode(a_row(value=value))
    assert b"Infinity" not in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line)
    assert line.count(b"\n") == 1
    assert repr(json.loads(line)["data"]["value"]) == repr(value)


def test_a_number_beyond_doubles_stays_json() -> None:
    line = encode(a_row(n=json.loads("[1e400, -1e400]"), text='"Infinity" \\', whole=2**70))
    assert b'"n":[1e999,-1e999]' in line
    assert json.loads(line)["data"] == {"n": [float("inf"), -float("inf")], "text": '"Infinity" \\', "whole": 2**70}


def test_whatever_nesting_is_read_can_be_stored() -> None:
    """Both sides meet Python's limit for nesting; the row must not be the one that only reading survives."""
    depth, read = 50, {}
    with contextlib.suppress(RecursionError):
        while depth < 100_000:
            line = '{"type":"RECORD","record":{"stream":"s","data":{"x":' + "[" * depth + "]" * depth + "}}}"
            read = json.loads(line)["record"]["data"]
            depth += 50
    results: list[bytes] = []
    thread = threading.Thread(target=lambda: results.append(encode(a_row(**read))))
    thread.start()
    thread.join()
    assert results, "a row that was read could not be stored"


@pytest.mark.parametrize(
    ("stream", "namespace", "expected"),
    [
        ("users", None, "users"),
        ("users", "crm", "crm.users"),
        ("crm.users", None, "crm=2Eusers"),
        ("a/b", None, "a=2Fb"),
        ("..", None, "=2E=2E"),
        ("Größe", None, "Gr=C3=B6=C3=9Fe"),
        ("", None, "="),
        ("=2F", None, "=3D2F"),
    ],
)
def test_a_folder_is_named_after_the_stream(stream: str, namespace: str | None, expected: str) -> None:
    assert folder(stream, namespace, "sync-12") == f"{expected}/sync-12"


NAMES = st.text(st.characters(codec=None), max_size=200)


@given(NAMES, st.none() | NAMES.filter(bool), NAMES, st.none() | NAMES.filter(bool))
def test_different_streams_have_different_folders(
    stream: str, namespace: str | None, other_stream: str, other_namespace: str | None
) -> None:
    one, other = folder(stream, namespace, "x"), folder(other_stream, other_namespace, "x")
    assert (one == other) == ((stream, namespace) == (other_stream, other_namespace))
    assert re.fullmatch(r"[A-Za-z0-9_=.-]+/x", one)
    assert len(one) < 255


def test_parts_sort_by_attempt_and_number() -> None:
    names = [
        part_name("s/a", NOW, "ffffffff", 1),
        part_name("s/a", NOW, "ffffffff", 2),
        part_name("s/a", NOW, "ffffffff", 99_999),
        part_name("s/a", NOW, "ffffffff", 100_000),
        part_name("s/0", NOW + timedelta(seconds=1), "00000000", 1),
    ]
    shuffled = names[::-1]
    assert sorted(shuffled, key=order) == names
    assert names[0] == "s/a/20260102T030405.678900Z-ffffffff-part-00001.jsonl.gz"


def test_a_sync_is_labelled_by_its_id_or_its_start() -> None:
    assert sync_label(12, NOW) == "sync-12"
    assert sync_label(None, NOW) == "20260102T030405Z"


# --- storing in a directory


def test_rows_are_stored_by_stream_and_reported(tmp_path: Path) -> None:
    notes = Notes()
    store = DeadLetterStore(LocalSettings(str(tmp_path)), "sync-1", no_failure)
    for position in range(1, 101):
        store.add(a_row(position, "tags" if position % 2 else "users", "crm"), notes.stored_row(position))
    store.close()
    assert sorted(notes.stored) == list(range(1, 101))
    assert notes.threads == {"dead-letter-store"}
    assert {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.gz")} == {
        "crm.tags/sync-1",
        "crm.users/sync-1",
    }
    users = [line["position"] for line in stored_lines(tmp_path / "crm.users")]
    tags = [line["position"] for line in stored_lines(tmp_path / "crm.tags")]
    assert (users, tags) == (list(range(2, 101, 2)), list(range(1, 101, 2)))


def test_rows_are_stored_before_the_store_is_closed(tmp_path: Path) -> None:
    store = DeadLetterStore(LocalSettings(str(tmp_path)), "sync-1", no_failure, flush_interval_seconds=0.01)
    for position in (1, 2):
        stored = threading.Event()
        store.add(a_row(position), stored.set)
        assert stored.wait(60)
        assert [line["position"] for line in stored_lines(tmp_path)] == list(range(1, position + 1))
    assert len(list(tmp_path.rglob("*"))) == 3, "two flushes, one object, no draft left"
    store.close()


def test_others_cannot_read_the_files(tmp_path: Path) -> None:
    store = DeadLetterStore(LocalSettings(str(tmp_path)), "sync-1", no_failure)
    store.add(a_row(), lambda: None)
    store.close()
    modes = {
        path.relative_to(tmp_path).as_posix().count("/"): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
    }
    assert modes == {0: 0o700, 1: 0o700, 2: 0o600}


def test_objects_are_rolled_by_size(tmp_path: Path) -> None:
    roll_bytes = 2_000
    store = DeadLetterStore(LocalSettings(str(tmp_path)), "sync-1", no_failure, roll_bytes=roll_bytes)
    for position in range(1, 1_001):
        store.add(a_row(position), lambda: None)
    store.close()
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.gz")]
    assert len(sizes) > 2
    assert max(sizes) < 2 * roll_bytes
    assert [line["position"] for line in stored_lines(tmp_path)] == list(range(1, 1_001))


def test_a_second_attempt_keeps_what_the_first_has_stored(tmp_path: Path) -> None:
    for position in (1, 2):
        store = DeadLetterStore(LocalSettings(str(tmp_path)), "sync-1", no_failure)
        store.add(a_row(position), lambda: None)
        store.close()
    assert [line["position"] for line in stored_lines(tmp_path)] == [1, 2]


def test_nothing_is_written_without_rejected_rows(tmp_path: Path) -> None:
    store = DeadLetterStore(LocalSettings(str(tmp_path)), "sync-1", no_failure)
    store.close()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_rows_after_the_end_are_not_reported_as_stored(tmp_path: Path) -> None:
    notes = Notes()
    store = DeadLetterStore(LocalSettings(str(tmp_path)), "sync-1", no_failure)
    store.close()
    store.add(a_row(), notes.stored_row(1))
    store.close()
    assert notes.stored == []
    assert stored_lines(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [("missing", "does not exist. Create it"), ("file", "is not a directory"), ("file/below", "directory")],
)
def test_a_store_that_cannot_be_written_fails_once(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    notes = Notes()
    failed = threading.Event()

    def on_failure(error: AirbyteTracedException) -> None:
        notes.failures.append(error)
        failed.set()

    store = DeadLetterStore(LocalSettings(str(tmp_path / place)), "sync-1", on_failure, flush_interval_seconds=0.01)
    store.add(a_row(1), notes.stored_row(1))
    assert failed.wait(60)
    store.add(a_row(2), notes.stored_row(2))
    with pytest.raises(AirbyteTracedException) as closing:
        store.close()
    assert notes.failures == [closing.value]
    assert closing.value.failure_type is FailureType.config_error
    assert words in str(closing.value.message)
    assert notes.stored == []


def test_an_unforeseen_failure_in_the_thread_is_told(tmp_path: Path) -> None:
    notes = Notes()
    store = DeadLetterStore(LocalSettings(str(tmp_path)), "sync-1", notes.failures.append)
    store.add(a_row(1, secret={1, 2}), notes.stored_row(1))
    with pytest.raises(AirbyteTracedException) as closing:
        store.close()
    assert closing.value.failure_type is FailureType.system_error
    assert notes.failures == [closing.value]
    assert notes.stored == []


def test_the_probe_writes_and_leaves_nothing(tmp_path: Path) -> None:
    DeadLetterStore(LocalSettings(str(tmp_path)), "check", no_failure).probe()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AirbyteTracedException, match="does not exist") as missing:
        DeadLetterStore(LocalSettings(str(tmp_path / "no")), "check", no_failure).probe()
    assert missing.value.failure_type is FailureType.config_error


ADDS_ROWS = """
import sys
from datetime import datetime, timezone
from destination_cleverpush.dead_letter import DeadLetterStore, parse
from destination_cleverpush.rejected import RejectedRow

settings = parse({"storage_type": "local", "destination_path": sys.argv[1]})
store = DeadLetterStore(settings, "sync-1", lambda error: None, flush_interval_seconds=0.0, roll_bytes=3000)
position = 0
while True:
    position += 1
    row = RejectedRow("users", None, position, None, "c", "r", None, None, {"n": position}, None,
                      datetime.now(timezone.utc), 0)
    store.add(row, lambda n=position: print(n, flush=True))
    if position % 50 == 0:
        import time
        time.sleep(0.001)
"""


@pytest.mark.parametrize("reports", [1, 100, 3_000])
def test_what_was_reported_as_stored_survives_a_kill(tmp_path: Path, reports: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ADDS_ROWS, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    reported = [int(process.stdout.readline()) for _ in range(reports)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    reported += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    process.stdout.close()
    process.wait()
    kept = [line["position"] for line in stored_lines(tmp_path)]
    assert kept == list(range(1, len(kept) + 1)), "each row once, in order, and no object is damaged"
    assert reported == kept[: len(reported)]


# --- settings

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
        },
        S3Settings(
            "b.name",
            "eu-central-1",
            "some/path",
            "AKIAPOISON",
            "POISON/SECRET",
            "arn:aws:iam::123456789012:role/x",
            "http://minio:9000",
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


def form() -> dict[str, Any]:
    fields: dict[str, Any] = load_spec()["connectionSpecification"]["properties"]["rejected_records"]
    return fields


@pytest.mark.parametrize(("raw", "settings"), VALID)
def test_what_the_form_allows_becomes_settings(raw: dict[str, Any], settings: Any) -> None:
    assert list(Draft7Validator(form()).iter_errors(raw)) == []
    assert parse(raw) == settings
    assert "POISON" not in repr(parse(raw))
    assert "UE9JU09O" not in repr(parse(raw))


def test_a_key_pair_shows_nothing() -> None:
    assert repr(KeyPair("AKIA", "POISON", "TOKEN")) == "KeyPair()"


@pytest.mark.parametrize("raw", [raw for raw, _ in VALID])
def test_the_cdk_finds_the_secrets(raw: dict[str, Any]) -> None:
    secrets = get_secrets(load_spec()["connectionSpecification"], {"api_key": "k", "rejected_records": raw})
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
        (AZURE, "needs either"),
        (AZURE | {"azure_blob_storage_account_key": "UE9JU09O", "shared_access_signature": "sig=x"}, "not both"),
        (AZURE | {"azure_blob_storage_account_key": "POISON="}, "account_key' is not an account key"),
        (AZURE | {"shared_access_signature": "POISON"}, "is not a SAS token"),
    ],
)
def test_what_the_form_cannot_express_is_a_config_error(raw: dict[str, Any], words: str) -> None:
    assert list(Draft7Validator(form()).iter_errors(raw)) == []
    with pytest.raises(AirbyteTracedException, match=words) as error:
        parse(raw)
    assert error.value.failure_type is FailureType.config_error
    assert "POISON" not in f"{error.value.message}{error.value.internal_message}{error.value!r}"


def test_a_role_needs_credentials_to_be_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AirbyteTracedException, match="cannot be assumed without credentials") as error:
        DeadLetterStore(S3Settings("b", "eu-central-1", role_arn="arn:aws:iam::1:role/x"), "sync-1", no_failure)
    assert error.value.failure_type is FailureType.config_error


def test_a_service_account_with_an_unreadable_key_is_a_config_error() -> None:
    key = '{"client_email": "a@b", "private_key": "POISON", "private_key_id": "1"}'
    with pytest.raises(AirbyteTracedException, match="service account's key") as error:
        DeadLetterStore(GcsSettings("bucket", "", key), "sync-1", no_failure)
    assert error.value.failure_type is FailureType.config_error
    assert "POISON" not in f"{error.value.message}{error.value.internal_message}"


# --- failures


def http(status: str, body: str = "") -> str:
    return f"Generic S3 error: Error performing PUT - Server returned non-2xx status code: {status}: POISON{body}"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            GenericError(http("503 Service Unavailable")),
            "transient_error",
            r"did not take the rejected rows \(HTTP 503\)",
        ),
        (GenericError(http("429 Too Many Requests")), "transient_error", "HTTP 429"),
        (GenericError(http("400 Bad Request", "<Code>ExpiredToken</Code>")), "transient_error", "ExpiredToken"),
        (
            GenericError("Generic S3 error: POISON - HTTP error: error sending request"),
            "transient_error",
            "not be reached",
        ),
        (PermissionDeniedError(http("403 Forbidden", "<Code>AccessDenied</Code>")), "config_error", "AccessDenied"),
        (UnauthenticatedError(http("401 Unauthorized")), "config_error", "refused access"),
        (UnauthenticatedError("POISON"), "config_error", "no credentials"),
        (GenericError("Error performing PUT http://169.254.169.254/latest POISON"), "config_error", "no credentials"),
        (FileNotFoundError(http("404 Not Found", "<Code>NoSuchBucket</Code>")), "config_error", "NoSuchBucket"),
        (GenericError("POISON Received redirect without LOCATION"), "config_error", "another region"),
        (GenericError(http("400 B", "<Code>AuthorizationHeaderMalformed</Code>")), "config_error", "another region"),
        (GenericError(http("405 Method Not Allowed")), "config_error", "cannot be used as it is configured"),
        (ValueError("POISON"), "config_error", "cannot be used as it is configured"),
    ],
)
def test_what_a_store_answers_says_what_to_do(error: Exception, kind: str, words: str) -> None:
    failure = remote_failure(error, "the S3 bucket 'b'", "Check it.")
    assert failure.failure_type is FailureType[kind]
    assert re.search(words, str(failure.message))
    assert "the S3 bucket 'b'" in str(failure.message)
    assert "POISON" not in f"{failure.message}{failure.internal_message}"


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, "transient_error", "room"),
        (errno.EIO, "transient_error", "EIO"),
        (errno.EACCES, "config_error", "right to read and write"),
        (errno.EROFS, "config_error", "read-only"),
    ],
)
def test_what_a_file_system_answers_says_what_to_do(number: int, kind: str, words: str) -> None:
    failure = local_failure(OSError(number, "POISON"), "/local")
    assert failure.failure_type is FailureType[kind]
    assert words in str(failure.message)
    assert "POISON" not in f"{failure.message}{failure.internal_message}"
