"""Version, dependencies, lock and licence list say the same everywhere."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import files, version
from pathlib import Path

import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.audit import verdict
from tools.lock import ROOT, locked_versions, read_toml

PYPROJECT = read_toml("pyproject.toml")
LOCK = read_toml("poetry.lock")
VERSION = PYPROJECT["project"]["version"]


def first_match(pattern: str, file: str) -> str:
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{file} has no {pattern}"
    return found[1]


def imported_modules(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.partition(".")[0]


def top_level_modules(distribution: str) -> set[str]:
    return {file.parts[0].removesuffix(".py") for file in files(distribution) or () if file.suffix == ".py"}


def test_the_version_is_the_same_everywhere() -> None:
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
    found = {
        "installed package": version("destination-cleverpush"),
        "metadata.yaml": metadata["data"]["dockerImageTag"],
        "Dockerfile": first_match(r'io\.airbyte\.version="([^"]+)"', "Dockerfile"),
        "CHANGELOG.md": first_match(r"^## \[?v?(\d+\.\d+\.\d+)", "CHANGELOG.md"),
        "docs/cleverpush.md": first_match(r"^\| *(\d+\.\d+\.\d+) *\|", "docs/cleverpush.md"),
    }
    assert found == dict.fromkeys(found, VERSION)


def test_the_package_imports_what_it_declares_and_nothing_else() -> None:
    declared = [Requirement(line).name for line in PYPROJECT["project"]["dependencies"]]
    provided = {name: top_level_modules(name) for name in declared}
    foreign = (
        set(imported_modules(ROOT / "destination_cleverpush")) - sys.stdlib_module_names - {"destination_cleverpush"}
    )
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    foreign -= {Requirement(line).name for extra in extras for line in extra}  # imported where they are used
    assert foreign <= set().union(*provided.values()), "imported, but not declared"
    assert [name for name, modules in provided.items() if not modules & foreign] == [], "declared, but not imported"


def test_each_locked_package_comes_from_pypi_with_hashes() -> None:
    for package in LOCK["package"]:
        hashes = [file["hash"] for file in package["files"]]
        assert package["source"]["url"] == "https://pypi.org/simple", package["name"]
        assert hashes, package["name"]
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in hashes), package["name"]


def test_the_environment_is_the_locked_one() -> None:
    locked = locked_versions(LOCK, "main", default_environment())
    assert {name: version(name) for name in locked} == locked


def test_the_same_poetry_builds_the_environment_and_the_image() -> None:
    assert first_match(r"poetry==([\d.]+)", "Dockerfile") == first_match(r"^POETRY_VERSION := (\S+)", "Makefile")


def test_the_licence_list_is_current() -> None:
    """The list names what the image holds: CPython 3.11 on Linux, as in Airbyte's base image."""
    environment = default_environment() | {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": "3.11.11",
        "python_version": "3.11",
        "sys_platform": "linux",
    }
    rows = re.findall(
        r"^\| (\S+) +\| (\S+) +\| \S", (ROOT / "docs/licences.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = {canonicalize_name(name): listed_version for name, listed_version in rows if name != "Name"}
    assert listed == locked_versions(LOCK, "main", environment), "run `make licences` with Python 3.11"


def test_an_audit_without_answers_does_not_pass() -> None:
    clean = {"name": "a", "version": "1", "vulns": []}
    unknown = {"name": "b", "skip_reason": "Dependency not found"}
    hole = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2"]}
    assert verdict({"dependencies": [clean]}) == (0, "1 of 1 packages audited, 0 known vulnerabilities")
    code, summary = verdict({"dependencies": [clean, unknown]})
    assert code == 2
    assert summary.splitlines()[1].endswith("from here: b")
    code, summary = verdict({"dependencies": [{"name": "c", "version": "1", "vulns": [hole]}, unknown]})
    assert code == 1
    assert summary.splitlines()[0] == "c 1: PYSEC-1, CVE-1, mended in 2"
