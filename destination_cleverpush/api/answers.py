"""What an answer of CleverPush means for the operation, in the few kinds that delivery acts on."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any

from destination_cleverpush.api.environment import Proxy
from destination_cleverpush.api.failures import NO_CHANNEL, unexpected
from destination_cleverpush.api.reasons import (
    CHANNEL_NOT_FOUND,
    CONFLICT,
    NO_ANSWER,
    ROW_STATUSES,
    SERVER_ERROR,
    recognise,
)
from destination_cleverpush.api.reply import Reply
from destination_cleverpush.api.trouble import NoReply, Trouble
from destination_cleverpush.errors import config_error
from destination_cleverpush.words import DELIVERED, UNKNOWN_TAG, UNKNOWN_TOPIC, Answer, Verdict

RETRY_STATUSES = frozenset({408, 425, *range(500, 600)})
"""Answers that may be different the next time."""

# Assumed: how servers commonly begin when they do not know a path; no public source has CleverPush's own words.
# Only the beginning counts, since a row's values may be quoted later.
_UNKNOWN_ROUTE = re.compile(
    r"\W*(cannot post\b|((the )?requested )?(route|endpoint|path|url) (was )?not found|no such (route|endpoint))",
    re.IGNORECASE,
)


def refused_by_a_page(reply: Reply) -> bool:
    """Whether a firewall refuses access, and not CleverPush, which speaks JSON."""
    return reply.status == 403 and reply.is_html


def classify(reply: Reply) -> Answer | None:
    """What an answer that lets the connector in means; None where it says that there is no such route."""
    status = reply.status
    if 200 <= status < 300:
        return _taken(reply)
    words = reply.words()
    if status == 405 or (status == 404 and (reply.is_page or _UNKNOWN_ROUTE.match(words))):
        return None
    if status in ROW_STATUSES:
        return _refused(status, words, f"answered {status}")
    if status == 429:
        delay = named_delay(reply.headers)
        return Answer(Verdict.THROTTLED, SERVER_ERROR, "answered 429", 429, words, delay, congested=True)
    if status in RETRY_STATUSES:
        overloaded = status == 503
        delay = named_delay(reply.headers) if overloaded else None
        return Answer(Verdict.RETRY, SERVER_ERROR, f"answered {status}", status, words, delay, congested=overloaded)
    return Answer(Verdict.FATAL, status=status, words=words, failure=unexpected(status))


def unknown_ids(answer: Answer, payload: Mapping[str, Any]) -> tuple[str, ...]:
    """The tag or the topics that were refused as unknown; none where the answer leaves open which of several."""
    if answer.reason is UNKNOWN_TAG:
        return (payload["tagId"],) if "tagId" in payload else ()
    if answer.reason is UNKNOWN_TOPIC:
        topics: list[str] = payload.get("topics") or []
        quoted = [t for t in topics if re.search(rf"(?<![\w-]){re.escape(t)}(?![\w-])", answer.words or "")]
        return tuple(quoted or (topics if len(topics) == 1 else ()))
    return ()


def unanswered(error: NoReply, timeout: float, proxy: Proxy | None = None) -> Answer:
    """What it means that no answer came. `timeout` is in seconds."""
    trouble = error.trouble
    local = trouble is Trouble.EXHAUSTED or not error.sent
    unconnected = f"could not be connected to{f' through {proxy}' if proxy else ''}"
    if trouble is Trouble.EXHAUSTED:
        summary = "could not be called, since this machine has no file descriptors, ports or memory left"
    elif trouble is Trouble.SILENT:
        summary = f"{'gave no answer' if error.sent else unconnected} within {timeout:g} s"
    elif trouble in (Trouble.UNCONNECTED, Trouble.PROXY):
        summary = unconnected + error.why
    elif trouble is Trouble.TLS:
        summary = f"{unconnected} by TLS"
    else:
        summary = "broke off the connection"
    congested = local or error.crowded or trouble is Trouble.SILENT
    return Answer(Verdict.RETRY, NO_ANSWER, summary, congested=congested, local=local)


def named_delay(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """How many seconds the server asks to wait, or None.

    Reads `Retry-After` in seconds or as an HTTP date (RFC 9110), then `RateLimit-Reset` and `X-RateLimit-Reset`, in
    seconds or as an epoch time. Times are measured against the answer's own `Date` where there is one.
    """
    now = _http_date(headers.get("Date")) or (time.time() if now is None else now)
    delay = _seconds(headers.get("Retry-After"), now)
    if delay is None and (when := _http_date(headers.get("Retry-After"))) is not None:
        delay = when - now
    for name in ("RateLimit-Reset", "X-RateLimit-Reset"):
        if delay is None:
            delay = _seconds(headers.get(name), now)
    return delay if delay is not None and delay > 0 else None


_EPOCH_FROM = 1e9  # a larger number is no number of seconds to wait (31 years) but a time
_EPOCH_MILLIS_FROM = 1e12


def _seconds(value: str | None, now: float) -> float | None:
    try:
        seconds = max(float(each) for each in (value or "").split(","))  # a header that came twice is one with a comma
    except ValueError:
        return None
    if not 0 <= seconds < float("inf"):
        return None
    if seconds >= _EPOCH_MILLIS_FROM:
        seconds /= 1000
    return seconds - now if seconds >= _EPOCH_FROM else seconds


def _http_date(value: str | None) -> float | None:
    try:
        when = parsedate_to_datetime(value or "")
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _taken(reply: Reply) -> Answer:
    """A 2xx answer: taken, unless it is a web page of something in between, or says itself that it is not."""
    if reply.is_html:
        return Answer(Verdict.RETRY, NO_ANSWER, f"answered with a web page (HTTP {reply.status})", reply.status)
    if reply.body.startswith(b"{") and b'"' in reply.body[:64] and reply.whole:
        parsed = reply.json()
        if parsed is None:
            return Answer(Verdict.RETRY, NO_ANSWER, f"answered {reply.status} with a broken body", reply.status)
        if isinstance(parsed, Mapping):
            # CleverPush's SDKs and connectors take `success: false` and `error` for failures; `status` is assumed.
            if parsed.get("success") is False or parsed.get("error") or parsed.get("status") == "error":
                return _refused(reply.status, reply.words(), f"answered {reply.status} with an error")
            if ids := _ids(parsed):
                return Answer(Verdict.DELIVERED, status=reply.status, ids=ids)
    return DELIVERED


def _ids(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The subscription that a body is, or holds."""
    found = body.get("id") or body.get("_id")
    if found is None and isinstance(inner := body.get("subscription"), Mapping):
        found = inner.get("_id") or inner.get("id")
    return (found,) if isinstance(found, str) else ()


def _refused(status: int, words: str, summary: str) -> Answer:
    """An answer that judges the row, or says that the channel itself is not there."""
    reason = recognise(status if status in ROW_STATUSES else 422, words)
    if reason is CHANNEL_NOT_FOUND:
        return Answer(Verdict.FATAL, status=status, words=words, failure=config_error(NO_CHANNEL))
    verdict = Verdict.RETRY if reason is CONFLICT else Verdict.REJECTED
    return Answer(verdict, reason, summary, status, words)
