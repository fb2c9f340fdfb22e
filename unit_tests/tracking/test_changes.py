"""Changes as bytes: there and back, merged, damaged, cut off."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.tracking.changes import CHUNK_BYTES, Changes, decode, encode, merge
from destination_cleverpush.tracking.entries import Entry

ENTRY = st.builds(
    Entry,
    st.integers(0, 3),
    st.binary(max_size=16),
    st.integers(0, 40_000),
    st.none() | st.integers(0, 2**62),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
    st.binary(max_size=3),
    st.integers(0, 2**40),
)
KEYS = st.tuples(st.integers(1, 3), st.text(max_size=4).map(str.encode), st.sampled_from([b"", b"t"]))
CHANGES = st.builds(
    Changes,
    st.sets(st.integers(1, 3), max_size=1),
    st.sets(st.integers(1, 3), max_size=1),
    st.dictionaries(st.integers(1, 3), st.text(max_size=5), max_size=2),
    st.dictionaries(KEYS, st.none() | ENTRY, max_size=5),
    st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 2)), st.binary(min_size=1, max_size=9), max_size=3),
)


class Dicts:
    """What a database would hold."""

    def __init__(self) -> None:
        self.about: dict[int, str] = {}
        self.entries: dict[object, Entry] = {}
        self.marks: dict[tuple[int, int], bytes] = {}

    def apply(self, changes: Changes) -> None:
        for gone in changes.dropped:
            self.about.pop(gone, None)
            self.entries = {key: entry for key, entry in self.entries.items() if key[0] != gone}  # type: ignore[index]
        for gone in changes.dropped | changes.cleared:
            self.marks = {key: bits for key, bits in self.marks.items() if key[0] != gone}
        self.about |= changes.about
        for key, entry in changes.entries.items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry
        self.marks |= changes.marks


def applied(segments: list[bytes]) -> dict[str, object]:
    found = Dicts()
    for segment in segments:
        for changes in decode(segment):
            found.apply(changes)
    return vars(found)


@given(st.lists(CHANGES, max_size=5))
def test_segments_say_what_the_changes_said_also_when_they_are_merged(all_changes: list[Changes]) -> None:
    expected = Dicts()
    for changes in all_changes:
        expected.apply(changes)
    segments = [encode(changes) for changes in all_changes]
    assert applied(segments) == vars(expected)
    merged = merge(segments)
    assert applied([merged]) == vars(expected)
    assert applied([merge([merged, *segments])]) == vars(expected)


def test_a_segment_that_is_cut_off_or_damaged_is_no_segment() -> None:
    whole = encode(Changes(entries={(1, b"a", b""): Entry(0, b"12345678")}, marks={(1, 0): bytes(CHUNK_BYTES)}))
    for length in range(1, len(whole)):
        with suppress(ValueError):
            assert list(decode(whole[:length])) != list(decode(whole))
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        with suppress(ValueError):  # and nothing else; what still reads is found out by its checksum
            list(decode(bytes(damaged)))
    with pytest.raises(ValueError, match="cut off"):
        list(decode(whole[:-1]))
    with pytest.raises(ValueError, match="cut off"):
        merge([whole[:5]])


def test_old_marks_are_not_kept_in_what_is_merged() -> None:
    import secrets

    segments = [encode(Changes(marks={(1, 0): secrets.token_bytes(CHUNK_BYTES)})) for _ in range(16)]
    assert len(merge(segments)) < 2 * CHUNK_BYTES
