"""Two copies of one task would send the rows of a subscription in no order."""

from __future__ import annotations

import pytest

from destination_cleverpush.errors import Failure
from destination_cleverpush.spark import write
from integration_tests.simulator.process import Simulator
from integration_tests.spark.conftest import config_of, started_spark


def test_speculation_is_refused(simulator: Simulator) -> None:
    with (
        started_spark("local[1]", **{"spark.speculation": "true"}) as spark,
        pytest.raises(Failure, match=r"Speculative execution \(spark.speculation\)"),
    ):
        write(spark.range(1).toDF("subscription_id"), key="subscription_id", config=config_of(simulator))
    assert simulator.stats()["calls"] == 0
