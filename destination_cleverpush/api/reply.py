"""An HTTP answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from destination_cleverpush.api.reasons import LONGEST_WORDS

LARGEST_ANSWER_BYTES = 1 << 16
LARGEST_LIST_BYTES = 1 << 22


class Reply:
    """An HTTP answer: status, headers (case-insensitive) and body, which is `whole` unless it is overlong.

    The body is kept without the blanks before it.
    """

    __slots__ = ("body", "headers", "status", "whole")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, *, whole: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body.lstrip()
        self.whole = whole

    @property
    def is_page(self) -> bool:
        """Whether the body is a web page: of a server that knows no such route, or of something in between."""
        return self.body.startswith(b"<")

    @property
    def is_html(self) -> bool:
        """Whether it is a web page, or says that it is one."""
        return self.is_page or "html" in self.headers.get("Content-Type", "")

    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def words(self) -> str:
        """CleverPush's own words: `error`, `message` and `errors` where they are there, else the text."""
        body = self.json()
        if isinstance(body, Mapping):
            parts = [body[name] for name in ("error", "message", "errors") if body.get(name)]
            found = "; ".join(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)
        else:
            found = self.body.decode("utf-8", "replace")
        return " ".join(found.split())[:LONGEST_WORDS]


def read_reply(response: Any, most: int) -> Reply:
    """Read an answer's body, of which `most` bytes are enough; one that is longer closes its connection.

    Args:
        response: urllib3's, unread.
    """
    content = b""
    while chunk := response.read1(LARGEST_ANSWER_BYTES, decode_content=True):
        content += chunk
        if len(content) >= most:
            response.close()
            return Reply(response.status, response.headers, content, whole=False)
    return Reply(response.status, response.headers, content, whole=True)
