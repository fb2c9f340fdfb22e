"""Rejected rows for tests."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from destination_cleverpush.words import RejectedRow, StreamId

NOW = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=timezone.utc)


def a_row(position: int = 1, stream: str = "users", namespace: str | None = None, **data: Any) -> RejectedRow:
    return RejectedRow(
        stream=StreamId(stream, namespace),
        position=position,
        subscription_id=f"sub-{position}",
        code="unknown_tag",
        reason="The tag is unknown.",
        status=404,
        answer="Tag not found: vip",
        data=data or {"subscription_id": f"sub-{position}", "tags": "vip"},
        emitted_at=1_700_000_000_000,
        rejected_at=NOW,
        attempts=1,
    )
