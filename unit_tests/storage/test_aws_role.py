"""A role's credentials: what is sent to the token service, and what its answers mean."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import requests
from requests.adapters import HTTPAdapter

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.aws_role import AssumedRole, KeyPair, sts_endpoint

ROLE = "arn:aws:iam::123456789012:role/rejected"
CREDENTIALS = (
    "<AssumeRoleResponse><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
    "<SessionToken>T</SessionToken><Expiration>2026-01-02T03:04:05Z</Expiration></AssumeRoleResponse>"
)

Sent = Callable[[int, str], list[requests.PreparedRequest]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Answers all requests as told, and lists them."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)

    def answer(status: int, body: str) -> list[requests.PreparedRequest]:
        seen: list[requests.PreparedRequest] = []

        def send(adapter: HTTPAdapter, request: requests.PreparedRequest, **options: object) -> requests.Response:
            seen.append(request)
            response = requests.Response()
            response.status_code, response._content, response.request = status, body.encode(), request
            response.headers["Location"] = "https://elsewhere.example.com/"
            response.url = request.url or ""
            return response

        monkeypatch.setattr(HTTPAdapter, "send", send)
        return seen

    return answer


def a_role(identity: KeyPair | Path) -> AssumedRole:
    return AssumedRole(ROLE, "eu-central-1", identity, "The dead letter store")


def form(request: requests.PreparedRequest) -> dict[str, str]:
    body = request.body
    return dict(parse_qsl(body.decode() if isinstance(body, bytes) else str(body)))


def test_a_key_pair_shows_nothing() -> None:
    assert repr(KeyPair("AKIA", "POISON", "TOKEN")) == "KeyPair()"


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-central-1", "https://sts.eu-central-1.amazonaws.com"),
        ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_token_service_of_the_region_is_asked(monkeypatch: pytest.MonkeyPatch, region: str, address: str) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS", raising=False)
    assert sts_endpoint(region) == address
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://sts.example.com")
    assert sts_endpoint(region) == "https://sts.example.com"


@pytest.mark.parametrize("token", [None, "TOKEN"])
def test_a_role_is_assumed_by_a_signed_request(sent: Sent, token: str | None) -> None:
    seen = sent(200, CREDENTIALS)
    assert a_role(KeyPair("AKIA", "SECRET", token))() == {
        "access_key_id": "ASIA",
        "secret_access_key": "S",
        "token": "T",
        "expires_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
    }
    (request,) = seen
    assert request.url == "https://sts.eu-central-1.amazonaws.com/"
    assert (form(request)["Action"], form(request)["RoleArn"]) == ("AssumeRole", ROLE)
    signature = request.headers["Authorization"]
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIA/")
    assert "/eu-central-1/sts/aws4_request, " in signature
    assert ("x-amz-security-token" in signature) == (token is not None)
    assert request.headers.get("x-amz-security-token") == token


@pytest.mark.parametrize("external_id", [None, "workspace-1"])
def test_the_external_id_of_the_platform_is_handed_on(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, external_id: str | None
) -> None:
    seen = sent(200, CREDENTIALS)
    if external_id:
        monkeypatch.setenv("AWS_ASSUME_ROLE_EXTERNAL_ID", external_id)
    a_role(KeyPair("AKIA", "SECRET"))()
    assert form(seen[0]).get("ExternalId") == external_id


def test_a_role_is_assumed_by_web_identity_without_a_signature(sent: Sent, tmp_path: Path) -> None:
    seen = sent(200, CREDENTIALS)
    token = tmp_path / "token"
    token.write_text("identity\n")
    a_role(token)()
    assert form(seen[0])["WebIdentityToken"] == "identity"
    assert "Authorization" not in seen[0].headers
    token.unlink()
    with pytest.raises(Failure, match="the web identity token for its role cannot be read") as error:
        a_role(token)()
    assert error.value.kind is FailureKind.CONFIG


def test_a_token_is_not_sent_elsewhere(sent: Sent, tmp_path: Path) -> None:
    seen = sent(307, "")
    (tmp_path / "token").write_text("identity")
    with pytest.raises(Failure, match="HTTP 307"):
        a_role(tmp_path / "token")()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(200, FailureKind.TRANSIENT), (403, FailureKind.CONFIG), (500, FailureKind.TRANSIENT)]
)
def test_what_sts_answers_says_what_to_do(sent: Sent, status: int, kind: FailureKind) -> None:
    sent(status, "POISON")
    role = a_role(KeyPair("AKIAPOISON", "POISON"))
    with pytest.raises(Failure, match=r"^The dead letter store: AWS STS .* the role 'arn:aws:iam") as error:
        role()
    assert error.value.kind is kind
    assert role.failure is error.value
    assert "POISON" not in f"{error.value.message}{error.value.internal}"
