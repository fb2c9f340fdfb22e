"""Rejected rows as lines, and the names of the objects that hold them. Pure.

One JSON object per line: `stream`, `namespace`, `position`, `subscription_id`, `code`, `reason`, `status`, `answer`,
`rejected_at` (ISO-8601, UTC), `attempts`, `emitted_at` (epoch milliseconds) and `data`, the row as it came.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timezone
from typing import Any

from destination_cleverpush.words import RejectedRow, StreamId

SUFFIX = ".jsonl.gz"

_LONGEST_NAME = 120
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_PART = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}-part-\d{5,}" + re.escape(SUFFIX))
_STRING_OR_INFINITY = re.compile(r'"(?:[^"\\]|\\.)*"|Infinity')


def encode(row: RejectedRow) -> bytes:
    """The row as one line, ended by a line feed."""
    line = {
        "stream": row.stream.name,
        "namespace": row.stream.namespace,
        "position": row.position,
        "subscription_id": row.subscription_id,
        "code": row.code,
        "reason": row.reason,
        "status": row.status,
        "answer": row.answer,
        "rejected_at": _iso(row.rejected_at),
        "attempts": row.attempts,
        "emitted_at": row.emitted_at,
        "data": row.data,
    }
    return dump(line).encode("ascii") + b"\n"


def dump(value: Any) -> str:
    """JSON text, ASCII only, that reads back as the same value.

    Python reads a number beyond the range of a double as infinity, which JSON cannot name; it is written as `1e999`,
    which is read as infinity again.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(value, separators=(",", ":"))
        return _STRING_OR_INFINITY.sub(lambda found: "1e999" if found[0] == "Infinity" else found[0], text)


def sync_label(sync_id: int | None, started: datetime) -> str:
    """The name of a sync's folder: Airbyte's sync id where the platform gives one, else the start time (UTC)."""
    return f"sync-{sync_id}" if sync_id is not None else f"{started.astimezone(timezone.utc):%Y%m%dT%H%M%SZ}"


def folder(stream: StreamId, label: str) -> str:
    """The folder of a stream's rows of one sync, relative to the store's path: `<namespace>.<stream>/<sync label>`.

    Letters, digits, `_` and `-` stand for themselves, every other byte of the UTF-8 text is `=` and two hex digits: so
    the first `.` always ends a namespace, and different streams have different folders. A very long name is cut and
    ended by its digest.
    """
    name = f"{_safe(stream.namespace)}.{_safe(stream.name)}" if stream.namespace else _safe(stream.name)
    return f"{name}/{_safe(label)}"


def part_name(folder: str, started: datetime, token: str, number: int) -> str:
    """The name of an object. `started` is when the attempt began and `token` its own: attempts never share a name."""
    return f"{folder}/{started.astimezone(timezone.utc):%Y%m%dT%H%M%S.%fZ}-{token}-part-{number:05d}{SUFFIX}"


def is_part(name: str) -> bool:
    """Whether an object's name is that of stored rows; other things may lie in the same folder."""
    return _PART.fullmatch(name.rpartition("/")[2]) is not None


def order(name: str) -> tuple[list[str | int], str]:
    """Sorts object names by the start of their attempt, then by part."""
    base = name.rpartition("/")[2]
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", base)], name


def _safe(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    safe = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], raw).decode("ascii") or "="
    return safe if len(safe) <= _LONGEST_NAME else f"{safe[:80]}=-{hashlib.sha256(raw).hexdigest()[:32]}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
