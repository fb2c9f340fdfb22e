"""What rows may hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from destination_cleverpush.objects.reasons import REASONS
from destination_cleverpush.words import RowRejected

# Every text begins with a sign that no sentence of the connector holds: a reason that quotes a value is caught.
_POISON = "☠"

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "a,b,,a", "[", "[]", '["a", "b ", null]', "[1e999]", "12.0", "null", "false", "0", "\ud800", "1e5"]
    ),
)
_NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.integers(-1000, 1000).map(float),
)
_PLAIN = st.one_of(st.none(), st.booleans(), _NUMBERS, TEXTS, TEXTS.map(lambda text: _POISON + text))

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)

COLUMNS = st.one_of(
    st.sampled_from(
        [
            *("subscription_id", "email", "phone", "topics", "tags", "country", "language", "user_id"),
            *("_ab_cdc_deleted_at", "_ab_cdc_lsn", "_airbyte_raw_id", "_airbyte_meta", "profile", "a.b", "tier", ""),
        ]
    ),
    st.text(max_size=6),
)

ROWS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(COLUMNS, JSON_VALUES, max_size=8)

_IDS = st.one_of(st.sampled_from(["s1", "s2", "s3", 4, 5.0]), JSON_VALUES)
_TAGS = st.one_of(st.sampled_from(["t1", "t1, t2", ["t1", "t2"], '["t1"]']), JSON_VALUES)

LIKELY_ROWS: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda rest, known: {**rest, **known},
    ROWS,
    st.fixed_dictionaries({"subscription_id": _IDS}, optional={"tags": _TAGS, "email": TEXTS, "phone": _NUMBERS}),
)
"""Rows of which many can be sent."""


def judge(rejected: RowRejected, value: Any) -> None:
    """A rejection's reason is known, what it says is a sentence, and quotes nothing of the value.

    Raises:
        AssertionError: not so.
    """
    assert rejected.reason in REASONS
    assert rejected.sentence.endswith(".")
    assert not any(leaf in rejected.sentence for leaf in leaves(value))


def leaves(value: Any) -> Iterator[str]:
    """The poisoned texts within a value, at any depth."""
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, str) and value.startswith(_POISON):
        yield _POISON
