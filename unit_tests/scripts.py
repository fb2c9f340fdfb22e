"""Scripts for tests."""

from __future__ import annotations

from collections.abc import Iterable

from destination_cleverpush.words import Operation, Script


def one_by_one(operations: Iterable[Operation]) -> Script:
    """A script that makes the calls in order, whatever becomes of each."""
    for operation in operations:  # noqa: UP028 - a list takes no answers
        yield operation
