"""What became of one attempt of one operation, in the few kinds that delivery acts on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from airbyte_cdk.utils.traced_exception import AirbyteTracedException


class Verdict(Enum):
    """What an answer means for the operation."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    RETRY = "retry"
    THROTTLED = "throttled"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Answer:
    """One attempt's outcome.

    Attributes:
        verdict: what it means.
        code: the reason's code, for REJECTED, and for RETRY should the retries be used up.
        summary: what happened, such as "answered 500"; free of personal data.
        status: HTTP status, None where no answer came.
        words: CleverPush's own words; they may quote the row.
        delay: seconds that the server asked to wait, None where it named none.
        congested: a sign that fewer requests should be in flight.
        error: for FATAL, what ends the sync.
    """

    verdict: Verdict
    code: str = ""
    summary: str = ""
    status: int | None = None
    words: str | None = None
    delay: float | None = None
    congested: bool = False
    error: AirbyteTracedException | None = None


DELIVERED = Answer(Verdict.DELIVERED, status=200)
