"""What CleverPush has said of IDs, and what is concluded from it."""

from __future__ import annotations

import logging

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.objects.known import ABSENT, GONE, REINSTALLED, Identities, Known
from destination_cleverpush.objects.settings import SubscriptionIdKind
from destination_cleverpush.words import StreamId

USERS = StreamId("users")


def test_a_sync_tells_one_subscription_and_a_look_up_all() -> None:
    known = Known(100)
    assert (known.one("u1"), known.all("u1")) == (None, None)
    known.synced("u1", "n1")
    assert (known.one("u1"), known.all("u1")) == ("n1", None)
    known.found("u1", ("n1",))
    assert (known.one("u1"), known.all("u1")) == ("n1", ("n1",))
    known.synced("u1", "n2")
    assert (known.one("u1"), known.all("u1")) == (None, ("n1", "n2"))


def test_that_there_is_none_is_known_until_a_sync_creates_one() -> None:
    known = Known(100)
    known.found("u1", ())
    assert (known.one("u1"), known.all("u1")) == (None, ())
    known.synced("u1", "n1")
    assert known.all("u1") == ("n1",)


def test_what_is_gone_is_forgotten_and_whose_all_are_gone_is_looked_up_again() -> None:
    known = Known(100)
    known.found("u1", ("n1", "n2"))
    known.forget("u1", "n1")
    assert known.all("u1") == ("n2",)
    known.forget("u1", "n2")
    known.forget("u2", "n3")
    assert known.all("u1") is None


def test_it_does_not_grow_without_end_and_what_was_heard_last_stays() -> None:
    known = Known(100)
    for number in range(1_000):
        known.synced(f"u{number}", f"n{number}")
    kept = [number for number in range(1_000) if known.one(f"u{number}") == f"n{number}"]
    assert 50 <= len(kept) <= 100
    assert kept == list(range(kept[0], 1_000))


def identities(told: list[tuple[int, str]] | None = None) -> Identities:
    return Identities(SubscriptionIdKind.BY_CALL, (lambda *told_: told.append(told_)) if told is not None else _nowhere)


def _nowhere(_level: int, _sentence: str) -> None:
    pass


def test_the_first_copy_is_warned_of_and_the_tenth_ends_the_sync() -> None:
    told: list[tuple[int, str]] = []
    subject = identities(told)
    for number in range(9):
        subject.copied(f"u{number}")
    [(level, sentence)] = told
    assert level == logging.WARNING
    with pytest.raises(Failure) as failed:
        subject.copied("u9")
    assert failed.value.kind is FailureKind.CONFIG
    for said in (sentence, failed.value.message):
        assert "filling with copies" in said
        assert "cleverpush_id" in said
    assert len(told) == 1


def test_an_update_names_the_subscription_once_the_two_ways_of_finding_it_were_compared() -> None:
    subject = identities()
    for number in range(12):
        subject.known.synced(f"u{number}", f"n{number}")
    assert subject.to_send_along("u0") is None
    for number in range(10):
        subject.same(f"u{number}")
        assert subject.to_send_along(f"u{number}") == f"n{number}"
    assert subject.to_send_along("u11") == "n11"
    assert subject.to_send_along("u12") is None
    assert (subject.is_first(), subject.is_first()) == (True, False)


def test_one_of_several_subscriptions_is_never_named() -> None:
    subject = identities()
    subject.known.found("u1", ("n1", "n2"))
    subject.known.found("u2", ("n3",))
    assert (subject.to_send_along("u1"), subject.to_send_along("u2")) == (None, "n3")


def test_five_ids_are_looked_up_and_no_more() -> None:
    subject = identities()
    assert [subject.may_probe() for _ in range(7)] == [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    ("removed", "gone", "absent", "warned"),
    [(9, 6, 5, True), (10, 10, 0, False), (0, 19, 0, False), (0, 0, 20, True)],
)
def test_where_most_removals_were_needless_it_is_said_at_the_end(
    removed: int, gone: int, absent: int, warned: bool
) -> None:
    subject = identities()
    for nothing_there, count in ((None, removed), (GONE, gone), (ABSENT, absent)):
        for _ in range(count):
            subject.removal(USERS, nothing_there)
    assert subject.besides == {(USERS, what): count for what, count in ((GONE, gone), (ABSENT, absent)) if count}
    assert [f"{gone + absent} of {removed + gone + absent} rows" in said for said in subject.warnings()] == (
        [True] if warned else []
    )


def test_a_reinstalled_app_is_counted_and_nothing_else() -> None:
    told: list[tuple[int, str]] = []
    subject = identities(told)
    for number in range(20):
        subject.reinstalled(f"u{number}", USERS)
    assert subject.besides == {(USERS, REINSTALLED): 20}
    assert (told, subject.warnings()) == ([], [])
