"""`python -m tools.peers.pictures`: draw the results as SVG files beside docs/benchmarks.md: `make pictures`.

matplotlib gets an environment of its own under `build/`, in which this program starts itself again. The same results
give the same files. The ground is transparent, and colours can be read on white and on a dark page alike.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.environments import ROOT, environment
from tools.peers.results import BUCKET_SECONDS, Part, calls_per_thousand, median, read, spread

REQUIREMENT = "matplotlib==3.11.2"
RESULTS = ROOT / "docs" / "benchmarks-peers.json"
LIMIT = 200  # requests per second, as tools.peers.parts sets it
LATENCIES = {"0ms": "0", "20ms": "20", "50ms": "50", "200ms": "200"}

_INK, _TAKEN, _REFUSED = "#757d87", "#2a7de1", "#d9534f"
# Colour, marker, line and name of a contender; none is told from another by its colour alone.
STYLES: Mapping[str, tuple[str, str, str, str]] = {
    "ours": ("#2a7de1", "o", "-", "this connector"),
    "ours-64": ("#2a7de1", "s", "--", "this connector, 64 in flight"),
    "dlt": ("#c06a1f", "^", "-", "dlt, 20 workers"),
    "dlt-64": ("#c06a1f", "v", "--", "dlt, 64 workers"),
    "drt": ("#8957e5", "D", "-", "drt"),
    "plain": ("#3a9648", "P", "-", "plain Python destination"),
    "wrk": (_INK, "x", ":", "wrk, 64 connections"),
}
_SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": _INK,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.alpha": 0.25,
    "grid.color": _INK,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "savefig.transparent": True,
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "peers",  # the same names of parts in each drawing
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}

Parts = Mapping[str, Part]


def draw_rates(parts: Parts, plt: Any) -> Any:
    """Rate over latency, medians with all that was measured."""
    figure, axes = plt.subplots(figsize=(8, 4.2))
    for name, (colour, marker, line, label) in STYLES.items():
        points = {place: parts[key].of(name) for place, key in enumerate(LATENCIES) if key in parts}
        points = {place: runs for place, runs in points.items() if runs}
        found = [spread([run.rate for run in runs]) for runs in points.values()]
        middles = [one.median for one in found]
        ends = [[one.median - one.low for one in found], [one.high - one.median for one in found]]
        looks = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5, "capsize": 3}
        if found:
            axes.errorbar(list(points), middles, yerr=ends, label=label, **looks)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(_thousands)
    axes.set_xticks(range(len(LATENCIES)), list(LATENCIES.values()))
    axes.set_xlabel("the server answers after (ms)")
    axes.set_ylabel("rows per second")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_limit(parts: Parts, plt: Any) -> Any:
    """Rate over time at a server with a limit, of each one's first run."""
    names = [name for name in parts["limit"].contenders() if name in STYLES]
    figure, grid = plt.subplots(len(names), 1, figsize=(8, 1.5 * len(names) + 0.7), sharex=True, sharey=True)
    for name, axes in zip(names, [grid] if len(names) == 1 else grid, strict=True):
        halves = parts["limit"].of(name)[0].timeline
        edges = [BUCKET_SECONDS * place for place in range(len(halves) + 1)]
        taken, refused = ([half[which] / BUCKET_SECONDS for half in halves] for which in (0, 1))
        axes.stairs(taken, edges, color=_TAKEN, linewidth=1.5, label="taken")
        if any(refused):
            axes.stairs(refused, edges, color=_REFUSED, linewidth=1.2, linestyle=":", label="refused")
        axes.axhline(LIMIT, color=_INK, linewidth=1.2, linestyle="--", label=f"the server's limit, {LIMIT} per second")
        axes.set_title(STYLES[name][3], loc="left", fontsize=10)
    figure.axes[-1].set_xlabel("seconds since the first request")
    figure.supylabel("requests per second", color=_INK, fontsize=10)
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        lines, texts = axes.get_legend_handles_labels()
        handles.update(zip(texts, lines, strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=3)
    return figure


def draw_memory(parts: Parts, plt: Any) -> Any:
    """Peak memory over rows."""
    figure, axes = plt.subplots(figsize=(8, 3.6))
    for name in parts["growth"].contenders():
        colour, marker, line, label = STYLES[name]
        runs = parts["growth"].of(name)
        looks = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5, "label": label}
        axes.plot([run.rows for run in runs], [run.peak_memory / 1e6 for run in runs], **looks)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_thousands)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("rows of the sync")
    axes.set_ylabel("peak memory (MB)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_refresh(parts: Parts, plt: Any) -> Any:
    """Calls of a refresh with and without tracking."""
    part = parts["refresh"]
    bars: dict[str, tuple[float, str]] = {}
    for name in part.contenders():
        for case in dict.fromkeys(run.case for run in part.of(name)):
            calls = median(part.of(name, case), calls_per_thousand)
            bars[f"{STYLES[name][3]}, {case}"] = calls, STYLES[name][0]
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(bars) + 0.8))
    drawn = axes.barh(list(bars), [calls for calls, _ in bars.values()], color=[colour for _, colour in bars.values()])
    axes.bar_label(drawn, fmt="{:,.0f}", padding=4, color=_INK)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(right=1150)
    axes.xaxis.set_major_formatter(_thousands)
    axes.set_xlabel("calls per 1,000 rows that are read")
    return figure


PICTURES: Mapping[str, tuple[tuple[str, ...], Callable[[Parts, Any], Any]]] = {
    "rates": (tuple(LATENCIES), draw_rates),
    "limit": (("limit",), draw_limit),
    "memory": (("growth",), draw_memory),
    "refresh": (("refresh",), draw_refresh),
}


def draw(file: Path, folder: Path) -> None:
    """Draw what the file of results has figures for, as `benchmarks-<name>.svg`."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams.update(_SETTINGS)
    parts = read(file)
    for name, (needed, drawing) in PICTURES.items():
        if any(part in parts for part in needed):
            path = folder / f"benchmarks-{name}.svg"
            drawing(parts, pyplot).savefig(path, metadata={"Date": None, "Creator": None})
            lines = path.read_text().splitlines()
            path.write_text("\n".join(line.rstrip() for line in lines) + "\n")
            print(path.name)


def _thousands(value: float, _place: object) -> str:
    return f"{value:,.0f}"


def main() -> None:
    """Draw, or start again where matplotlib is."""
    parser = argparse.ArgumentParser(prog="python -m tools.peers.pictures", description="Draw the results.")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="the file of results")
    parser.add_argument("--to", type=Path, default=RESULTS.parent, metavar="FOLDER", help="where the pictures go")
    args = parser.parse_args()
    if importlib.util.find_spec("matplotlib") is not None:
        draw(args.json, args.to)
        return
    python = environment("pictures", REQUIREMENT) / "python"
    command = [str(python), "-m", "tools.peers.pictures", "--json", str(args.json), "--to", str(args.to)]
    sys.exit(subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode)


if __name__ == "__main__":
    main()
