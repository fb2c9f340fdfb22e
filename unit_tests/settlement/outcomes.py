"""Jobs that have come to their end, and what is known of rejected rows."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from destination_cleverpush.words import Answer, Job, Reason, RejectedRow, Row, StreamId, Verdict

UNKNOWN_TAG = Reason("unknown_tag", "Create the tag in CleverPush.")
MISSING_TAGS = Reason("missing_tags", "Fill tags.")
WHEN = datetime(2026, 11, 23, tzinfo=timezone.utc)


def row(position: int = 1, stream: str = "users", **data: Any) -> Row:
    return Row(StreamId(stream), data or {"subscription_id": f"s-{position}"}, 5, 100, position)


def delivered(position: int = 1, stream: str = "users", *, attempts: int = 1) -> Job:
    return Job(StreamId(stream), "", None, row(position, stream), 100, attempts=attempts)


def refused(
    position: int = 1,
    stream: str = "users",
    *,
    reason: Reason = UNKNOWN_TAG,
    summary: str = "answered 400",
    words: str | None = "no",
    named: tuple[str, ...] = (),
    **data: Any,
) -> Job:
    answer = Answer(Verdict.REJECTED, reason, summary, 400, words, named=named)
    return Job(StreamId(stream), "", None, row(position, stream, **data), 100, answer, attempts=1)


def rejected(position: int = 1, subscription_id: str | None = "s-1", **more: Any) -> RejectedRow:
    facts: dict[str, Any] = {
        "stream": StreamId("users"), "code": "unknown_tag", "reason": "CleverPush answered 400.", "status": 400,
        "answer": "no", "data": {}, "emitted_at": None, "rejected_at": WHEN, "attempts": 1,
    }  # fmt: skip
    return RejectedRow(position=position, subscription_id=subscription_id, **{**facts, **more})
