"""Rows that were given up: told in the log, counted, and handed to the dead letter store."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from destination_cleverpush.protocol import StreamId
from destination_cleverpush.reasons import REASONS

LOGGED_PER_STREAM = 100

_EMAIL = re.compile(r"[^\s\"'<>,;:]+@[^\s\"'<>,;:]+")
_IDENTIFIERS = frozenset({"subscription_id", "tags", "topics"})


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
    """Where the row stands and whose it is, for logs. An ID that is an email address is not told."""
    whose = f", subscription_id '{_EMAIL.sub('…', row.subscription_id)}'" if row.subscription_id else ""
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


def without_values(words: str, fields: Mapping[str, Any]) -> str:
    """CleverPush's words without what they may quote of the row: addresses, phone numbers and attributes.

    IDs of the subscription, of tags and of topics stay: they are what the reader needs.
    """
    values = sorted({leaf for leaf in _leaves(fields) if len(leaf) > 1}, key=len, reverse=True)
    if values:
        alternatives = "|".join(map(re.escape, values))
        words = re.sub(rf"(?<!\w)(?:{alternatives})(?!\w)", "…", words, flags=re.IGNORECASE)
    return _EMAIL.sub("…", words)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name not in _IDENTIFIERS:
                yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif value is not None and not isinstance(value, bool):
        yield str(value).strip()
