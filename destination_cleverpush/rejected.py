"""Rows that were given up: told in the log, counted, and handed to the dead letter store."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from destination_cleverpush.protocol import StreamId
from destination_cleverpush.reasons import LONGEST_WORDS, REASONS

LOGGED_PER_STREAM = 100

_TOKEN = re.compile(r"[^\s\"'`,;:()\[\]{}<>=]+")
_PIECE = re.compile(r"[a-z]+|\d+")
_PLAIN = re.compile(r"([A-Za-z]+([-_/][A-Za-z]+)*|\d{1,3})[.!?]*")
_PERSONAL_ID = re.compile(r".*@.*|\+[\d\s()./-]{6,}", re.DOTALL)
_LARGEST_SEARCHED = 100_000


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was given up, and why.

    Attributes:
        stream, namespace: the row's stream.
        position: 1-based position of the row among the rows of its stream in this attempt.
        subscription_id: as mapped, or None where the row has none.
        code: a stable code of :mod:`destination_cleverpush.reasons`.
        reason: one sentence for people, free of personal data.
        status: HTTP status of CleverPush's answer, None where the row never became a call.
        answer: CleverPush's own words (may hold personal data: for the store only), None without a call.
        data: the row as it came.
        emitted_at: the record's `emitted_at` in epoch milliseconds as it came, or None.
        rejected_at: when it was given up, aware datetime in UTC.
        attempts: how many calls were tried for it, 0 where it never became a call.
    """

    stream: str
    namespace: str | None
    position: int
    subscription_id: str | None
    code: str
    reason: str
    status: int | None
    answer: str | None
    data: Mapping[str, Any]
    emitted_at: int | None
    rejected_at: datetime
    attempts: int


def place(row: RejectedRow) -> str:
    """Where the row stands and whose it is, for logs. An ID that is an email address or a phone number is not told."""
    identifier = row.subscription_id and ("…" if _PERSONAL_ID.fullmatch(row.subscription_id) else row.subscription_id)
    whose = f", subscription_id '{identifier}'" if identifier else ""
    return f"stream '{StreamId(row.stream, row.namespace)}', row {row.position}{whose}"


class Rejections:
    """The rejected rows of one sync, by stream and reason. Used from one thread at a time."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.counts: dict[StreamId, Counter[str]] = {}

    def add(self, row: RejectedRow) -> None:
        """Count the row and tell of it, up to a limit per stream. Only IDs are told, and never a field's value."""
        stream = StreamId(row.stream, row.namespace)
        counts = self.counts.setdefault(stream, Counter())
        counts[row.code] += 1
        if counts.total() <= LOGGED_PER_STREAM:
            self._logger.warning(
                "Rejected: %s, %s: %s",
                place(row),
                row.code,
                row.reason,
            )
        elif counts.total() == LOGGED_PER_STREAM + 1:
            self._logger.warning(
                "Stream '%s' has more than %d rejected rows; further ones are counted by reason at the end.",
                stream,
                LOGGED_PER_STREAM,
            )

    def report(self) -> None:
        """One line per stream and reason, with its count and what to do."""
        for stream, counts in self.counts.items():
            for code, count in counts.most_common():
                self._logger.warning(
                    "Stream '%s': %d row%s rejected as %s. %s",
                    stream,
                    count,
                    "" if count == 1 else "s",
                    code,
                    REASONS[code].advice,
                )


def without_values(words: str, row: Mapping[str, Any], identifiers: Iterable[str] = ()) -> str:
    """CleverPush's words without anything that may come from the row: every word of them is hidden but plain English.

    A word stays if it is an identifier (an ID, a tag, a topic, the name of a column), or if it consists of letters
    alone, or is a short number, and no piece of it stands in a value of the row. So a value is hidden however it is
    quoted, and so is a part of it, such as the first half of an email address.

    Args:
        words: what CleverPush said, cut off at :data:`LONGEST_WORDS`.
        row: the row as it came.
        identifiers: what may be told besides the names of columns.
    """
    hidden = _values(row)
    if hidden is None:
        return "…"
    texts = (*row, *(text for text in identifiers if not _PERSONAL_ID.fullmatch(text)))
    told = {token for text in texts for token in _TOKEN.findall(text) if "@" not in token}

    def judge(found: re.Match[str]) -> str:
        token = found[0]
        cut_off = found.end() == LONGEST_WORDS
        plain = _PLAIN.fullmatch(token) and not cut_off and hidden.isdisjoint(_PIECE.findall(token.lower()))
        return token if token.strip(".!?") in told or plain else "…"

    return _TOKEN.sub(judge, words)


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
