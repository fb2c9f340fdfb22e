"""What poetry.lock installs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli
from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def read_toml(name: str) -> dict[str, Any]:
    """Return a TOML file of the repository's root."""
    return tomli.loads((ROOT / name).read_text(encoding="utf-8"))


def locked_versions(lock: Mapping[str, Any], group: str, environment: Mapping[str, Any]) -> dict[str, str]:
    """Return version by normalized name of what a group of the lock installs.

    environment: the environment markers of PEP 508 (python_version, sys_platform, ...) of the place of installation.
    """
    return {
        canonicalize_name(package["name"]): package["version"]
        for package in lock["package"]
        if group in package["groups"] and _applies(package.get("markers"), group, environment)
    }


def _applies(markers: str | Mapping[str, str] | None, group: str, environment: Mapping[str, Any]) -> bool:
    marker = markers.get(group) if isinstance(markers, Mapping) else markers
    return marker is None or Marker(marker).evaluate(dict(environment))
