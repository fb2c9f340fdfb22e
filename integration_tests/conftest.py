"""A simulated CleverPush for the tests of the console command, one for all of them, and begun anew for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from destination_cleverpush.api.routes import CONTROL
from integration_tests.platform_double import CONNECTOR, ConnectorProcess, run_check
from integration_tests.preloaded import preloaded
from integration_tests.simulator.process import Simulator, start_simulator

CHANNEL = {
    "name": "Shop",
    "attributes": ["user_id", "city", "visits", "score", "active", "signup", "profile", "loyalty_tier"],
    "tags": ["vip", "news", "churn", "7"],
    "topics": ["news", "sports", "12"],
    "subscriptions": ["sub-1", "sub-2", "sub-3", "42"],
}
MODES = ("upsert", "add", "remove", "mirror")
ACCOUNTS = [
    {
        "api_key": "private-key-0a1b2c",
        "channels": [{**CHANNEL, "_id": name} for name in ("Channel-1", *(f"for-{mode}" for mode in MODES))],
    },
    {"api_key": "key-without-tags-3d4e", "permissions": ["subscriptions"], "channels": [{**CHANNEL, "_id": "Other-1"}]},
]

Calls = Callable[..., list[tuple[str, dict[str, Any], Any]]]


@pytest.fixture(scope="session")
def connector() -> Iterator[Sequence[str]]:
    """The console command with its imports paid for once, for the platform double too; CONNECTOR is the real one."""
    with preloaded(CONNECTOR) as command, pytest.MonkeyPatch.context() as patch:
        for start in (ConnectorProcess.__init__, run_check):
            assert start.__kwdefaults__
            patch.setitem(start.__kwdefaults__, "command", command)
        yield command


@pytest.fixture(scope="session")
def running_simulator(connector: Sequence[str]) -> Iterator[Simulator]:
    with start_simulator(accounts=ACCOUNTS) as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    """A simulator that holds what ACCOUNTS says, and that nobody has called yet."""
    running_simulator.reset()
    return running_simulator


@pytest.fixture
def calls(simulator: Simulator) -> Calls:
    """The calls for a channel so far: path, body without the channel, HTTP status.

    Those for one subscription are in their order; different subscriptions have none, and are sorted. Controls, which
    show what an unknown route looks like, are left out.
    """

    def read(channel: str = "Channel-1") -> list[tuple[str, dict[str, Any], Any]]:
        made = [call for call in simulator.calls() if call["json"] and call["json"].get("channelId") == channel]
        made = [call for call in made if call["path"] != CONTROL]
        made.sort(key=lambda call: (call["subscription"] or "", call["seq"]))
        return [(c["path"], {n: v for n, v in c["json"].items() if n != "channelId"}, c["status"]) for c in made]

    return read
