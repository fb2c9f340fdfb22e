"""The dead letter store on Azure's blob storage, against Azurite (`npm install azurite`), where it is installed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

import pytest
import requests

from destination_cleverpush.dead_letter.store import probe
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import AzureSettings, parse
from integration_tests.object_stores import (
    Notes,
    Server,
    a_row,
    a_store,
    azurite,
    opened,
    start_azurite,
    stored_rows,
    waiting,
)

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's well-known account and key (Azurite's README)."""

pytestmark = pytest.mark.skipif(azurite() is None, reason="azurite is not installed (npm install azurite)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = azurite()
    assert command is not None
    with start_azurite(command, tmp_path_factory.mktemp("azurite")) as started:
        permissions = account_sas("c", "rwdlac")
        requests.put(f"{started.endpoint}/rejected?restype=container&{permissions}", timeout=30).raise_for_status()
        yield started


def account_sas(types: str, permissions: str, expires_in: timedelta = timedelta(hours=1)) -> str:
    """An account SAS ("Create an account SAS", Azure Storage REST API reference), as Azure's portal makes it."""
    expiry = f"{datetime.now(timezone.utc) + expires_in:%Y-%m-%dT%H:%M:%SZ}"
    version = "2020-12-06"
    signed = "\n".join([ACCOUNT, permissions, "b", types, "", expiry, "", "", version, "", ""])
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)).decode()
    fields = {"sv": version, "ss": "b", "srt": types, "sp": permissions, "se": expiry, "sig": signature}
    return urlencode(fields)


def by_key(server: Server, path: str, key: str = KEY, container: str = "rejected") -> AzureSettings:
    return AzureSettings(ACCOUNT, container, path, key, None, server.endpoint)


def test_rows_are_stored_with_the_account_key(server: Server) -> None:
    settings = by_key(server, "by/key")
    notes = Notes()
    store = a_store(settings, notes)
    probe(settings)
    for position in range(10_000):
        store.keep([waiting(a_row(position, "a/b ü"))])
    store.close()
    assert notes.kept == list(range(10_000))
    assert [row["position"] for row in stored_rows(settings)] == notes.kept
    (name,) = opened(settings).names()
    assert name.startswith("crm.a=2Fb=20=C3=BC/sync-1/")


def test_rows_are_stored_with_a_sas_token_that_may_only_write(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Azurite answers HTTP 500 to every deletion by SAS (a batch request); writing is what the store needs."""
    settings = parse(
        {
            "storage_type": "azure",
            "azure_blob_storage_account_name": ACCOUNT,
            "azure_blob_storage_container_name": "rejected",
            "shared_access_signature": "?" + account_sas("o", "cw"),
            "azure_blob_storage_endpoint": server.endpoint,
            "bucket_path": "by/sas",
        },
        "rejected_records",
    )
    assert settings is not None
    store = a_store(settings, Notes())
    probe(settings)
    store.keep([waiting(a_row(1))])
    store.close()
    assert "could not delete its object 'connection-check-" in caplog.text
    assert [row["position"] for row in stored_rows(by_key(server, "by/sas"))] == [1]


def test_a_missing_container_is_a_config_error(server: Server) -> None:
    with pytest.raises(Failure, match=r"was not found .HTTP 404, ContainerNotFound") as error:
        probe(by_key(server, "", container="nowhere"))
    assert error.value.kind is FailureKind.CONFIG


@pytest.mark.parametrize("wrong", ["key", "expired"])
def test_refused_credentials_are_a_config_error(server: Server, wrong: str) -> None:
    settings = by_key(server, "", base64.b64encode(b"POISON").decode())
    if wrong == "expired":
        sas = account_sas("o", "cw", expires_in=timedelta(hours=-1))
        settings = AzureSettings(ACCOUNT, "rejected", "", None, sas, server.endpoint)
    with pytest.raises(Failure, match=r"refused access .HTTP 403") as error:
        probe(settings)
    assert error.value.kind is FailureKind.CONFIG
    everything = f"{error.value.message}{error.value.internal}"
    assert "sig=" not in everything
    assert "UE9JU09O" not in everything
