"""The figures in their file, and as the table of the page, so that none is typed by hand."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.bench.figures import Figure
from tools.bench.page import put_between
from tools.bench.target import processors

BEGIN = "<!-- by `make bench`, from benchmarks.json -->"
FINISH = "<!-- so far by `make bench` -->"


def conditions(*, quick: bool) -> dict[str, Any]:
    """When and where something is measured, and how busy the machine is before."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": processors(),
        "python": platform.python_version(),
        "form": "quick" if quick else "full",
        "load": round(os.getloadavg()[0], 1),
    }


def keep(file: Path, name: str, measured: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Put what was measured into the file, in place of an older measurement of that name."""
    found = json.loads(file.read_text()) if file.exists() else {}
    found[name] = {**measured, "figures": [asdict(figure) for figure in figures]}
    file.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


def put_into(page: Path, file: Path) -> None:
    """Put the table between the page's two marks.

    Raises:
        ValueError: it has none.
    """
    put_between(page, BEGIN, FINISH, "\n".join(_table(json.loads(file.read_text()))) + "\n")


def told(value: float, goal: str) -> str:
    """A figure in the unit of its goal."""
    unit = goal.rpartition(" ")[2]
    if goal.endswith("%"):
        return f"{value:.2%}" if abs(value) < 0.1 else f"{value:.1%}"
    return f"{value:.1f} {unit}" if unit in ("MB", "s", "ms") else f"{value:,.0f} {unit}"


def judged(goal: str, reached: bool, *, missed: str) -> tuple[str, str]:
    """The goal and whether it is reached; two empty texts where a figure is only told."""
    return ("", "") if goal.startswith("told") else (goal, "reached" if reached else missed)


def _table(found: dict[str, Any]) -> Iterator[str]:
    yield "| | Figure | Measured | Goal | | |"
    yield "|---|---|---|---|---|---|"
    for of in found.values():
        for each in of["figures"]:
            goal, verdict = judged(each["goal"], each["reached"], missed="**missed**")
            value = told(each["value"], each["goal"])
            yield f"| {each['name']} | {each['what']} | {value} | {goal} | {verdict} | {each['measured']} |"
    yield ""
    for name, of in found.items():
        yield (
            f"- {name}: {of['date']}, {of['machine']}, Python {of['python']}, {of['form']} form, load before it "
            f"{of['load']}"
        )
