"""Measure this connector beside its peers, or print what was measured.

usage: python -m tools.peers [--quick] [--minutes N] [--only a,b,...] [--json FILE]
       python -m tools.peers --table | --docs [--json FILE]

Each part is put into the file when it is through, in place of an older one of that name; so it can be stopped, and
parts can be measured at another time. Needs nginx with its echo module and wrk; peers are installed under `build/`.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

from tools.bench.target import MissingTool, find_tools, processors
from tools.environments import ROOT
from tools.peers.contenders import make_environments, versions
from tools.peers.parts import PARTS, Effort, load
from tools.peers.results import Part, Run, merge, read
from tools.peers.tables import put_into, tables

RESULTS = ROOT / "docs" / "benchmarks-peers.json"
FULL_MINUTES, QUICK_MINUTES = 60.0, 10.0
FULL_ROUNDS, QUICK_ROUNDS = 5, 2


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tools.peers", description="Measure delivery beside peers.")
    parser.add_argument("--quick", action="store_true", help="two rounds instead of five, some 10 minutes")
    parser.add_argument("--minutes", type=float, help="about how long all parts together may take (default 60)")
    parser.add_argument("--only", default=",".join(PARTS), metavar="a,b,...", help="these parts, in all the time")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="the file of results")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the tables of the file")
    parser.add_argument("--docs", action="store_true", help="measure nothing, put the tables into docs/benchmarks.md")
    args = parser.parse_args()
    if args.docs:
        put_into(RESULTS.with_name("benchmarks.md"), read(args.json))
        return
    if args.table:
        print(tables(read(args.json)), end="")
        return
    wanted = args.only.split(",")
    if unknown := [name for name in wanted if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    try:
        find_tools()
    except MissingTool as missing:
        sys.exit(str(missing))
    make_environments()
    minutes = args.minutes or (QUICK_MINUTES if args.quick else FULL_MINUTES)
    measure(wanted, minutes * 60, QUICK_ROUNDS if args.quick else FULL_ROUNDS, args.json)


def measure(wanted: list[str], seconds: float, rounds: int, file: Path) -> None:
    """Measure parts one after the other; what one leaves of its time goes to those after it."""
    until = time.monotonic() + seconds
    for place, name in enumerate(wanted):
        left = until - time.monotonic()
        share = PARTS[name].weight / sum(PARTS[later].weight for later in wanted[place:])
        effort = Effort(rounds, max(1.0, left * share))
        before, began, runs = load(), time.strftime("%Y-%m-%d"), list[Run]()
        print(f"{name}: {PARTS[name].about}; some {effort.seconds / 60:.1f} minutes, load {before}", flush=True)
        for run in PARTS[name].runs(effort):
            runs.append(run)
            print(_line(run), flush=True)
        of = {"python": platform.python_version(), **versions()}
        merge(file, name, Part(began, processors(), before, of, runs), list(PARTS))


def _line(run: Run) -> str:
    ended = "killed" if run.exit_code is None else f"exit code {run.exit_code}" if run.exit_code else ""
    counts = {name: getattr(run, name) for name in ("refused", "failed", "missing", "repeated")}
    notes = [f"{count} {name}" for name, count in counts.items() if count] + [ended] * bool(ended)
    return (
        f"  {run.number + 1} {run.contender:<10} {run.case:<26} {run.rows:>9,} rows {run.rate:>9,.1f} per s"
        f" {run.seconds:>7.1f} s {run.cpu_seconds:>7.1f} s CPU {run.peak_memory / 1e6:>6.0f} MB  {', '.join(notes)}"
    )


if __name__ == "__main__":
    main()
