"""The work that all contenders get: rows, and the call that each of them becomes.

Only the standard library is used here: contenders read this in environments of their own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

Kind = Literal["subscriptions", "tags"]

CHANNEL = "5f3c1e7a9b2d4c0012ab34cd"
KEY = "private-key-of-the-benchmark"
STREAM = "users"
TAG = "6a1b2c3d4e5f60718293a4b5"

_ATTRIBUTES = ("plan", "orders", "last_order_at")


def rows(kind: Kind, count: int) -> Iterator[dict[str, Any]]:
    """Rows about subscriptions `user-0000001` and so on, each about another one."""
    for number in range(1, count + 1):
        name = f"user-{number:07}"
        if kind == "tags":
            yield {"subscription_id": name, "tags": TAG}
        else:
            yield {
                "subscription_id": name,
                "email": f"{name}@example.com",
                "country": "DE",
                "language": "de",
                "plan": "gold",
                "orders": number % 97,
                "last_order_at": "2026-11-20T08:15:00Z",
            }


def call(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The path and the body of the one call that a row becomes; the connector makes the same."""
    if "tags" in row:
        body = {"channelId": CHANNEL, "subscriptionId": row["subscription_id"], "tagId": row["tags"]}
        return "/subscription/tag/add", body
    attributes = {"user_id": row["subscription_id"], **{name: row[name] for name in _ATTRIBUTES}}
    contact = {"emailAddress": row["email"], "country": row["country"], "language": row["language"]}
    return "/subscription/sync", {"channelId": CHANNEL, **contact, "customAttributes": attributes}


def write_airbyte_lines(path: Path, kind: Kind, count: int, rows_per_state: int) -> Path:
    """RECORD lines, with a STATE after every so many and at the end."""
    with path.open("w") as lines:
        for number, row in enumerate(rows(kind, count), 1):
            record = {"stream": STREAM, "emitted_at": 1795420800000, "data": row}
            lines.write(json.dumps({"type": "RECORD", "record": record}) + "\n")
            if number % rows_per_state == 0 or number == count:
                of_stream = {"stream_descriptor": {"name": STREAM}, "stream_state": {"cursor": number}}
                state = {"type": "STREAM", "stream": of_stream, "id": number}
                lines.write(json.dumps({"type": "STATE", "state": state}) + "\n")
    return path


def write_json_lines(path: Path, kind: Kind, count: int) -> Path:
    """One row a line, for contenders that know nothing of Airbyte."""
    with path.open("w") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows(kind, count))
    return path


def write_sqlite(path: Path, kind: Kind, count: int) -> Path:
    """The rows as the table `users` of an SQLite file."""
    path.unlink(missing_ok=True)
    columns = list(next(rows(kind, 1)))
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE users ({', '.join(columns)})")
        places = ", ".join(f":{column}" for column in columns)
        database.executemany(f"INSERT INTO users VALUES ({places})", rows(kind, count))  # noqa: S608
    database.close()
    return path
