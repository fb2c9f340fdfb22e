"""Virtual environments for tools that want one of their own, under `build/`."""

from __future__ import annotations

import shutil
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(name: str, *requirements: str) -> Path:
    """The `bin` folder of an environment with these requirements, made anew where it is missing or has others."""
    folder = ROOT / "build" / name
    done = folder / "installed"
    wanted = "\n".join(requirements)
    if not done.exists() or done.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *requirements], check=True)
        done.write_text(wanted)
    return folder / "bin"
