"""Measure what delivery costs, and print it as ratios.

usage: python -m tools.bench [--quick] [--only a,b,...] [--json FILE]

Needs nginx with its echo module, and wrk; nothing is installed. The exit code is 0 whatever the figures are. Figure h
takes as long as all the others, and is measured where it is named.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tools.bench.figures import ALL, FULL, QUICK, Figure
from tools.bench.target import MissingTool, find_tools, processors


def main() -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure delivery.")
    parser.add_argument("--quick", action="store_true", help="some 4 minutes instead of 20, and more noise")
    parser.add_argument(
        "--only", default=",".join(sorted(ALL.keys() - {"h"})), metavar="a,b,...", help="these figures only"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file, too")
    args = parser.parse_args()
    wanted = args.only.split(",")
    if unknown := [name for name in wanted if name not in ALL]:
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(ALL)}")
    try:
        find_tools()
    except MissingTool as missing:
        sys.exit(str(missing))
    effort, found = QUICK if args.quick else FULL, []
    print(f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {processors()}", flush=True)
    for name in wanted:
        for figure in ALL[name](effort):
            found.append(figure)
            print(_line(figure), flush=True)
    if args.json:
        args.json.write_text(json.dumps([asdict(figure) for figure in found], indent=2) + "\n")


def _line(figure: Figure) -> str:
    unit = figure.goal.rpartition(" ")[2]
    value = f"{figure.value:.1f} MB" if unit == "MB" else f"{figure.value:,.0f} {unit}"
    if figure.goal.endswith("%"):
        value = f"{figure.value:.2%}"
    verdict = "reached" if figure.reached else "MISSED"
    return f"({figure.name}) {figure.what:<66} {value:>9}  goal {figure.goal:<8} {verdict:<8} {figure.measured}"


if __name__ == "__main__":
    main()
