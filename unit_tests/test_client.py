"""The client against real sockets: what each answer means, and that the key goes nowhere else."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import time
from pathlib import Path

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from destination_cleverpush.answers import Answer, Verdict
from destination_cleverpush.client import Client, named_delay
from destination_cleverpush.operations import Action, Operation
from unit_tests.configurations import CHANNEL, KEY, make_config
from unit_tests.server import Asked, Canned, Server, said

SYNC = Operation(Action.SYNC, {"customAttributes": {"user_id": "u1"}})


def answer_to(canned: Canned, **advanced: object) -> Answer:
    with Server(canned) as server:
        return Client(make_config(server.url, advanced=advanced)).send(SYNC)


def test_a_call_is_a_post_with_the_key_and_the_channel() -> None:
    with Server(said(200, {"id": "1"})) as server:
        client = Client(make_config(server.url))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        assert client.send(Operation(Action.REMOVE_TAG, {"tagId": "t"})).verdict is Verdict.DELIVERED
    first, second = server.asked
    assert (first.method, first.path) == ("POST", "/subscription/sync")
    assert first.headers["authorization"] == KEY
    assert first.headers["content-type"] == "application/json"
    assert first.json == {"channelId": CHANNEL, "customAttributes": {"user_id": "u1"}}
    assert second.path == "/subscription/tag/remove"
    assert server.connections == 1, "the connection is kept"


@pytest.mark.parametrize(
    ("canned", "verdict", "code"),
    [
        (said(200, {}), Verdict.DELIVERED, ""),
        (said(201, {"id": "x"}), Verdict.DELIVERED, ""),
        (Canned(204, b""), Verdict.DELIVERED, ""),
        (Canned(200, b"OK"), Verdict.DELIVERED, ""),
        (Canned(200, b"<html>"), Verdict.RETRY, "no_answer"),
        (Canned(200, b"hi", {"Content-Type": "text/html"}), Verdict.RETRY, "no_answer"),
        (Canned(200, b'{"id": "x'), Verdict.RETRY, "no_answer"),
        (said(200, {"success": False, "error": "Tag t does not exist"}), Verdict.REJECTED, "unknown_tag"),
        (said(400, "Custom attribute tier does not exist"), Verdict.REJECTED, "unknown_attribute"),
        (said(404, "Subscription not found"), Verdict.REJECTED, "not_found"),
        (Canned(404, b"Subscription not found", {"Content-Type": "text/html"}), Verdict.REJECTED, "not_found"),
        (said(404, "Tag 'route-66' not found"), Verdict.REJECTED, "unknown_tag"),
        (said(404, "Subscription path not found"), Verdict.REJECTED, "not_found"),
        (said(409, "busy"), Verdict.REJECTED, "conflict"),
        (said(410, "gone"), Verdict.REJECTED, "not_found"),
        (said(413, "large"), Verdict.REJECTED, "payload_too_large"),
        (said(422, "no"), Verdict.REJECTED, "payload_refused"),
        *((said(status), Verdict.RETRY, "server_error") for status in (408, 425, 500, 502, 503, 504)),
        (said(429), Verdict.THROTTLED, "server_error"),
    ],
)
def test_what_an_answer_means(canned: Canned, verdict: Verdict, code: str) -> None:
    answer = answer_to(canned)
    assert (answer.verdict, answer.code) == (verdict, code)


@pytest.mark.parametrize(
    ("canned", "kind", "words"),
    [
        (said(401), FailureType.config_error, "Authentication failed: invalid API key"),
        (said(403), FailureType.config_error, "lacks a permission"),
        (said(404, "Channel not found"), FailureType.config_error, "Channel not found"),
        (said(302, None, Location="http://127.0.0.1:9/"), FailureType.config_error, "redirect"),
        (said(200, "Channel not found"), FailureType.config_error, "Channel not found"),
        (
            Canned(404, b"<!DOCTYPE html><pre>Cannot POST /x</pre>"),
            FailureType.config_error,
            "does not exist (HTTP 404)",
        ),
        (said(404, "Route not found"), FailureType.config_error, "/subscription/sync does not exist (HTTP 404)"),
        (said(404, "The requested URL was not found"), FailureType.config_error, "does not exist (HTTP 404)"),
        (said(405), FailureType.config_error, "Check the API Address under Advanced"),
        (said(418), FailureType.transient_error, "418"),
        (said(501), FailureType.transient_error, "501"),
    ],
)
def test_what_ends_the_sync(canned: Canned, kind: FailureType, words: str) -> None:
    answer = answer_to(canned)
    assert answer.verdict is Verdict.FATAL
    assert answer.error is not None
    assert answer.error.failure_type is kind
    assert words in str(answer.error.message)
    assert KEY not in str(answer.error.message)


def test_a_missing_tag_route_names_the_setting_that_chooses_it() -> None:
    with Server(said(404, "Route not found")) as server:
        answer = Client(make_config(server.url)).send(Operation(Action.ADD_TAG, {"tagId": "t"}))
    assert "Check the API Address and Tag Endpoints under Advanced" in str(answer.error and answer.error.message)


def test_a_route_that_was_there_before_is_tried_again() -> None:
    page = Canned(404, b"<html>not found</html>")
    with Server(lambda asked: page if len(server.asked) > 1 else said(200, {})) as server:
        client = Client(make_config(server.url))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        again = client.send(SYNC)
    assert (again.verdict, again.summary) == (Verdict.RETRY, "answered 404 as if it had no such route")


def test_a_redirect_is_never_followed() -> None:
    with Server(said(200, {})) as elsewhere, Server(said(307, None, Location=f"{elsewhere.url}/x")) as server:
        assert Client(make_config(server.url)).send(SYNC).verdict is Verdict.FATAL
    assert elsewhere.asked == []


def test_connections_that_break_or_never_come_about() -> None:
    broken = answer_to(Canned(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"))
    assert (broken.verdict, broken.summary) == (Verdict.RETRY, "broke off the connection")
    nobody = Client(make_config("http://127.0.0.1:9")).send(SYNC)
    assert (nobody.verdict, nobody.summary) == (Verdict.RETRY, "could not be connected to")
    late = answer_to(Canned(silence=5), request_timeout_seconds=0.2)
    assert (late.verdict, late.summary, late.congested) == (Verdict.RETRY, "gave no answer within 0.2 s", True)


def test_an_answer_that_trickles_in_for_ever_ends() -> None:
    started = time.monotonic()
    endless = Canned(200, b" " * 10_000, {"Content-Length": "10000"}, trickle=0.05)
    answer = answer_to(endless, request_timeout_seconds=0.3)
    assert (answer.verdict, answer.summary) == (Verdict.RETRY, "gave no answer within 0.3 s")
    assert time.monotonic() - started < 30, "it would take eight minutes"


def test_no_more_of_an_answer_is_read_than_is_needed() -> None:
    answer = answer_to(Canned(500, b"x" * 3_000_000))
    assert len(answer.words or "") <= 500


def test_a_long_answer_is_an_answer() -> None:
    assert answer_to(said(200, {"subscription": {"attributes": "x" * 200_000}})).verdict is Verdict.DELIVERED


def test_words_are_those_of_cleverpush() -> None:
    body = {"error": "Refused", "message": "because", "errors": [{"field": "x"}]}
    assert answer_to(said(422, body)).words == 'Refused; because; [{"field": "x"}]'
    assert answer_to(Canned(400, b"plain \n text")).words == "plain text"


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Mon, 23 Nov 99999999999999999999 10:00:30 GMT"}, None),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"Retry-After": "Sun, 09 Sep 2001 01:47:00 GMT"}, 20.0),
        ({"RateLimit-Reset": "12"}, 12.0),
        ({"X-RateLimit-Reset": "1000000050"}, 50.0),
        ({"X-RateLimit-Reset": "1000000050000"}, 50.0),
        ({"Retry-After": "3", "RateLimit-Reset": "60"}, 3.0),
        ({"RateLimit-Reset": "nan"}, None),
        ({"RateLimit-Reset": "inf"}, None),
    ],
)
def test_the_delay_that_a_server_names(headers: dict[str, str], delay: float | None) -> None:
    assert named_delay(headers, now=1_000_000_000.0) == delay


def test_delays_are_read_from_real_answers() -> None:
    assert answer_to(said(429, None, Retry_After="9")).delay == 9.0
    assert answer_to(said(503, None, Retry_After="4")).delay == 4.0
    assert answer_to(said(500, None, Retry_After="4")).delay is None


# --- check


def channels(asked: Asked) -> Canned:
    if asked.path == "/channels":
        return said(200, {"channels": [{"_id": CHANNEL, "name": "News"}]})
    return said(200, {"tags": []}) if asked.path == f"/channel/{CHANNEL}/tags?limit=1&skip=0" else said(404, "no")


def test_check_finds_the_channel_among_many() -> None:
    many = [{"_id": f"channel-{number}", "name": "x" * 60} for number in range(20_000)]
    with Server(said(200, {"channels": [*many, {"_id": CHANNEL}]})) as server:
        Client(make_config(server.url)).check()


def test_check_asks_what_needs_the_private_key() -> None:
    with Server(channels) as server:
        Client(make_config(server.url)).check()
        Client(make_config(server.url, object_type="tags")).check()
    assert [asked.path for asked in server.asked] == [
        "/channels", "/channels", f"/channel/{CHANNEL}/tags?limit=1&skip=0",
    ]  # fmt: skip
    assert {asked.headers["authorization"] for asked in server.asked} == {KEY}


@pytest.mark.parametrize(
    ("canned", "words"),
    [
        (said(200, {"channels": [{"_id": CHANNEL.upper()}]}), f"'{CHANNEL.upper()}' that differs only in upper"),
        (said(200, {"channels": []}), "Channel not found"),
        (said(200, {}), "list of channels"),
        (Canned(200, b"<html>"), "not JSON"),
        (Canned(200, b'{"channels": [' + b" " * 5_000_000), "more than 4 MiB"),
        (said(404, "x"), "not found"),
        (said(429), "limiting requests"),
        (said(500), "HTTP 500"),
        (said(301, None, Location="/x"), "redirect"),
    ],
)
def test_check_has_a_sentence_for_each_failure(canned: Canned, words: str) -> None:
    with Server(canned) as server, pytest.raises(AirbyteTracedException) as failure:
        Client(make_config(server.url)).check()
    assert words in str(failure.value.message)


# --- proxies and certificates


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def test_a_certificate_is_verified_and_a_bundle_from_the_environment_is_used(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with Server(channels, tls) as server:
        refused = Client(make_config(server.url)).send(SYNC)
        assert refused.verdict is Verdict.FATAL
        assert "certificate is not trusted" in str(refused.error and refused.error.message)
        assert server.asked == [], "the key was sent to a server that is not trusted"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        Client(make_config(server.url)).check()
    assert [asked.path for asked in server.asked] == ["/channels"]


def test_a_proxy_from_the_environment_is_used_and_exceptions_from_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Server(said(200, {})) as proxy, Server(said(200, {})) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert Client(make_config(server.url)).send(SYNC).verdict is Verdict.DELIVERED
        assert [asked.path for asked in proxy.asked] == [f"{server.url}/subscription/sync"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert Client(make_config(server.url)).send(SYNC).verdict is Verdict.DELIVERED
    assert [asked.path for asked in server.asked] == ["/subscription/sync"]
    assert len(proxy.asked) == 1
