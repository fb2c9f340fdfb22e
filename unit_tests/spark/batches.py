"""Arrow batches as far as a task looks at them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Column(NamedTuple):
    values: list[Any]
    late: bool = False

    def to_pylist(self) -> list[Any]:
        if self.late:
            raise OverflowError
        return list(self.values)


class Batch(NamedTuple):
    columns: list[Column]
    num_rows: int
    nbytes: int = 100

    def slice(self, start: int, length: int) -> Batch:
        parts = [column._replace(values=column.values[start : start + length]) for column in self.columns]
        return Batch(parts, min(length, self.num_rows - start))


def batch(*columns: list[Any]) -> Batch:
    return Batch([Column(values) for values in columns], len(columns[0]))
