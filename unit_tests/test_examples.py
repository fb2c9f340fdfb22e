"""The examples, as far as they can be tried without their tools; `make test-examples` runs them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from destination_cleverpush.airbyte.catalog import read_catalog
from destination_cleverpush.airbyte.destination import CANCEL_SECONDS
from destination_cleverpush.config import parse_config
from destination_cleverpush.objects.plan import plan_streams
from tools.lock import read_toml

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def manifests() -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((EXAMPLES / "kubernetes_job.yaml").read_text())
    return {document["kind"]: document for document in documents}


def test_every_example_is_in_the_table() -> None:
    named = re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text())
    assert sorted(named) == sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh", ".yaml"})


def test_the_scripts_can_be_read() -> None:
    for script in EXAMPLES.glob("*.py"):
        ast.parse(script.read_text())
    for script in EXAMPLES.glob("*.sh"):
        subprocess.run(["bash", "-n", script], check=True)


def test_the_manifest_holds_a_configuration_and_a_catalog_that_are_accepted() -> None:
    found = manifests()
    config = parse_config(json.loads(found["Secret"]["stringData"]["config.json"]))
    plans = plan_streams(config.objects, read_catalog(json.loads(found["ConfigMap"]["data"]["catalog.json"])))
    assert [str(stream) for stream in plans] == ["users"]


def test_the_manifest_names_this_version_and_gives_it_time_to_end() -> None:
    pod = manifests()["Job"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"].endswith(f":{read_toml('pyproject.toml')['project']['version']}")
    assert pod["terminationGracePeriodSeconds"] > 2 * CANCEL_SECONDS
