"""metadata.yaml is what the CDK, Airbyte's connector registry and the rest of the repository take it for."""

import importlib.resources
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml
from airbyte_cdk.models.connector_metadata import ConnectorLanguage, MetadataFile

from destination_cleverpush.config import load_spec
from destination_cleverpush.objects.activation import modes
from destination_cleverpush.objects.table import OBJECTS
from tools.lock import ROOT

METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
DATA: dict[str, Any] = METADATA["data"]
SPEC: dict[str, Any] = load_spec()


def without_id(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Drop `$id`: the schema is a bundle of several files that kept their ids, under which its `$ref`s lead nowhere."""
    return {key: value for key, value in pairs if key != "$id"}


def test_the_cdk_accepts_it() -> None:
    metadata = MetadataFile.from_file(ROOT / "metadata.yaml")
    assert metadata.data.language is ConnectorLanguage.PYTHON
    assert metadata.data.dockerRepository == "airbyte/destination-cleverpush"


def test_the_connector_registry_accepts_it() -> None:
    models = pytest.importorskip(
        "airbyte_connector_models.metadata.v0", reason="airbyte-connector-models is not made for this Python"
    )
    schema_file = importlib.resources.files(models) / "ConnectorMetadataDefinitionV0.json"
    schema = json.loads(schema_file.read_text(encoding="utf-8"), object_pairs_hook=without_id)
    jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker()).validate(METADATA)


def test_the_image_is_built_on_the_base_image_that_it_names() -> None:
    default = re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert default is not None
    assert default[1] == DATA["connectorBuildOptions"]["baseImage"]
    assert re.fullmatch(r"docker\.io/airbyte/python-connector-base:[\d.]+@sha256:[0-9a-f]{64}", default[1])


def test_data_activation_is_announced_with_all_its_sync_modes() -> None:
    assert DATA["supportsDataActivation"] is True
    offered = {mode for name in OBJECTS for mode in modes(name)}
    assert offered <= set(SPEC["supported_destination_sync_modes"])


def test_the_icon_is_a_drawing() -> None:
    root = ElementTree.parse(ROOT / DATA["icon"]).getroot()  # noqa: S314 - our own file
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_test_suites_that_it_names_exist() -> None:
    places = {
        "unitTests": "unit_tests",
        "integrationTests": "integration_tests",
        "acceptanceTests": "acceptance-test-config.yml",
    }
    assert all((ROOT / places[option["suite"]]).exists() for option in DATA["connectorTestSuitesOptions"])


def test_the_spec_links_to_the_same_page() -> None:
    assert SPEC["documentationUrl"] == DATA["documentationUrl"]


def test_the_default_host_is_allowed() -> None:
    base_url = SPEC["connectionSpecification"]["properties"]["advanced"]["properties"]["base_url"]["default"]
    assert urlsplit(base_url).hostname in DATA["allowedHosts"]["hosts"]


def fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of the form by their dotted names, those of all options included."""
    for each in (schema, *schema.get("oneOf", ())):
        for name, prop in each.get("properties", {}).items():
            yield f"{prefix}{name}", prop
            yield from fields(prop, f"{prefix}{name}.")


def test_the_addresses_that_the_form_asks_for_are_allowed() -> None:
    asked = {
        name for name, prop in fields(SPEC["connectionSpecification"]) if prop.get("pattern", "").startswith(r"^(http")
    }
    assert asked >= {"advanced.base_url", "rejected_records.s3_endpoint"}
    assert {host[2:-1] for host in DATA["allowedHosts"]["hosts"] if host.startswith("${")} == asked


def test_the_platform_tells_it_which_streams_are_complete() -> None:
    assert DATA["supportsRefreshes"] is True


def test_the_licence_is_the_one_in_the_repository() -> None:
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith(f"{DATA['license']} License")
