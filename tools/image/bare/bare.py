"""The least destination that airbyte-cdk can run."""

import sys
from collections.abc import Iterable, Mapping
from logging import Logger
from typing import Any

from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import AirbyteConnectionStatus, AirbyteMessage, ConfiguredAirbyteCatalog, Status
from airbyte_cdk.models.airbyte_protocol import ConnectorSpecification


class Bare(Destination):
    """Takes everything, does nothing."""

    def spec(self, *_args: Any, **_kwargs: Any) -> ConnectorSpecification:
        return ConnectorSpecification(connectionSpecification={"type": "object"})

    def check(self, logger: Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterable[AirbyteMessage]:
        yield from input_messages


if __name__ == "__main__":
    Bare().run(sys.argv[1:])
