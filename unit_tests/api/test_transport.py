"""The way to CleverPush: proxies and certificates."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from destination_cleverpush.api.client import Client
from destination_cleverpush.words import Verdict
from unit_tests.api.calls import CHANNEL, SYNC, begun, channels, land, settings
from unit_tests.api.wire import read_request, wire
from unit_tests.server import Canned, Server, said


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


def tunnel(sock: socket.socket, ending: threading.Event) -> None:
    """A proxy that connects as it is asked to, and carries bytes to and fro, until one side ends."""
    head = read_request(sock).split(b" ")[1]
    host, _, port = head.decode().rpartition(":")
    with socket.create_connection((host, int(port))) as there:
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def carry(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(1 << 14):
                    sink.sendall(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=carry, args=(there, sock), daemon=True).start()
        carry(sock, there)


@pytest.mark.parametrize("secure", [False, True])
def test_tls_goes_through_a_proxy_of_either_kind(
    secure: bool, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    trickling = Canned(200, b" " * 100, trickle=0.05)
    with Server(channels, tls) as server, wire(tunnel, tls if secure else None) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        client = Client(settings(server.url, 0.5))
        assert [client.read("/channels")["channels"][0]["_id"] for _ in range(2)] == [CHANNEL] * 2
        server.answer = lambda _: said(200, {"id": "s1"})
        assert [look.ids for look in land(begun(client)) if look is not None] == [("s1",)]
        assert server.connections == 1, "the tunnel is kept"
        server.answer = lambda _: trickling
        started = time.monotonic()
        assert client.send(SYNC).summary == "gave no answer within 0.5 s"
        assert time.monotonic() - started < 2, "it would take five seconds"


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"])
@pytest.mark.parametrize("secure", [False, True])
def test_a_tunnel_that_breaks_under_a_call_is_told_as_such(
    secure: bool, part: bytes, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(sock: socket.socket, _ending: threading.Event) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        read_request(sock)
        sock.sendall(part)

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with wire(script, tls) as url, wire(tunnel, tls if secure else None) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        assert [look.summary for look in land(begun(Client(settings(url)))) if look] == ["broke off the connection"]
