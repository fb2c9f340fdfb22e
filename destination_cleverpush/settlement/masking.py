"""CleverPush's own words without personal data. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from destination_cleverpush.words import may_be_told

_TOKEN = re.compile(r"[^\s\"'`,;:()\[\]{}<>=]+")
_PIECE = re.compile(r"[a-z]+|\d+")
_PLAIN = re.compile(r"([A-Za-z]+([-_/][A-Za-z]+)*|\d{1,3})[.!?]*")
_IDS = frozenset({"channelId", "subscriptionId", "user_id", "tagId", "topics", "emailOptInFormId"})
_LARGEST_SEARCHED = 100_000
_LONGEST_WORDS = 500


def masked(body: Mapping[str, Any]) -> dict[str, Any]:
    """A call's body with the IDs in it, and no other value but `…`."""
    return {name: masked(part) if isinstance(part, Mapping) else _masked(name, part) for name, part in body.items()}


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_masked(name, item) for item in value]
    return value if name in _IDS and may_be_told(str(value)) else "…"


def without_values(words: str, row: Mapping[str, Any], identifiers: Iterable[str] = ()) -> str:
    """CleverPush's words without anything that may come from the row: every word of them is hidden but plain English.

    A word stays if it is an identifier (an ID, a tag, a topic, the name of a column), or if it consists of letters
    alone, or is a short number, and no piece of it stands in a value of the row. So a value is hidden however it is
    quoted, and so is a part of it, such as the first half of an email address.

    Args:
        words: what CleverPush said, cut off after 500 characters.
        row: the row as it came.
        identifiers: what may be told besides the names of columns.
    """
    hidden = _values(row)
    if hidden is None:
        return "…"
    texts = (*row, *(text for text in identifiers if may_be_told(text)))
    told = {token for text in texts for token in _TOKEN.findall(text) if "@" not in token}

    def judge(found: re.Match[str]) -> str:
        token = found[0]
        cut_off = found.end() == _LONGEST_WORDS
        plain = _PLAIN.fullmatch(token) and not cut_off and hidden.isdisjoint(_PIECE.findall(token.lower()))
        return token if token.strip(".!?") in told or plain else "…"

    return _TOKEN.sub(judge, words)


def named(words: str, identifiers: Iterable[str]) -> list[str]:
    """Those of the identifiers that stand in CleverPush's words and may be told, each once."""
    known = {text for text in identifiers if may_be_told(text)}
    found = (token if token in known else token.strip(".!?") for token in _TOKEN.findall(words))
    return [token for token in dict.fromkeys(found) if token in known]


def _values(row: Mapping[str, Any]) -> set[str] | None:
    """What a row's values are made of: runs of letters in lower case, and of digits.

    None for a row so large that looking through it would take long.
    """
    try:
        leaves = list(_leaves(row))
    except RecursionError:
        return None
    if sum(map(len, leaves)) > _LARGEST_SEARCHED:
        return None
    return {piece for leaf in leaves for piece in _PIECE.findall(leaf.lower())}


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
