"""A way out that the environment names wrongly is told by its name, before any call."""

from __future__ import annotations

from pathlib import Path

import pytest

from destination_cleverpush.api.client import Client
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.words import Verdict
from unit_tests.api.calls import SYNC, settings
from unit_tests.server import Canned, Server, closed_port, said

SECURE = "https://api.example.org"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "all_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file"), ("", "no certificates"), ("x", "no certificates")]
)
def test_a_bundle_that_cannot_be_used(
    variable: str, content: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv(variable, str(bundle))
    with pytest.raises(Failure) as failure:
        Client(settings(SECURE))
    assert failure.value.kind is FailureKind.CONFIG
    assert variable in failure.value.message
    assert why in failure.value.message
    Client(settings("http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("https_proxy", "socks5://user:secret@proxy.local:1080", "SOCKS proxies are not supported"),
        ("ALL_PROXY", "socks5h://user:secret@proxy.local:1080", "SOCKS proxies are not supported"),
        ("HTTPS_PROXY", "ftp://user:secret@proxy.local:21", "not that of an HTTP proxy"),
        ("https_proxy", "http://user:secret@proxy.local:port", "not that of an HTTP proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used(variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Failure) as failure:
        Client(settings(SECURE))
    assert failure.value.kind is FailureKind.CONFIG
    assert words in failure.value.message
    assert variable in failure.value.message
    assert "secret" not in failure.value.message


@pytest.mark.parametrize("status", [403, 407])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_ends_the_sync(scheme: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Canned(status, b"<html>no</html>", {"Content-Type": "text/html"})
    with Server(page) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url.replace("//", "//user:secret@"))
        client = Client(settings(f"{scheme}://api.example.org"))
        answer = client.send(SYNC)
        with pytest.raises(Failure) as failure:
            client.read("/channels")
    assert answer.verdict is Verdict.FATAL
    for told in (answer.failure, failure.value):
        assert told is not None
        assert told.kind is FailureKind.CONFIG
        assert f"the proxy {proxy.url} (environment variable {scheme}_proxy)" in told.message
        assert "secret" not in told.message


def test_a_proxy_that_has_a_fault_may_recover(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(said(502)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        answer = Client(settings(SECURE)).send(SYNC)
    assert (answer.verdict, answer.local) == (Verdict.RETRY, True)


def test_a_proxy_that_is_not_there_is_named_by_reads_and_may_come_back_for_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    client = Client(settings(SECURE))
    answer = client.send(SYNC)
    assert (answer.verdict, answer.local) == (Verdict.RETRY, True)
    with pytest.raises(Failure, match="environment variable https_proxy") as failure:
        client.read("/channels")
    assert failure.value.kind is FailureKind.CONFIG
