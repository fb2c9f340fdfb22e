"""Rejected rows in words."""

from __future__ import annotations

import pytest

from destination_cleverpush.settlement.sentences import place, quoted, rejected_row, said
from destination_cleverpush.words import Answer, Job, Reason, RejectedRow, Row, StreamId, Verdict
from unit_tests.settlement.outcomes import WHEN, refused, rejected


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (rejected(), "stream 'users', row 1, subscription_id 's-1'"),
        (rejected(7, None, stream=StreamId("users", "crm")), "stream 'crm.users', row 7"),
        (rejected(subscription_id="ada@example.com"), "stream 'users', row 1, subscription_id '…'"),
        (rejected(subscription_id="+49 170 1234567"), "stream 'users', row 1, subscription_id '…'"),
        (rejected(subscription_id="4917012345"), "stream 'users', row 1, subscription_id '4917012345'"),
    ],
)
def test_a_row_is_told_by_its_place_and_its_id_unless_that_is_a_person(row: RejectedRow, told: str) -> None:
    assert place(row) == told


@pytest.mark.parametrize(
    ("answer", "words", "sentence"),
    [
        (Answer(Verdict.REJECTED, summary="tags is missing or empty."), "", "tags is missing or empty."),
        (Answer(Verdict.REJECTED, summary="tags is missing or empty."), "no", "tags is missing or empty."),
        (Answer(Verdict.REJECTED, summary="answered 400"), "", "CleverPush answered 400."),
        (Answer(Verdict.REJECTED, summary="answered 400"), "no tag", 'CleverPush answered 400 ("no tag").'),
    ],
)
def test_what_happened_is_a_sentence(answer: Answer, words: str, sentence: str) -> None:
    assert said(answer, words) == sentence


def test_words_are_quoted_without_the_rows_values() -> None:
    job = refused(words="no tag vip for Ada", name="Ada", tags="vip")
    assert job.refusal is not None
    assert quoted(job.refusal, job.origin, ["vip"]) == "no tag vip for …"
    assert quoted(Answer(Verdict.REJECTED), job.origin, ["vip"]) == ""


def test_a_rejected_row_has_cleverpushs_words_whole_and_its_reason_has_none_of_them() -> None:
    row = Row(StreamId("users", "crm"), {"name": "Ada"}, 7, 100, position=3)
    answer = Answer(Verdict.REJECTED, Reason("unknown_tag", "Create the tag."), "answered 404", 404, "no tag for Ada")
    assert rejected_row(Job(row.stream, "s-3", None, row, 100, answer, attempts=2), "s-3", WHEN) == RejectedRow(
        stream=StreamId("users", "crm"),
        position=3,
        subscription_id="s-3",
        code="unknown_tag",
        reason="CleverPush answered 404. Create the tag.",
        status=404,
        answer="no tag for Ada",
        data={"name": "Ada"},
        emitted_at=7,
        rejected_at=WHEN,
        attempts=2,
    )


def test_a_row_that_never_became_a_call() -> None:
    answer = Answer(Verdict.REJECTED, Reason("missing_tags", "Fill tags."), "tags is missing or empty.")
    row = Row(StreamId("users"), {}, None, 100, 1)
    found = rejected_row(Job(row.stream, "", None, row, 100, answer), None, WHEN)
    assert (found.reason, found.status, found.answer) == ("tags is missing or empty. Fill tags.", None, None)
    assert (found.attempts, found.emitted_at, found.subscription_id) == (0, None, None)


def test_what_is_at_fault_is_named_unless_it_is_a_person() -> None:
    answer = Answer(Verdict.REJECTED, summary="answered 400", named=("t1", "t1", "ada@example.com", "t2"))
    assert said(answer, "no") == "CleverPush answered 400 (\"no\"). At fault: 't1', 't2'."
    many = Answer(Verdict.REJECTED, summary="It is so.", named=tuple(f"t{n}" for n in range(25)))
    assert said(many).endswith("'t19' and 5 more.")
    assert rejected_row(refused(named=("t9",)), "s", WHEN).reason.startswith(
        "CleverPush answered 400. At fault: 't9'. "
    )
