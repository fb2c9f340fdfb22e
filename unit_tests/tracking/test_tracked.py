"""What the stage makes of rows, by the memory: single cases beside the random histories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.errors import Failure
from unit_tests.tracking.wired import Wired
from unit_tests.tracking.world import TODAY, Load, Row, SamePlace, World, put


class Shop:
    """One connection that is synced over and over."""

    def __init__(self, **form: Any) -> None:
        self.world = World()
        self._place = SamePlace(Path(":memory:"))
        self._form = form
        self._number = 0

    def sync(
        self,
        rows: Sequence[Row],
        *,
        ratio: float = 1.0,
        batch: int = 1_000,
        of_b: Sequence[Row] = (),
        sync_mode: str = "full_refresh",
        **how: Any,
    ) -> list[str]:
        """Returns the calls, such as `put a`; the last effects are in `effects`.

        Args:
            of_b: rows of a second stream, where it has any.
        """
        self._number += 1
        loads = [Load("A", rows, self._number, 100 + self._number, sync_mode)]
        loads += [Load("B", of_b, self._number, 100 + self._number)] if of_b else []
        name = self._form.get("object_type", "subscriptions")
        attempt = Wired(
            self.world, self._place, loads, ratio=ratio, batch=batch, object_name=name, form=self._form, **how
        )
        before = len(self.world.log)
        try:
            attempt.run()
        finally:
            self.calls = [f"{what} {id_}{tag and f' {tag}'}" for what, _, id_, tag in self.world.log[before:]]
            self.effects = attempt.effects
        return self.calls


def test_an_unchanged_row_costs_no_call_until_it_was_sent_long_ago() -> None:
    tracking = {"storage_type": "local", "destination_path": "/nowhere"}
    for days, calls in ((30, 1), (0, 0)):
        shop = Shop(change_tracking=tracking | {"resend_after_days": days})
        assert shop.sync(put("a")) == ["put a"]
        assert shop.sync(put("a"), today=TODAY + 14) == []
        assert shop.effects == ["unchanged"]
        assert len(shop.sync(put("a"), today=TODAY + 30)) == calls


def test_what_all_rows_of_a_batch_say_is_made_to_be_true_in_their_order() -> None:
    shop = Shop()
    shop.sync(put("ab"))
    rows = [Row("a", does="mark"), Row("a"), Row("b", b"2"), Row("b", b"1")]
    assert shop.sync(rows) == ["mark a", "put a", "put b", "put b"]
    assert {id_: said["A"] for (id_, _), said in shop.world.has.items()} == {"a": b"1", "b": b"1"}
    assert shop.sync(put("ab")) == []


def test_a_row_is_not_unchanged_while_another_of_its_member_is_on_its_way() -> None:
    shop = Shop()
    shop.sync(put("a"))
    assert shop.sync([Row("a", b"2"), Row("a", b"1")], batch=1, behind=1) == ["put a", "put a"]
    assert shop.world.has["a", ""] == {"A": b"1"}
    assert shop.sync([Row("a", does="mark"), Row("a")], batch=1, behind=1) == ["mark a", "put a"]
    assert shop.sync([Row("a"), Row("a", does="mark")], batch=1, behind=1) == ["mark a"]


@pytest.mark.parametrize("row", [Row("a", b"2"), Row("a", does="mark")])
def test_what_was_given_up_without_an_answer_is_in_doubt(row: Row) -> None:
    shop = Shop()
    shop.sync(put("a"))
    assert len(shop.sync([row], unsure="a")) == 1
    assert shop.sync(put("a")) == ["put a"]
    assert shop.sync(put("a")) == []


def test_a_marked_row_is_removed_once() -> None:
    shop = Shop()
    shop.sync(put("ab"))
    gone = [Row("a", does="mark"), Row("b")]
    assert shop.sync(gone) == ["mark a"]
    assert shop.sync(gone) == []
    assert shop.effects == ["removed before", "unchanged"]
    assert shop.sync(put("ab")) == ["put a"]


@pytest.mark.parametrize("how", [{"refuses": "a"}, {"lost": "a"}])
@pytest.mark.parametrize(("gone", "call"), [([Row("a", does="mark")], "mark a"), ([], "remove a")])
def test_a_removal_that_came_to_nothing_is_tried_again(how: dict[str, Any], gone: list[Row], call: str) -> None:
    shop = Shop()
    shop.sync(put("ab"))
    rows = [*gone, Row("b")]
    assert shop.sync(rows, **how) == []
    assert shop.sync(rows) == [call]
    assert shop.sync(rows) == []


def test_the_marked_row_that_would_pass_the_share_is_not_sent() -> None:
    shop = Shop()
    people = [f"{n:03}" for n in range(200)]
    shop.sync(put(people))
    with pytest.raises(Failure, match="101 of 200 members"):
        shop.sync([Row(id_, does="mark") for id_ in people], ratio=0.5)
    assert len(shop.calls) == 100


def test_where_more_than_the_share_are_absent_none_is_removed() -> None:
    shop = Shop()
    people = [f"{n:03}" for n in range(200)]
    shop.sync(put(people))
    with pytest.raises(Failure, match="101 of 200 members"):
        shop.sync(put(people[101:]), ratio=0.5)
    assert shop.calls == []
    assert len(shop.sync(put(people[100:]), ratio=0.5)) == 100


@pytest.mark.parametrize("name", ["subscriptions", "tags"])
def test_a_row_that_is_rejected_before_any_call_counts_as_seen(name: str) -> None:
    shop = Shop(object_type=name)
    tags = ("t", "u") if name == "tags" else ("",)
    shop.sync([Row(id_, tags=tags) for id_ in "ab"])
    assert shop.sync([Row("a", does="invalid", tags=tags), Row("b", tags=tags)]) == []
    assert shop.sync([Row("b", tags=tags)]) == [f"remove a{tag and f' {tag}'}" for tag in tags]


@pytest.mark.parametrize("name", ["subscriptions", "tags"])
def test_a_row_that_is_rejected_keeps_what_its_subscription_has_from_other_streams(name: str) -> None:
    """What it said cannot be told: it may have named a tag that only another stream had put."""
    shop = Shop(object_type=name)
    tags = ("t",) if name == "tags" else Row("a").tags
    rows = [Row(id_, tags=tags) for id_ in "abc"]
    shop.sync(rows, of_b=rows[:1])
    rejected = [rows[0], Row("c", does="invalid", tags=tags)]
    assert shop.sync(rows[:2], of_b=rejected) == []
    assert shop.sync(rows[:2], of_b=rejected) == []
    assert shop.sync(rows[:2], of_b=rows[:1]) == [f"remove c{' t' if name == 'tags' else ''}"]


def test_who_is_still_to_be_removed_stays_while_no_row_comes() -> None:
    shop = Shop()
    shop.sync(put("ab"))
    shop.world.silent = {3: False}
    assert shop.sync(put("a")) == ["remove b"]
    assert shop.sync([], sync_mode="incremental") == []
    assert shop.sync([]) == []
    assert shop.sync(put("a"), sync_mode="incremental") == ["remove b"]


def test_a_row_without_an_id_keeps_all_who_are_absent() -> None:
    shop = Shop()
    shop.sync(put("ab"))
    assert shop.sync([*put("b"), Row("c", does="no id")]) == []
    assert shop.sync(put("b")) == ["remove a"]


def test_add_sends_whom_it_does_not_know() -> None:
    shop = Shop(audience_mode="add")
    assert shop.sync(put("a")) == ["put a"]
    assert shop.sync([Row("a", b"2"), Row("b")]) == ["put b"]


def test_only_tags_that_are_new_are_sent_and_unlisted_ones_go_at_once() -> None:
    shop = Shop(object_type="tags", row_lists_all_tags=True)
    assert shop.sync([Row("a", tags=("t", "u"))]) == ["put a t", "put a u"]
    assert shop.sync([Row("a", tags=("t", "v"))]) == ["put a v", "mark a u"]
    assert shop.sync([Row("a", tags=("t", "v"))]) == []
