"""Small inputs of the kind that people hit, each in a folder of `cases/`, and how each of them ends.

`config.json`, `catalog.json` and `input.jsonl` are what the command gets; the channel, the key and the simulator's
address are added. `expected.json` says, with everything but `about` optional:

    {"about": "in a sentence", "caller": "pyairbyte", "channel": {what the simulated channel has},
     "check": status of `check`; without it, `write` is run:
     "calls": [[path, body without the channel, status]], in any order over several subscriptions,
     "counts": [taken, rejected], of the only state, "rejected": {code: rows},
     "exit_code": 0, "failure_type": "config_error", "error": ["words", "of its message"],
     "told": [["words", "of one line of the log"]], "kept": ["words", "of the dead letter store"], "absent": ["words"]}
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.api.routes import CONTROL
from integration_tests.platform_double import AIRBYTE, PYAIRBYTE, Line, assert_absent, run_check, run_write
from integration_tests.simulator.process import Simulator, start_simulator

CASES = {folder.name: folder for folder in sorted((Path(__file__).parent / "cases").iterdir())}
KEY = "private-key-0a1b2c"


def read(case: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CASES[case] / name).read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def channels(connector: Sequence[str]) -> Iterator[Simulator]:
    """A channel for each case, named as it is."""
    described = [{"_id": case, **read(case, "expected.json")["channel"]} for case in CASES]
    with start_simulator(accounts=[{"api_key": KEY, "channels": described}]) as simulator:
        yield simulator


@pytest.mark.parametrize("case", CASES)
def test_a_case_ends_as_it_should(channels: Simulator, case: str, tmp_path: Path) -> None:
    expected = read(case, "expected.json")
    config = {
        "rejected_records": {"storage_type": "local", "destination_path": str(tmp_path)},
        **channels.connector_config(channel_id=case),
        **read(case, "config.json"),
    }
    if "check" in expected:
        answer = run_check(config)
        assert (answer.status, answer.message) == (expected["check"], None)
        return

    lines = (CASES[case] / "input.jsonl").read_text(encoding="utf-8").splitlines()
    pyairbyte = expected.get("caller") == "pyairbyte"
    messages: list[Line] = [json.loads(line) for line in lines] if pyairbyte else [*lines]
    result = run_write(config, read(case, "catalog.json"), messages, caller=PYAIRBYTE if pyairbyte else AIRBYTE)

    assert result.exit_code == expected.get("exit_code", 0)
    assert result.counts == ([tuple(map(float, expected["counts"]))] if "counts" in expected else [])
    if "error" in expected:
        assert result.error["failure_type"] == expected["failure_type"]
        assert [words for words in expected["error"] if words not in result.error["message"]] == []
    assert in_any_order(calls(channels, case)) == in_any_order(expected["calls"])

    kept = [
        json.loads(line) for path in tmp_path.rglob("*.gz") for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    assert Counter(row["code"] for row in kept) == expected.get("rejected", {})
    assert [words for words in expected.get("kept", ()) if words not in json.dumps(kept, ensure_ascii=False)] == []
    for words in expected.get("told", ()):
        assert any(all(word in log.message for word in words) for log in result.logs), words
    assert_absent(result, KEY, "@example.com", *expected.get("absent", ()))


def calls(simulator: Simulator, channel: str) -> list[list[Any]]:
    """The writing calls for a channel."""
    of_channel = [call for call in simulator.calls() if call["json"] and call["json"].get("channelId") == channel]
    made = [call for call in of_channel if call["path"] != CONTROL]
    bodies = [{name: value for name, value in call["json"].items() if name != "channelId"} for call in made]
    return [[call["path"], body, call["status"]] for call, body in zip(made, bodies, strict=True)]


def in_any_order(found: list[list[Any]]) -> list[str]:
    return sorted(json.dumps(call, sort_keys=True) for call in found)
