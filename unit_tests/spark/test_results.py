"""What tasks tell, and what the driver makes of it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace

import pytest

from destination_cleverpush.errors import Failure
from destination_cleverpush.settlement.counts import StreamCounts
from destination_cleverpush.spark.options import read_options
from destination_cleverpush.spark.results import Outcome, conclude, tell_aborted, together
from unit_tests.configurations import raw_config
from unit_tests.settlement.outcomes import MISSING_TAGS, UNKNOWN_TAG

LOGGER = logging.getLogger("airbyte.test")
OPTIONS = read_options(
    {"secret_config": json.dumps(raw_config()), "assume_partitioned": "true", "tasks_at_once": "2", "stream": "users"},
    LOGGER,
)


def outcome(delivered: int, unknown: int = 0, missing: int = 0) -> Outcome:
    counts = StreamCounts(delivered, 0, Counter({UNKNOWN_TAG: unknown, MISSING_TAGS: missing}) + Counter())
    counts.refused += Counter({(UNKNOWN_TAG, "vip"): unknown})
    done = Counter({"tags added": delivered})
    return Outcome(counts.settled, counts, done, delivered + unknown, 1, 2, 3.0, 100.0, 110.0)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_outcomes_are_added_up() -> None:
    found = together([outcome(3, 1), Outcome(), replace(outcome(2, 1, 1), paused_seconds=5.0, ended=130.0)])
    assert (found.read, found.calls, found.retries, found.throttled) == (8, 7, 2, 4)
    assert (found.paused_seconds, found.started, found.ended) == (5.0, 100.0, 130.0)
    assert found.counts.delivered == 5
    assert found.counts.rejected == {UNKNOWN_TAG: 2, MISSING_TAGS: 1}
    assert together([]) == Outcome()


def test_the_driver_tells_all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    conclude([outcome(30, 2), outcome(20, 1, 1)], OPTIONS, LOGGER)
    told_of_stream = (
        "Stream 'users': 54 rows read, 50 delivered (50 tags added), 4 rejected (unknown_tag 3, missing_tags 1), 53 "
        "calls in 10.0 s (5 rows per s)."
    )
    closing = (
        "The sync succeeded after 10.0 s: 54 rows read, 50 delivered, 4 rejected, 53 calls, 2 retries, 4 calls refused "
        "for their rate (HTTP 429), which paused it for 3 s. Rejected rows were not kept"
    )
    found = told(caplog)
    assert found[:3] == [
        f"Stream 'users': 3 rows rejected as unknown_tag: vip 3 rows. {UNKNOWN_TAG.advice}",
        f"Stream 'users': 1 row rejected as missing_tags. {MISSING_TAGS.advice}",
        told_of_stream,
    ]
    assert found[3].startswith(closing)


def test_the_driver_judges_all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    allowed = replace(OPTIONS, config=replace(OPTIONS.config, max_rejected_ratio=0.1))
    conclude([outcome(0, 1), outcome(30)], allowed, LOGGER)
    with pytest.raises(Failure, match="4 of 34 rows were rejected, more than the highest share"):
        conclude([outcome(0, 4), outcome(30)], allowed, LOGGER)
    with pytest.raises(Failure, match=r"Every row of stream 'users' was rejected \(20 in all\)"):
        conclude([outcome(0, 10), outcome(0, 10)], OPTIONS, LOGGER)
    caplog.clear()
    conclude([outcome(0, 1)], OPTIONS, LOGGER)
    assert any("Every row of stream 'users' was rejected (1 in all)" in line for line in told(caplog))


def test_an_abort_tells_what_was_delivered(caplog: pytest.LogCaptureFixture) -> None:
    tell_aborted([outcome(1500, 2), None], LOGGER)
    assert told(caplog)[0].startswith(
        "The write failed. 1 of 2 tasks had ended, with 1,502 rows: 1,500 delivered, 2 rejected."
    )
