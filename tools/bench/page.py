"""What was measured, put into a page of the documentation."""

from __future__ import annotations

from pathlib import Path


def put_between(page: Path, begin: str, finish: str, text: str) -> None:
    """Put a text between two marks of a page, in place of what stands there.

    Raises:
        ValueError: it has no such marks.
    """
    before, _, rest = page.read_text().partition(begin)
    _, mark, after = rest.partition(finish)
    if not mark:
        raise ValueError(f"{page.name} has no place for the tables")
    page.write_text(f"{before}{begin}\n\n{text}\n{finish}{after}")
