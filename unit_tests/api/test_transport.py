"""The way to CleverPush: proxies and certificates."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from destination_cleverpush.api.client import Client
from destination_cleverpush.words import Verdict
from unit_tests.api.calls import SYNC, channels, settings
from unit_tests.server import Server, said


def test_a_certificate_is_verified_and_a_bundle_from_the_environment_is_used(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with Server(channels, tls) as server:
        refused = Client(settings(server.url)).send(SYNC)
        assert refused.verdict is Verdict.FATAL
        assert "certificate is not trusted" in str(refused.failure)
        assert server.asked == [], "the key was sent to a server that is not trusted"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        Client(settings(server.url)).read("/channels")
    assert [asked.path for asked in server.asked] == ["/channels"]


def test_a_proxy_from_the_environment_is_used_and_exceptions_from_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Server(said(200, {})) as proxy, Server(said(200, {})) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert Client(settings(server.url)).send(SYNC).verdict is Verdict.DELIVERED
        assert [asked.path for asked in proxy.asked] == [f"{server.url}/subscription/sync"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert Client(settings(server.url)).send(SYNC).verdict is Verdict.DELIVERED
    assert [asked.path for asked in server.asked] == ["/subscription/sync"]
    assert len(proxy.asked) == 1
