"""Tags and topics that CleverPush has refused as unknown: they are not called for again in this sync."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from destination_cleverpush.words import (
    NOTHING_READ,
    UNKNOWN_TAG,
    UNKNOWN_TOPIC,
    Answer,
    Channel,
    Operation,
    Reason,
    Verdict,
)

BELIEVED_SECONDS = 300.0
"""For so long a list that was read is believed, before it is read again."""

_THINGS = {UNKNOWN_TAG: "a tag", UNKNOWN_TOPIC: "a topic"}


class Refused:
    """Stands before a client, and answers in CleverPush's place what it has refused before. Safe for many threads.

    A tag that the channel's list has is never taken for unknown, whatever an answer seems to say of it.

    Args:
        send: makes a call.
        channel: as it was read at the start.
        read_again: reads it once more.
        clock: seconds.
    """

    def __init__(
        self,
        send: Callable[[Operation], Answer],
        channel: Channel = NOTHING_READ,
        read_again: Callable[[], Channel] = Channel,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._read_again = read_again
        self._clock = clock
        self._read_at = clock()
        self._reading = threading.Lock()
        self._known = _lists(channel)
        self._ids: dict[Reason, set[str]] = {UNKNOWN_TAG: set(), UNKNOWN_TOPIC: set()}

    def send(self, operation: Operation) -> Answer:
        """Make the call, unless it names what was refused: then it is refused without a status, since none was made."""
        found = self._among(operation.payload)
        if found and self._look_again():
            found = self._among(operation.payload)
        if found:
            reason, named = found
            said = f"The row has {_THINGS[reason]} that CleverPush has refused before in this sync."
            return Answer(Verdict.REJECTED, reason, said, named=named)
        answer = self._send(operation)
        self.answered(answer)
        return answer

    def concerns(self, operation: Operation) -> bool:
        """Whether a call names what was refused, so that only :meth:`send` may make it."""
        return self._among(operation.payload) is not None

    def answered(self, answer: Answer) -> None:
        """Take note of an answer to a call that somebody else made."""
        if answer.reason in self._ids:
            self._ids[answer.reason].update(each for each in answer.named if each not in self._known[answer.reason])

    def _among(self, payload: Mapping[str, Any]) -> tuple[Reason, tuple[str, ...]] | None:
        """What a call would name in vain, and the reason for which it was refused."""
        if (tag := payload.get("tagId")) in self._ids[UNKNOWN_TAG]:
            return UNKNOWN_TAG, (tag,)
        if topics := tuple(topic for topic in payload.get("topics", ()) if topic in self._ids[UNKNOWN_TOPIC]):
            return UNKNOWN_TOPIC, topics
        return None

    def _look_again(self) -> bool:
        """Read the lists where they are old; what they have now may be called for again. Others do not wait for it."""
        if self._clock() - self._read_at < BELIEVED_SECONDS or not self._reading.acquire(blocking=False):
            return False
        try:
            self._known = _lists(self._read_again())
            for reason, ids in self._ids.items():
                ids.difference_update(self._known[reason])
            self._read_at = self._clock()
        finally:
            self._reading.release()
        return True


def _lists(channel: Channel) -> dict[Reason, Mapping[str, str]]:
    return {UNKNOWN_TAG: channel.tags or {}, UNKNOWN_TOPIC: channel.topics or {}}
