"""Rejected rows in words. Pure. Only IDs are told, and never a field's value."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from destination_cleverpush.settlement.masking import without_values
from destination_cleverpush.words import Answer, Job, RejectedRow, Row, may_be_told

_MOST_NAMED = 20


def rejected_row(job: Job, subscription_id: str | None, rejected_at: datetime) -> RejectedRow:
    """A job that was given up, as it is told and stored.

    Args:
        job: with a refusal, and the :class:`Row` as its origin.
        subscription_id: as mapped.
        rejected_at: aware datetime in UTC.
    """
    row, answer = job.origin, job.refusal
    assert isinstance(row, Row)
    assert answer is not None
    assert answer.reason is not None
    return RejectedRow(
        stream=job.stream,
        position=row.position,
        subscription_id=subscription_id,
        code=answer.reason.code,
        reason=f"{said(answer)} {answer.reason.advice}",
        status=answer.status,
        answer=answer.words,
        data=row.data,
        emitted_at=row.emitted_at,
        rejected_at=rejected_at,
        attempts=job.attempts,
    )


def said(answer: Answer, quoted: str = "") -> str:
    """What happened to a row, as a sentence, with CleverPush's words where they may be told, and what is at fault."""
    sentence = answer.summary
    if not sentence.endswith("."):
        sentence = f"CleverPush {sentence}" + (f' ("{quoted}").' if quoted else ".")
    return sentence + (f" At fault: {culprits}." if (culprits := _listed(answer.named)) else "")


def quoted(answer: Answer, row: Row, identifiers: Iterable[str]) -> str:
    """CleverPush's words about a row, without its values.

    Args:
        identifiers: what may be told besides the names of the row's columns.
    """
    return without_values(answer.words, row.data, identifiers) if answer.words else ""


def _listed(named: Iterable[str]) -> str:
    told = [f"'{name}'" for name in dict.fromkeys(named) if may_be_told(name)]
    more = f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
    return ", ".join(told[:_MOST_NAMED]) + more


def place(row: RejectedRow) -> str:
    """Where the row stands and whose it is, for logs. An ID that is an email address or a phone number is not told."""
    identifier = row.subscription_id and (row.subscription_id if may_be_told(row.subscription_id) else "…")
    whose = f", subscription_id '{identifier}'" if identifier else ""
    return f"stream '{row.stream}', row {row.position}{whose}"
