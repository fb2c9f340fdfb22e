"""CleverPush is away for an hour: the sync ends as transient, nothing is lost, and a later attempt delivers the rest.

The hour is accelerated (`time_scale` of the simulator); the connector's own waits are real seconds.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration_tests.messages import catalog, stream
from integration_tests.platform_double import CONNECTOR
from integration_tests.simulator.process import Simulator, start_simulator

_ROWS = 3_000
_SUBSCRIPTIONS = 700
_ACCOUNT = {"api_key": "key", "channels": [{"_id": "channel", "attributes": ["user_id", "visits"]}]}
_SECOND = 30  # seconds of the outage that pass in one: it is told after a minute, so the hour must take longer
_BEGIN = 4.0 * _SECOND  # by then the sync is under way


_OUTAGES: dict[str, dict[str, Any]] = {
    "503 from the beginning": {"kind": "status", "status": 503},
    "connections that break off in mid-sync": {"kind": "reset_before", "from": _BEGIN},
}


@dataclass(frozen=True)
class Attempt:
    """One run of `write`: the rows that its states confirm, and its TRACE error, if any."""

    confirmed: int
    exit_code: int
    error: dict[str, Any] | None


def attempt(
    simulator: Simulator, folder: Path, confirmed: int, *, rows: int = _ROWS, connector: Sequence[str] = CONNECTOR
) -> Attempt:
    """Write the rows that no state has confirmed yet."""
    config = simulator.connector_config(advanced={"request_timeout_seconds": 0.5, "progress_interval_seconds": 0})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "catalog.json").write_text(json.dumps(catalog(stream(mode="append_dedup"))))
    lines = []
    for number in range(confirmed + 1, rows + 1):
        user = f"u{number % _SUBSCRIPTIONS}"
        data = {"subscription_id": user, "email": f"{user}@example.com", "visits": number}
        state = {"stream_descriptor": {"name": "users"}, "stream_state": {"row": number}}
        lines += [
            {"type": "RECORD", "record": {"stream": "users", "emitted_at": number, "data": data}},
            {"type": "STATE", "state": {"type": "STREAM", "stream": state}},
        ]
    done = subprocess.run(
        [*connector, "write", "--config", f"{folder}/config.json", "--catalog", f"{folder}/catalog.json"],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
    )
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    for message in messages:
        if message["type"] == "STATE":
            confirmed += 1
            assert message["state"]["stream"]["stream_state"] == {"row": confirmed}
    errors = [message["trace"]["error"] for message in messages if message["type"] == "TRACE"]
    return Attempt(confirmed, done.returncode, errors[0] if errors else None)


def visits(simulator: Simulator) -> dict[str, int]:
    """The number of the last row that CleverPush took for each subscription."""
    return {user: held["customAttributes"]["visits"] for user, held in simulator.by_user().items()}


def assert_transient(attempt: Attempt, beginning: str) -> None:
    """It failed halfway, with a message that begins so, and another attempt is worth it."""
    assert attempt.exit_code == 1
    assert attempt.error is not None
    assert attempt.error["failure_type"] == "transient_error"
    assert attempt.error["message"].startswith(beginning)
    assert attempt.confirmed < _ROWS


@pytest.mark.faults
@pytest.mark.timeout(400)
@pytest.mark.parametrize("outage", _OUTAGES.values(), ids=_OUTAGES)
def test_an_hour_long_outage_ends_as_transient_and_costs_no_row(outage: dict[str, Any], tmp_path: Path) -> None:
    until = outage.get("from", 0.0) + 3600.0
    faults = {"time_scale": _SECOND, "latency": 0.05, "rules": [{**outage, "until": until}]}
    with start_simulator(accounts=[_ACCOUNT], faults=faults) as simulator:
        during = attempt(simulator, tmp_path, 0)
        assert_transient(during, f"CleverPush is out of reach: {simulator.url.removeprefix('http://')} ")
        taken = visits(simulator)
        for number in range(1, during.confirmed + 1):
            assert taken[f"u{number % _SUBSCRIPTIONS}"] >= number, "a state was ahead of the outage"

        simulator.set_faults()  # the hour is over
        after = attempt(simulator, tmp_path, during.confirmed)
        assert (after.exit_code, after.error, after.confirmed) == (0, None, _ROWS)
        last = {f"u{number % _SUBSCRIPTIONS}": number for number in range(1, _ROWS + 1)}
        assert visits(simulator) == last


def test_a_delay_of_more_than_a_quarter_of_an_hour_ends_the_sync_at_once(
    connector: Sequence[str], tmp_path: Path
) -> None:
    wait = {"kind": "status", "status": 429, "headers": {"Retry-After": "1000"}, "nth": 100}
    with start_simulator(accounts=[_ACCOUNT], faults={"rules": [wait]}) as simulator:
        refused = attempt(simulator, tmp_path, 0, rows=300, connector=connector)
        assert_transient(refused, "CleverPush asked to wait 17 minutes (HTTP 429)")
        assert refused.confirmed < 300

        after = attempt(simulator, tmp_path, refused.confirmed, rows=300, connector=connector)
        assert (after.exit_code, after.confirmed) == (0, 300)
