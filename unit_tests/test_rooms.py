"""Who may know whom (docs/architecture.md) is held by tools: a planted import is found, and the rule is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = "Rooms know only the rooms below them BROKEN"
STORAGE = "Only keepers know the storage BROKEN"
FORBIDDEN = {
    "spark": ["airbyte"],
    "sync": ["airbyte", "spark"],
    "config": ["sync"],
    "objects": ["api", "delivery"],
    "api": ["objects", "delivery"],
    "delivery": ["settlement", "config"],
    "settlement": ["dead_letter", "storage"],
    "dead_letter": ["settlement"],
    "storage": ["dead_letter"],
    "words": ["objects"],
    "errors": ["words"],
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with a copy of the package and of the rules."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    source = ROOT / "destination_cleverpush"
    shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def plant(house: Path, room: str, line: str) -> None:
    """Put a line of code into a room, be it a package or a module."""
    folder = house / "destination_cleverpush" / room
    file = folder / "planted.py" if folder.is_dir() else folder.with_suffix(".py")
    with file.open("a") as code:
        code.write(f"\n{line}\n")


def run(house: Path, tool: str, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a tool, in one line."""
    command = [str(Path(sys.executable).with_name(tool)), *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "1000"}
    done = subprocess.run(command, cwd=house, env=environment, capture_output=True, check=False, text=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_the_rules_are_kept(house: Path) -> None:
    code, told = run(house, "lint-imports", "--no-cache")
    assert code == 0, told
    assert "2 kept, 0 broken" in told
    code, told = run(house, "ruff", "check", "--no-cache", "--select=TID251", "destination_cleverpush")
    assert code == 0, told


def test_rooms_that_know_too_much_are_found(house: Path) -> None:
    for room, others in FORBIDDEN.items():
        for other in others:
            plant(house, room, f"import destination_cleverpush.{other}")
    code, told = run(house, "lint-imports", "--no-cache")
    assert code == 1
    assert LAYERS in told
    assert STORAGE in told
    for room, others in FORBIDDEN.items():
        for other in others:
            assert f"destination_cleverpush.{room} is not allowed to import destination_cleverpush.{other}:" in told


def test_a_new_room_must_be_placed(house: Path) -> None:
    (house / "destination_cleverpush" / "extension.py").touch()
    code, told = run(house, "lint-imports", "--no-cache")
    assert code == 1
    assert LAYERS in told
    assert "extension" in told


def test_only_the_platforms_room_knows_the_cdk(house: Path) -> None:
    for room in FORBIDDEN:
        plant(house, room, "from airbyte_cdk.models import Type")
    code, told = run(house, "ruff", "check", "--no-cache", "--select=TID251", "destination_cleverpush")
    assert code == 1
    assert told.count("Only the room destination_cleverpush/airbyte knows the CDK") == len(FORBIDDEN)


@pytest.mark.parametrize("room", ["objects", "api", "delivery", "settlement"])
def test_a_room_loads_neither_the_cdk_nor_obstore(room: str) -> None:
    command = [sys.executable, "-X", "importtime", "-c", f"import destination_cleverpush.{room}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert f"destination_cleverpush.{room}" in loaded
    assert {name.partition(".")[0] for name in loaded} & {"airbyte_cdk", "obstore"} == set()
