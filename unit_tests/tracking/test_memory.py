"""What is remembered, seen, owed and removed, over several syncs."""

from __future__ import annotations

from pathlib import Path

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.tracking.changes import Changes
from destination_cleverpush.tracking.entries import Standing
from destination_cleverpush.tracking.memory import Memory
from destination_cleverpush.words import Stream, StreamId
from unit_tests.tracking.world import TODAY, Attempt, Kill, Load, Row, SamePlace, World, put

USERS = StreamId("users")


@pytest.fixture
def place(tmp_path: Path) -> SamePlace:
    return SamePlace(tmp_path / "memory.db")


def sync(world: World, place: SamePlace, *loads: Load, **options: object) -> Attempt:
    world.never_remove.clear()
    return Attempt(world, place, loads, **options).run()  # type: ignore[arg-type]


def refresh(number: int, rows: list[Row], name: str = "users", **fields: object) -> Load:
    return Load(name, rows, generation=number, sync=100 + number, **fields)  # type: ignore[arg-type]


def ids(world: World) -> str:
    return "".join(sorted(id_ for id_, _ in world.has))


def test_an_equal_row_costs_no_call_and_a_changed_one_does(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("abc")))
    assert len(world.log) == 3
    sync(world, place, refresh(2, put("abc")))
    assert len(world.log) == 3
    sync(world, place, refresh(3, [*put("ab"), Row("c", b"2")]))
    assert world.log[3:] == [("put", "users", "c", "")]


def test_rows_1_2_1_of_one_member_end_in_1(place: SamePlace) -> None:
    world = World()
    rows = [Row("a", b"1"), Row("a", b"2"), Row("a", b"1")]
    sync(world, place, refresh(1, put("a")))
    sync(world, place, refresh(2, rows))
    assert world.has["a", ""] == {"users": b"1"}
    assert len(world.log) == 3
    sync(world, place, refresh(3, rows[:1]))
    assert len(world.log) == 3


def test_put_marked_put_ends_put(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("a")))
    sync(world, place, refresh(2, [Row("a"), Row("a", does="mark"), Row("a")]))
    assert ids(world) == "a"
    assert [call[0] for call in world.log] == ["put", "mark", "put"]


def test_a_marked_row_is_sent_once_and_when_it_is_put_again_it_is_sent_as_it_was(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("ab")))
    for number in (2, 3, 4):
        sync(world, place, refresh(number, [Row("a", does="mark"), Row("b")]))
    assert [call[0] for call in world.log] == ["put", "put", "mark"]
    sync(world, place, refresh(5, put("ab")))
    assert [call[0] for call in world.log[3:]] == ["put"]


def test_a_marked_row_that_leaves_is_forgotten_without_a_call(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, [Row("a", does="mark"), Row("b")]))
    sync(world, place, refresh(2, put("b")))
    assert len(world.log) == 2
    assert place.database.count(1) == {Standing.TAKEN: 1}


def test_the_absent_of_a_whole_pass_are_removed(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("abcd")))
    sync(world, place, refresh(2, put("ad")))
    assert ids(world) == "ad"
    assert place.database.count(1) == {Standing.TAKEN: 2}


def test_more_than_a_page_of_members(place: SamePlace) -> None:
    world = World()
    many = [f"{number:05d}" for number in range(12_000)]
    sync(world, place, refresh(1, put(many)), batch=6_000)
    sync(world, place, refresh(2, put(many[::2])), batch=6_000)
    assert sorted(id_ for id_, _ in world.has) == many[::2]
    assert place.database.count(1) == {Standing.TAKEN: 6_000}


def test_rows_of_an_attempt_before_count_as_seen_where_it_is_continued(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("abcd")))
    world.points_left = 3
    rows = put("abcd")
    with pytest.raises(Kill):
        sync(world, place, refresh(2, rows), batch=2)
    world.points_left = -1
    sync(world, place, refresh(2, rows, after="b"), batch=2)
    assert ids(world) == "abcd"
    sync(world, place, refresh(3, put("ad")))
    assert ids(world) == "ad"


def test_an_attempt_after_the_pass_has_ended_removes_nobody(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("abcd")))
    sync(world, place, refresh(2, put("abc")))
    sync(world, place, refresh(2, put("c"), after="b"))
    assert ids(world) == "abc"


def test_a_member_stays_while_another_stream_has_it(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("ab")), refresh(1, put("bc"), "leads"))
    sync(world, place, refresh(2, put("a")), refresh(2, put("bc"), "leads"))
    assert ids(world) == "abc"
    assert place.database.count(1) == {Standing.TAKEN: 1, Standing.OWED: 1}
    sync(world, place, refresh(3, put("a")), refresh(3, put("c"), "leads"))
    assert ids(world) == "ac"
    assert place.database.count(1) == {Standing.TAKEN: 1}


def test_a_marked_member_stays_while_another_stream_has_it(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("ab")), refresh(1, put("bc"), "leads"))
    marked = [Row("a"), Row("b", does="mark")]
    sync(world, place, refresh(2, marked), refresh(2, put("bc"), "leads"))
    assert ids(world) == "abc"
    sync(world, place, refresh(3, marked), refresh(3, put("c"), "leads"))
    assert ids(world) == "ac"
    calls = len(world.log)
    sync(world, place, refresh(4, marked), refresh(4, put("c"), "leads"))
    assert len(world.log) == calls


def test_streams_that_are_not_in_the_catalog_keep_what_they_have_and_are_named(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("ab")), refresh(1, put("bc"), "leads"))
    memory = Memory(place)
    memory.open_stream(refresh(2, []).stream, "subscriptions", "own", "s")
    assert memory.left_out() == [StreamId("leads")]
    sync(world, place, refresh(2, put("a")))
    assert ids(world) == "ac"


def test_a_stream_that_comes_back_sends_what_was_removed_meanwhile(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("ab")), refresh(1, put("bc"), "leads"))
    sync(world, place, refresh(2, put("a")))
    sync(world, place, refresh(3, put("a")), refresh(3, put("bc"), "leads"))
    assert ids(world) == "abc"
    sync(world, place, refresh(4, [Row("a", does="mark")]))
    sync(world, place, refresh(5, [*put("a"), Row("c", does="mark")]))
    sync(world, place, refresh(6, put("a")), refresh(6, put("bc"), "leads"))
    assert ids(world) == "abc"


def test_what_cannot_be_removed_stays_owed_and_a_row_takes_it_off_the_list(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("abcd")))
    memory = Memory(place, TODAY, 102)
    load = refresh(2, put("a"))
    memory.open_stream(load.stream, "subscriptions", "own", "s")
    memory.meet(USERS, [("a", None)])
    assert memory.absent(USERS) == 3
    assert memory.let_go(USERS) == 3
    assert [[removal.id for removal in batch] for batch in memory.owed([USERS])] == [["b", "c", "d"]]
    memory.end_pass(USERS)
    memory.close()
    rejected_before_a_call = refresh(3, put("a"))
    memory = Memory(place, TODAY, 103)
    memory.open_stream(rejected_before_a_call.stream, "subscriptions", "own", "s")
    memory.meet(USERS, [("a", None), ("b", None), ("c", None)])
    assert memory.absent(USERS) == 0
    assert [[removal.id for removal in batch] for batch in memory.owed([USERS])] == [["d"]]
    memory.close()
    sync(world, place, refresh(4, put("abc")))
    assert ids(world) == "abc"
    assert [call[2] for call in world.log[4:]] == ["b", "c", "d"]


def test_an_attempt_that_fails_leaves_its_member_in_doubt(place: SamePlace) -> None:
    world = World(silent={2: True, 4: False})
    sync(world, place, refresh(1, put("ab")))
    assert place.database.count(1) == {Standing.TAKEN: 1, Standing.DOUBT: 1}
    sync(world, place, refresh(1, put("ab")))
    sync(world, place, refresh(2, [Row("a"), Row("b", b"2")]))
    sync(world, place, refresh(3, put("ab")))
    assert world.has["b", ""] == {"users": b"1"}
    assert len(world.log) == 5


def test_a_new_row_that_is_refused_is_no_member(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, [Row("a"), Row("b", does="refused")]))
    assert place.database.count(1) == {Standing.TAKEN: 1, Standing.NAMED: 1}
    sync(world, place, refresh(2, [Row("a", b"2", "refused")]))
    assert place.database.count(1) == {Standing.TAKEN: 1}
    sync(world, place, refresh(3, put("a")))
    assert len(world.log) == 1


def test_a_member_stays_while_a_row_of_another_stream_names_it_though_it_is_refused(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("ab")))
    for number in (2, 3):
        sync(world, place, refresh(number, put("a")), refresh(number, [Row("b", does="refused")], "leads"))
        assert ids(world) == "ab"
    sync(world, place, refresh(4, put("a")), refresh(4, put("a"), "leads"))
    assert ids(world) == "a"


def test_a_changed_mapping_sets_the_members_aside(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("ab")))
    found = sync(world, place, refresh(2, put("xy"), signature="other"))
    assert any("set aside" in notice for notice in found.notices)
    found = sync(world, place, refresh(3, put("x"), signature="other"))
    assert not found.notices
    assert ids(world) == "abx"
    sync(world, place, refresh(4, put("a")))
    assert ids(world) == "abx"


def test_members_whose_setting_aside_came_to_nothing_are_not_taken_for_unchanged(place: SamePlace) -> None:
    """While another mapping was tried, a row of one stream removed somebody, and none of the other stream came."""
    world = World()
    sync(world, place, refresh(1, put("ab")), refresh(1, put("ab"), "leads"))
    marked = refresh(2, [Row("a", does="mark")], signature="other")
    sync(world, place, marked, refresh(2, [], "leads", signature="other"))
    assert "a" not in ids(world)
    sync(world, place, refresh(3, put("ab"), "leads"))
    assert world.has["a", ""] == {"leads": b"1"}


def test_a_stream_is_left_out_where_the_catalog_lacks_it_and_not_where_its_mapping_changed(place: SamePlace) -> None:
    sync(World(), place, refresh(1, put("a")), refresh(1, put("a"), "leads"))
    memory = Memory(place, TODAY, 102)
    memory.open_stream(refresh(2, []).stream, "subscriptions", "own", "other")
    assert memory.left_out() == [StreamId("leads")]


def test_a_stream_of_which_nothing_came_leaves_no_trace(place: SamePlace) -> None:
    sync(World(), place, refresh(1, []))
    assert place.database.populations() == []


def test_nobody_is_removed_by_an_empty_pass_or_in_an_incremental_sync(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("ab")))
    found = sync(world, place, refresh(2, []))
    assert any("no row" in notice for notice in found.notices)
    sync(world, place, refresh(3, put("a"), sync_mode="incremental"))
    assert ids(world) == "ab"
    sync(world, place, refresh(4, put("a")))
    assert ids(world) == "a"


def test_rows_without_id_in_an_earlier_attempt_keep_the_absent(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, put("abc")))
    sync(world, place, refresh(2, [Row("a"), Row("b", does="no id")], complete=False), batch=1)
    sync(world, place, refresh(2, put("abc"), after="b"))
    assert ids(world) == "abc"
    sync(world, place, refresh(3, put("ac")))
    assert ids(world) == "ac"


def test_pairs_are_seen_removed_and_kept_apart(place: SamePlace) -> None:
    world = World()
    rows = [Row("a", tags=("t", "u")), Row("b", tags=("t",))]
    sync(world, place, refresh(1, rows), object_name="tags")
    sync(world, place, refresh(2, [Row("a", tags=("u",)), Row("b", tags=("t",))]), object_name="tags")
    assert sorted(world.has) == [("a", "u"), ("b", "t")]


def test_a_rejected_row_counts_all_pairs_of_its_subscription_as_seen(place: SamePlace) -> None:
    world = World()
    sync(world, place, refresh(1, [Row("a", tags=("t", "u")), Row("b", tags=("t",))]), object_name="tags")
    memory = Memory(place, TODAY, 102)
    memory.open_stream(refresh(2, []).stream, "tags", "own", "s")
    memory.meet(USERS, [("a", None)])
    assert memory.absent(USERS) == 1


def test_an_id_that_another_member_has_by_now_is_not_removed(place: SamePlace) -> None:
    def remember(number: int, natives: dict[str, tuple[str, ...]]) -> Memory:
        memory = Memory(place, TODAY, 100 + number)
        memory.open_stream(refresh(number, []).stream, "subscriptions", "own", "s")
        members = memory.meet(USERS, [(id_, None) for id_ in natives])
        memory.note_in_doubt((member, ("",)) for member in members)
        for member in members:
            member.begin()
            member.took(b"1", TODAY, None, native=natives[member.id])
        memory.settle((member, True) for member in members)
        memory.commit()
        return memory

    remember(1, {"old": ("N1",), "two": ("N2", "N3"), "gone": ("N4",)})
    memory = remember(2, {"new": ("N1",), "other": ("N3", "[N9")})
    memory.let_go(USERS)
    found = {removal.id: (removal.native, removal.shared) for batch in memory.owed([USERS]) for removal in batch}
    assert found == {"old": ((), ("N1",)), "two": (("N2",), ("N3",)), "gone": (("N4",), ())}


def test_names_of_attributes_are_remembered_as_bits(place: SamePlace) -> None:
    memory = Memory(place)
    memory.open_stream(refresh(1, []).stream, "subscriptions", "own", "s")
    bits = memory.name_bits(USERS, ["b", "a"])
    assert sorted(memory.names(USERS, bits)) == ["a", "b"]
    more = memory.name_bits(USERS, [f"n{number}" for number in range(100)] + ["a"])
    (member,) = memory.meet(USERS, [("m", None)])
    memory.note_in_doubt([(member, ("",))])
    member.took(b"1", TODAY, None, names=more)
    memory.settle([(member, True)])
    memory.close()
    memory = Memory(place)
    memory.open_stream(refresh(2, []).stream, "subscriptions", "own", "s")
    (member,) = memory.meet(USERS, [("m", None)])
    assert member.entry
    assert len(memory.names(USERS, member.entry.names)) == 101
    assert memory.names(USERS, bits) == ["a", "b"]


def test_a_failed_commit_is_the_last(place: SamePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(place)
    memory.open_stream(refresh(1, []).stream, "subscriptions", "own", "s")
    (member,) = memory.meet(USERS, [("m", None)])

    def fail(changes: Changes) -> None:
        raise Failure(FailureKind.TRANSIENT, "disk full")

    monkeypatch.setattr(place, "commit", fail)
    with pytest.raises(Failure, match="disk full"):
        memory.note_in_doubt([(member, ("",))])
    monkeypatch.undo()
    for use in (memory.commit, lambda: memory.meet(USERS, [("n", None)])):
        with pytest.raises(Failure, match="disk full"):
            use()


def test_streams_of_one_object_with_different_kinds_of_id_are_told(place: SamePlace) -> None:
    memory = Memory(place)
    memory.open_stream(refresh(1, []).stream, "subscriptions", "own", "s")
    assert not memory.mixed_kinds(USERS)
    memory.open_stream(Stream(StreamId("leads"), {}), "subscriptions", "native", "s")
    assert memory.mixed_kinds(USERS)


def test_ids_of_any_characters_are_told_apart(place: SamePlace) -> None:
    world = World()
    odd = sorted(["\ud800", "é", "a\0b", "a\0", "a", "A", " a", "[", "'", "\U0001f600" * 3_000])
    sync(world, place, refresh(1, put(odd)), batch=20)
    sync(world, place, refresh(2, put(odd)), batch=20)
    assert len(world.log) == len(odd)
