"""The results as tables, so that no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tools.bench.page import put_between
from tools.peers.contenders import ALL
from tools.peers.parts import CHANGED, EACH, END, LIMIT, PARTS, UNCHANGED, UNTRACKED
from tools.peers.results import Part, Run, Spread, calls_per_thousand, labels, median, ratios, spread

BEGIN = "<!-- by `make pictures`, from benchmarks-peers.json -->"
FINISH = "<!-- so far by `make pictures` -->"
PICTURES = {
    "rates": "Rows per second over the time that the server takes to answer",
    "limit": "Requests per second over time at a server that takes 200",
    "memory": "Peak memory over rows",
    "refresh": "Calls of a refresh with and without change tracking",
}
RATES = ("0ms", "20ms", "50ms", "200ms", "tags")
_HEADS = {"0ms": "0 ms", "20ms": "20 ms", "50ms": "50 ms", "200ms": "200 ms", "tags": "tags, 50 ms"}


def tables(parts: Mapping[str, Part]) -> str:
    """All tables that the parts have figures for, in Markdown, with when and where they were measured."""
    blocks = [_when(parts)]
    rates = {name: parts[name] for name in RATES if name in parts}
    if rates:
        blocks.append(_table("this connector's rows per second to its", rates, _ratio))
        blocks.append(_table("rows per second", rates, _rate))
    for name, block in (
        ("limit", _limit),
        ("failures", _failures),
        ("states", _states),
        ("refresh", _refresh),
        ("growth", _growth),
    ):
        if name in parts:
            head, *rows = block(parts[name])
            blocks.append(_lines(head, rows))
    return "\n\n".join(blocks) + "\n"


def put_into(page: Path, parts: Mapping[str, Part]) -> None:
    """Put the pictures that lie beside a page, and the tables, between its two marks."""
    files = {name: f"benchmarks-{name}.svg" for name in PICTURES}
    pictures = [f"![{PICTURES[name]}]({file})" for name, file in files.items() if (page.parent / file).exists()]
    blocks = [*pictures, tables(parts)]
    put_between(page, BEGIN, FINISH, "\n\n".join(blocks))


def _when(parts: Mapping[str, Part]) -> str:
    rows = []
    for name, part in parts.items():
        rounds = len({run.number for run in part.runs})
        rows.append([name, PARTS[name].about, part.date, part.machine, f"{part.load:.1f}", str(rounds)])
    return _lines(["Part", "The server, the work", "Measured", "Machine", "Load before", "Rounds"], rows)


def _table(title: str, rates: Mapping[str, Part], cell: Callable[[Part, str], str]) -> str:
    rows = []
    for name in labels(rates):
        cells = [cell(part, name) for part in rates.values()]
        if any(cells):
            rows.append([ALL[name].label, *cells])
    return _lines([title[0].upper() + title[1:], *(_HEADS[name] for name in rates)], rows)


def _ratio(part: Part, name: str) -> str:
    found = ratios(part, "ours", name) if name != "ours" else None
    return _spread(found, 2) if found else ""


def _rate(part: Part, name: str) -> str:
    runs = part.of(name)
    return _spread(spread([run.rate for run in runs]), 0) if runs else ""


def _limit(part: Part) -> Iterator[list[str]]:
    yield [f"Of a limit of {LIMIT} per s", "Rows", "Reached", "Refused", "Missing rows", "Repeated", "Ended"]
    for name in part.contenders():
        runs = part.of(name)
        reached = spread([100 * run.rate / LIMIT for run in runs])
        refused = spread([100 * run.refused / max(1, run.taken + run.refused) for run in runs])
        yield [ALL[name].label, _rows(runs), _spread(reached, 1, " %"), _spread(refused, 2, " %"), *_outcome(runs)]


def _failures(part: Part) -> Iterator[list[str]]:
    yield ["1 % of requests fail", "Rows", "Failures met", "Missing rows", "Repeated", "Ended"]
    for name in part.contenders():
        runs = part.of(name)
        yield [ALL[name].label, _rows(runs), f"{median(runs, lambda run: run.failed):,.0f}", *_outcome(runs)]


def _states(part: Part) -> Iterator[list[str]]:
    yield ["Rows per second", EACH, END, "To each other", "States that came out"]
    for name in part.contenders():
        each, end = part.of(name, EACH), part.of(name, END)
        pairs = spread([a.rate / b.rate for a, b in zip(each, end, strict=False) if b.rate] or [0.0])
        rates = [_spread(spread([run.rate for run in runs]), 0) if runs else "" for runs in (each, end)]
        states = f"{min(run.states for run in each):,} of {_rows(each)}" if each else ""
        yield [ALL[name].label, *rates, _spread(pairs, 2), states]


def _refresh(part: Part) -> Iterator[list[str]]:
    yield ["A refresh", "Rows", "Calls per 1,000 rows", "Rows per second"]
    for name in part.contenders():
        for case in (UNCHANGED, CHANGED, UNTRACKED):
            if runs := part.of(name, case):
                calls = median(runs, calls_per_thousand)
                rates = _spread(spread([run.rate for run in runs]), 0)
                yield [f"{ALL[name].label}, {case}", _rows(runs), f"{calls:,.0f}", rates]


def _growth(part: Part) -> Iterator[list[str]]:
    sizes = sorted({run.rows for run in part.runs})
    yield ["Peak memory, MB", *(f"{size:,} rows" for size in sizes), "CPU seconds per 100,000 rows", "and to start"]
    for name in part.contenders():
        runs = {run.rows: run for run in part.of(name)}
        memory = [f"{runs[size].peak_memory / 1e6:,.0f}" if size in runs else "" for size in sizes]
        found = cpu(list(runs.values()))
        yield [ALL[name].label, *memory, *((f"{found[0]:,.0f}", f"{found[1]:.1f}") if found else ("", ""))]


def cpu(runs: Sequence[Run]) -> tuple[float, float] | None:
    """CPU seconds per 100,000 rows more, and for none at all, from the smallest and the largest of some runs.

    None where there is but one size.
    """
    small, large = min(runs, key=_size), max(runs, key=_size)
    if small.rows == large.rows:
        return None
    each = (large.cpu_seconds - small.cpu_seconds) / (large.rows - small.rows)
    return 100_000 * each, small.cpu_seconds - each * small.rows


def _size(run: Run) -> int:
    return run.rows


def _outcome(runs: Sequence[Run]) -> list[str]:
    """The most missing and repeated rows, and how it ended: a loss that was told is another than one that was not."""
    silent = sum(run.exit_code == 0 and run.missing > 0 for run in runs)
    failed = sum(run.exit_code != 0 for run in runs)
    ended = f"{failed} of {len(runs)} with an error" if failed else "well"
    ended += f", {silent} without a word of what is missing" if silent else ""
    return [f"{max(run.missing for run in runs):,}", f"{max(run.repeated for run in runs):,}", ended]


def _rows(runs: Sequence[Run]) -> str:
    return f"{runs[0].rows:,}"


def _spread(found: Spread, digits: int, unit: str = "") -> str:
    low, middle, high = (f"{value:,.{digits}f}" for value in (found.low, found.median, found.high))
    return f"{middle}{unit}" if low == high else f"{middle}{unit} ({low} to {high})"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
