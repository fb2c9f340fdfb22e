"""What is stored of what a row said."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.objects.subscriptions import SYNC
from destination_cleverpush.tracked import fingerprint
from destination_cleverpush.words import Operation

_VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_PAYLOADS = st.dictionaries(
    st.text(), _VALUES | st.lists(_VALUES, max_size=3) | st.dictionaries(st.text(), _VALUES, max_size=3), max_size=4
)
_ODD = {"b": 1, "a": 'ü\ud83d"\\\n', "c": 1.5, "d": True, "e": 10**20, "f": 1e16, "g": 1e-07}


@pytest.mark.parametrize(
    ("payloads", "stored"),
    [
        ([], "5feb596270186253f9f617f0"),
        ([{}], "1f51950325d8d0542e91e100"),
        ([{"emailAddress": "a@example.com", "country": "DE"}], "95f7a6ba825b78d1acee7cbb"),
        ([{"customAttributes": _ODD, "topics": []}], "9009e5fc0aa4a65226eab1ec"),
        ([{"a": 1}, {"b": 2}], "cb7245d064c34d694f8a8587"),
    ],
)
def test_what_memories_hold_does_not_change(payloads: list[dict[str, Any]], stored: str) -> None:
    assert fingerprint([Operation(SYNC, payload) for payload in payloads]).hex() == stored


@given(st.lists(_PAYLOADS, max_size=2))
def test_it_is_made_of_sorted_json_text(payloads: list[dict[str, Any]]) -> None:
    text = json.dumps(payloads, sort_keys=True, separators=(",", ":"))
    expected = hashlib.blake2b(text.encode(), digest_size=12).digest()
    assert fingerprint([Operation(SYNC, payload) for payload in payloads]) == expected


def test_every_field_counts_and_the_opt_in_form_does_not() -> None:
    row = {"emailAddress": "a@example.com", "country": "DE", "customAttributes": {"plan": "gold", "orders": 1}}
    others = [
        {**row, "country": "AT"},
        {"emailAddress": "a@example.com", "customAttributes": row["customAttributes"]},
        {**row, "customAttributes": {"plan": "gold", "orders": 2}},
        {**row, "customAttributes": {"plan": "gold", "orders": "1"}},
        {**row, "customAttributes": {"plan": "gold"}},
        {**row, "topics": []},
    ]
    assert len({fingerprint([Operation(SYNC, payload)]) for payload in (row, *others)}) == len(others) + 1
    assert fingerprint([Operation(SYNC, {**row, "emailOptInFormId": "f"})]) == fingerprint([Operation(SYNC, row)])
