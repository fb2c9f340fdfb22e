"""The log of a running sync, and its closing summary."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from destination_cleverpush.settlement.counts import Counts, StreamCounts
from destination_cleverpush.settlement.masking import masked
from destination_cleverpush.words import Action, Pulse, Reason, StreamId

ADVICE = "advice"
"""The attribute of the log record of a rejected row that holds the part of its message that says what to do."""

SUMMARY = "of_the_summary"
"""The attribute that log records of the summary have, so that whoever shows it otherwise can leave them out."""


class Progress:
    """A line about the sync's progress, quiet while nothing changes and no state waits for long.

    Args:
        read: rows read so far, by stream.
        pulse: how delivery is doing.
        clock: seconds.
        long_seconds: a state that has waited for longer says why.
    """

    def __init__(
        self,
        logger: logging.Logger,
        counts: Counts,
        read: Mapping[StreamId, int],
        pulse: Callable[[], Pulse],
        *,
        clock: Callable[[], float],
        long_seconds: float = 60.0,
    ) -> None:
        self._logger = logger
        self._counts = counts
        self._read = read
        self._pulse = pulse
        self._clock = clock
        self._long = long_seconds
        self._told: tuple[object, ...] = ()
        self._calls = 0
        self._at = clock()

    def tell(self) -> None:
        """Log the line, unless it would say the same again."""
        pulse, now = self._pulse(), self._clock()
        read, counts = sum(self._read.values()), self._counts.total
        waits = pulse.oldest_state_seconds > self._long
        news = (read, counts.settled, pulse.calls, pulse.retries, pulse.throttled)
        if news == self._told and not waits:
            return
        self._logger.info(
            "Progress: %d rows read, %d delivered%s, %d rejected; %.0f calls per second, %d in flight (limit %d), "
            "%d retries, throttled for %.0f s.%s",
            read,
            counts.delivered,
            f" ({_named(counts.effects)})" if counts.effects else "",
            counts.rejected.total(),
            (pulse.calls - self._calls) / max(now - self._at, 0.001),
            pulse.in_flight,
            pulse.limit,
            pulse.retries,
            pulse.paused_seconds,
            f" The oldest state has waited for {pulse.oldest_state_seconds:.0f} s, for {pulse.cause}." if waits else "",
        )
        self._told, self._calls, self._at = news, pulse.calls, now


def summarise(
    logger: logging.Logger,
    counts: Counts,
    read: Mapping[StreamId, int],
    *,
    calls: Mapping[StreamId, int],
    taken: Mapping[tuple[StreamId, Action], int],
    besides: Mapping[tuple[StreamId, str], int],
    seconds: float,
    dry: bool = False,
) -> None:
    """One line per stream and reason, with its count and what to do, then one per stream.

    Args:
        read: rows read, with every stream of the sync.
        calls: calls made, by stream.
        taken: calls that CleverPush took, by stream and what they do.
        besides: what else is to be told of delivered rows, by stream and in words, such as `gone already`.
        dry: nothing was done in truth.
    """
    for stream in read:
        for reason, count in counts.of(stream).rejected.most_common():
            logger.warning(
                "Stream '%s': %s row%s rejected as %s%s. %s",
                stream,
                f"{count:,}",
                "" if count == 1 else "s",
                reason.code,
                refused_names(counts.of(stream), reason),
                reason.advice,
                extra={SUMMARY: True},
            )
    for stream, rows in read.items():
        c = counts.of(stream)
        undelivered = rows - c.settled
        logger.info(
            "%sStream '%s': %d rows read, %d %s%s, %d rejected%s%s, %d calls in %.1f s (%.0f rows per s).",
            "Dry run: nothing was sent. " if dry else "",
            stream,
            rows,
            c.delivered,
            "would be delivered" if dry else "delivered",
            _by_effect(
                {a.done: n for (of, a), n in taken.items() if of == stream}
                | {what: n for (of, what), n in besides.items() if of == stream}
                | dict(c.effects),
                c.without_call - c.told,
            ),
            c.rejected.total(),
            _by_reason(Counter({reason.code: count for reason, count in c.rejected.items()})),
            f", {undelivered} NOT delivered" if undelivered else "",
            calls.get(stream, 0),
            seconds,
            c.settled / max(seconds, 0.001),
            extra={SUMMARY: True},
        )


def refused_names(counts: StreamCounts, reason: Reason, most: int = 10) -> str:
    """What was refused most of rows that were rejected for this reason, with the numbers of rows; else nothing."""
    found = Counter({name: rows for (of, name), rows in counts.refused.items() if of == reason})
    if not found:
        return ""
    told = ", ".join(f"{name} {rows:,} row{'' if rows == 1 else 's'}" for name, rows in found.most_common(most))
    return f": {told}" + (f", and {len(found) - most} others" if len(found) > most else "")


def closing(
    counts: StreamCounts,
    read: int,
    pulse: Pulse,
    seconds: float,
    *,
    failed: bool,
    kept: str | None,
    dry: bool = False,
) -> str:
    """The last line of a sync.

    Args:
        counts: of all streams.
        read: rows of all streams.
        kept: where rejected rows are kept, None where they are not.
        dry: nothing was done in truth.
    """
    rejected, undelivered = counts.rejected.total(), read - counts.settled
    would = "would be " if dry else ""
    told = [f"{_number(read, 'row')} read", f"{counts.delivered:,} {would}delivered", f"{rejected:,} {would}rejected"]
    told += [f"{undelivered:,} NOT delivered"] * (bool(undelivered) and not dry)
    told += [_number(pulse.calls, "call")]
    told += [] if dry else [_number(pulse.retries, "retry", "retries")]
    if pulse.throttled:
        told.append(
            f"{pulse.throttled:,} calls refused for their rate (HTTP 429), which paused it for "
            f"{pulse.paused_seconds:.0f} s"
        )
    what = "dry run, in which nothing was written," if dry else "sync"
    end = f"The {what} {'failed' if failed else 'succeeded'} after {seconds:.1f} s: {', '.join(told)}."
    if dry or not rejected:
        return end
    if kept is None:
        return (
            f"{end} Rejected rows were not kept: a Dead Letter Store (rejected_records in the configuration) keeps "
            "them with the reasons, to be sent again by the command replay."
        )
    return f"{end} Rejected rows are kept in {kept}; the command replay prints them as records, to be sent again."


def show_calls(logger: logging.Logger, calls: Mapping[Action, Sequence[tuple[str, Mapping[str, Any]]]]) -> None:
    """A line per call of a dry run, without personal data.

    Args:
        calls: path and body of the first calls of each kind.
    """
    for first in calls.values():
        for path, body in first:
            logger.info("Dry run, would be called: POST %s %s", path, json.dumps(masked(body), ensure_ascii=False))


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def _by_effect(done: dict[str, int], left_alone: int) -> str:
    told = _named(done | ({"needed no call": left_alone} if left_alone else {}))
    return f" ({told})" if told else ""


def _named(done: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in done.items())


def _by_reason(rejected: Counter[str]) -> str:
    told = ", ".join(f"{code} {count}" for code, count in rejected.most_common())
    return f" ({told})" if told else ""
