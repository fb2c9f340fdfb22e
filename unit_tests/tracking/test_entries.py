"""Members and entries: what is unchanged, what is due again, ids as they are stored."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.tracking.entries import (
    Entry,
    Member,
    Standing,
    as_bytes,
    as_text,
    is_due,
    native_ids,
    native_text,
)


def a_member(standing: Standing | None = None) -> Member:
    member = Member(1, "a")
    if standing is not None:
        member.pairs[""] = Entry(standing, b"1", 100)
    return member


@pytest.mark.parametrize("standing", [None, Standing.DOUBT, Standing.REMOVED, Standing.OWED])
def test_only_what_was_taken_can_be_unchanged(standing: Standing | None) -> None:
    assert not a_member(standing).is_unchanged(b"1", 100)
    assert a_member(Standing.TAKEN).is_unchanged(b"1", 100)
    assert not a_member(Standing.TAKEN).is_unchanged(b"2", 100)


def test_a_call_puts_in_doubt_until_its_end_is_told() -> None:
    member = a_member(Standing.TAKEN)
    before = member.begin()
    assert not member.is_unchanged(b"1", 100)
    member.restore(before)
    assert member.is_unchanged(b"1", 100)
    member.begin()
    member.took(b"2", 101, 7, native=("N",))
    assert member.entry == Entry(Standing.TAKEN, b"2", 101, 7, "N")
    member.removed(102, 8)
    assert member.is_removed()
    assert member.entry.native == ("N",)
    member.restore(member.begin())
    assert member.is_removed()


def test_a_refused_row_takes_its_member_off_the_list_of_the_owed() -> None:
    member = a_member(Standing.OWED)
    member.restore(member.begin())
    assert member.entry
    assert member.entry.standing == Standing.DOUBT


def test_a_refused_new_member_is_only_named() -> None:
    member = a_member()
    member.restore(member.begin())
    assert member.entry == Entry(Standing.NAMED)
    member = a_member()
    member.refused()
    assert member.entry == Entry(Standing.NAMED)
    member = a_member(Standing.TAKEN)
    member.refused()
    assert member.is_unchanged(b"1", 100)


@pytest.mark.parametrize("days", [1, 2, 3, 7, 30, 365])
def test_what_is_due_is_due_between_half_of_the_days_and_all_of_them(days: int) -> None:
    first = Counter(next(age for age in range(days + 1) if is_due(f"id-{n}", 0, age, days)) for n in range(3_000))
    assert min(first) >= days - days // 2
    assert max(first) <= days
    if days >= 30:
        assert max(first.values()) < 3 * 3_000 / len(first)  # no day has most of them


def test_resending_can_be_switched_off() -> None:
    assert a_member(Standing.TAKEN).is_unchanged(b"1", 10_000, 0)
    assert not a_member(Standing.TAKEN).is_unchanged(b"1", 130, 30)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_ids_come_back_as_they_were(text: str, natives: list[str]) -> None:
    assert as_text(as_bytes(text)) == text
    assert native_ids(native_text(tuple(natives))) == tuple(natives)


def test_half_characters_are_ids_too() -> None:
    assert as_text(as_bytes("\ud800")) == "\ud800"
    assert native_ids(native_text(("\ud800",))) == ("\ud800",)
