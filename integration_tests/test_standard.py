"""The CDK's standard tests for destinations, with the configurations of acceptance-test-config.yml.

Those marked `image_tests` run the image that CLEVERPUSH_IMAGE names (`make test-image`), the others the class itself.
One of them may skip itself: the spec's backward compatibility is judged against the one in Airbyte's registry,
so there is nothing to compare with before the first one is published, or without a way to the registry.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput
from airbyte_cdk.test.models import ConnectorTestScenario
from airbyte_cdk.test.standard_tests import DestinationTestSuiteBase, docker_base
from airbyte_cdk.test.standard_tests._job_runner import run_test_job
from airbyte_cdk.test.standard_tests._spec_lint import assert_spec_is_valid, get_single_spec

from destination_cleverpush import DestinationCleverpush
from integration_tests.simulator.process import Simulator, start_simulator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        scenarios = TestStandard.get_scenarios()
        metafunc.parametrize("scenario", scenarios, indirect=True, ids=[scenario.id for scenario in scenarios])


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with start_simulator() as simulator:
        yield simulator


@pytest.fixture
def scenario(request: pytest.FixtureRequest, simulator: Simulator) -> ConnectorTestScenario:
    """An entry of acceptance-test-config.yml, with the simulator's address in its configuration."""
    listed: ConnectorTestScenario = request.param
    config = listed.get_config_dict(connector_root=TestStandard.get_connector_root_dir(), empty_if_missing=False)
    return listed.model_copy(update={"config_dict": {**config, "advanced": {"base_url": simulator.url}}})


@pytest.fixture
def connector_image_override(monkeypatch: pytest.MonkeyPatch) -> str:
    """The image under test, whose containers share this machine's network, so that they reach the simulator."""
    run = docker_base.run_docker_airbyte_command

    def run_on_this_network(cmd: list[str], **options: Any) -> EntrypointOutput:
        assert cmd[:2] == ["docker", "run"]
        return run([*cmd[:2], "--network=host", *cmd[2:]], **options)

    monkeypatch.setattr(docker_base, "run_docker_airbyte_command", run_on_this_network)
    return os.environ["CLEVERPUSH_IMAGE"]


@pytest.fixture
def connector_base_image_override() -> None:
    """The image is built already."""


class TestStandard(DestinationTestSuiteBase):
    connector = DestinationCleverpush
    connector_name = "destination-cleverpush"  # and not the name of the folder that the repository lies in

    # A destination has no streams to discover or read; the base class would skip these.
    test_docker_image_build_and_discover = None  # type: ignore[assignment]
    test_docker_image_build_and_read = None  # type: ignore[assignment]

    def test_spec(self) -> None:
        """The linting that the base class does on an image's spec only."""
        output = run_test_job(self.create_connector(None), "spec", connector_root=self.get_connector_root_dir())
        assert_spec_is_valid(
            get_single_spec(output, connector_name=self.connector_name), connector_name=self.connector_name
        )
