"""Measure what delivery costs, and print it as ratios.

usage: python -m tools.bench [--quick] [--only a,b,...] [--json FILE] | --docs

Each figure is put into the file when it is through, in place of an older one. Needs nginx with its echo module, and
wrk; nothing is installed. The exit code is 0 whatever the figures are. Figures h and i take as long as all the
others, and are measured where they are named.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.bench.figures import ALL, FULL, QUICK, Figure
from tools.bench.results import conditions, judged, keep, put_into, told
from tools.bench.target import MissingTool, find_tools
from tools.environments import ROOT

RESULTS = ROOT / "docs" / "benchmarks.json"


def main() -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure delivery.")
    parser.add_argument("--quick", action="store_true", help="some 15 minutes instead of an hour, and more noise")
    parser.add_argument(
        "--only", default=",".join(sorted(ALL.keys() - {"h", "i"})), metavar="a,b,...", help="these figures only"
    )
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="the file of results")
    parser.add_argument("--docs", action="store_true", help="measure nothing, put the table into docs/benchmarks.md")
    args = parser.parse_args()
    if args.docs:
        put_into(RESULTS.with_suffix(".md"), args.json)
        return
    wanted = args.only.split(",")
    if unknown := [name for name in wanted if name not in ALL]:
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(ALL)}")
    try:
        find_tools()
    except MissingTool as missing:
        sys.exit(str(missing))
    for name in wanted:
        before, found = conditions(quick=args.quick), list[Figure]()
        for figure in ALL[name](QUICK if args.quick else FULL):
            found.append(figure)
            print(_line(figure), flush=True)
        keep(args.json, name, before, found)


def _line(figure: Figure) -> str:
    goal, verdict = judged(figure.goal, figure.reached, missed="MISSED")
    value = told(figure.value, figure.goal)
    return f"({figure.name}) {figure.what:<76} {value:>9}  {goal:<10} {verdict:<8} {figure.measured}"


if __name__ == "__main__":
    main()
