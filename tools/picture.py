"""`make picture`: docs/terminal.svg, a picture of the real program at a terminal, against a simulated CleverPush."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from integration_tests.simulator.process import start_simulator
from tools.terminal import at_terminal

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_files"
PICTURE = ROOT / "docs" / "terminal.svg"
WIDTH = 80
COMMANDS = (
    "check --config config.json",
    "send people.csv --config config.json --dry-run",
    "send people.csv --config config.json",
)


def main() -> None:
    """Run the commands and draw what they print."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"), force_terminal=True)  # noqa: PTH123, SIM115
    program = str(Path(sys.executable).with_name("destination-cleverpush"))
    simulator_config = json.loads((SAMPLES / "simulator.json").read_text(encoding="utf-8"))
    config = json.loads((SAMPLES / "subscriptions" / "upsert.json").read_text(encoding="utf-8"))
    with start_simulator(simulator_config) as simulator, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(SAMPLES / "people.csv", folder)
        (folder / "config.json").write_text(json.dumps(config | {"advanced": {"base_url": simulator.url}}))
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "dim"), (f"destination-cleverpush {command}", "bold")))
            code, lines = at_terminal([program, *command.split()], WIDTH, folder)
            if code:
                raise SystemExit(f"{command} ended with {code}")
            for line in lines:
                text = Text.from_ansi(line.replace(simulator.url, "http://localhost:8080"))
                console.print(text, no_wrap=True, crop=False, overflow="ignore")
            console.print()
    console.save_svg(str(PICTURE), title="destination-cleverpush", unique_id="terminal")
    print(f"{PICTURE.relative_to(ROOT)} is drawn.")


if __name__ == "__main__":
    main()
