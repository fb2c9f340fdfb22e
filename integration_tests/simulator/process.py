"""The simulator as a process of its own, for tests and scripts."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from integration_tests.simulator.model import DEFAULT_ACCOUNT

_ROOT = Path(__file__).parents[2]


class Simulator:
    """A running simulator: where it is, what opens it, and what is in it."""

    def __init__(self, url: str, config: Mapping[str, Any], pid: int) -> None:
        account = (config.get("accounts") or (DEFAULT_ACCOUNT,))[0]
        self.url = url
        self.pid = pid
        self.api_key: str = account["api_key"]
        self.channel_id: str = account["channels"][0]["_id"]
        self._session = requests.Session()
        self._session.trust_env = False

    def connector_config(self, object_type: str = "subscriptions", **more: Any) -> dict[str, Any]:
        """A connector's configuration for this simulator; `advanced` is merged."""
        advanced = {"base_url": self.url, **more.pop("advanced", {})}
        return {
            "channel_id": self.channel_id,
            "api_key": self.api_key,
            "object_type": object_type,
            "advanced": advanced,
            **more,
        }

    def state(self, channel: str | None = None) -> dict[str, Any]:
        """`{"channel": id, "subscriptions": [...], "overlaps": {native ID: number}}`.

        Each subscription is `{"id", "subscribed", "customAttributes", "tags", "topics", ...}`; the overlaps are how
        often a call about it came while another one was not answered yet.
        """
        return self._get("state" + (f"?channel={channel}" if channel else ""))

    def by_user(self) -> dict[str, dict[str, Any]]:
        """The subscriptions that have a `user_id`, by it; of several the last one."""
        found = self.state()["subscriptions"]
        return {s["customAttributes"]["user_id"]: s for s in found if "user_id" in s["customAttributes"]}

    def by_id(self) -> dict[str, dict[str, Any]]:
        """The subscriptions by CleverPush's own ID."""
        return {s["id"]: s for s in self.state()["subscriptions"]}

    def calls(self) -> list[dict[str, Any]]:
        """The calls in the order in which they ended; `json` is the body as JSON, where it is some.

        `{"seq", "arrived", "finished", "method", "path", "query", "body", "json", "status", "subscription"}`: `seq`
        counts arrivals from 1, the times are monotonic seconds, and the status is "broken off" without an answer.
        """
        calls: list[dict[str, Any]] = self._get("calls")["calls"]
        for call in calls:
            call["json"] = json.loads(call["body"]) if call["body"].startswith("{") else None
        return calls

    def stats(self) -> dict[str, Any]:
        """`{"calls", "by_route", "most_in_flight", "most_in_flight_per_subscription"}`.

        The last one is 1 where no request about a subscription came before the one before it was answered, or given
        up by the client.
        """
        return self._get("stats")

    def behave(self, **settings: Any) -> None:
        """Play another server, see :class:`integration_tests.simulator.model.Behaviour`, until the next reset.

        Raises:
            ValueError: a behaviour that there is not.
        """
        self._post("behaviour", settings)

    def set_faults(self, **settings: Any) -> None:
        """Replace the faults, see :mod:`integration_tests.simulator.faults`; without any: nothing goes wrong.

        Raises:
            ValueError: settings that the module does not describe.
        """
        self._post("faults", settings)

    def reset(self) -> None:
        """Begin anew, with the subscriptions, behaviour and faults of the configuration."""
        self._post("reset", {})

    def _post(self, what: str, settings: Mapping[str, Any]) -> None:
        response = self._session.post(f"{self.url}/_simulator/{what}", json=settings, timeout=30)
        if response.status_code == 400:
            raise ValueError(response.json()["error"])
        response.raise_for_status()

    def _get(self, what: str) -> dict[str, Any]:
        response = self._session.get(f"{self.url}/_simulator/{what}", timeout=60)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found


@contextmanager
def start_simulator(config: Mapping[str, Any] | None = None, **settings: Any) -> Iterator[Simulator]:
    """A simulator on a free port of this machine, ended with the block.

    Args:
        config: see :class:`integration_tests.simulator.server.Server`; `settings` are merged into it.

    Raises:
        RuntimeError: a configuration that is none; the simulator says why on standard error.
    """
    merged = {**(config or {}), **settings}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(merged, file)
        file.flush()
        command = [sys.executable, "-m", "integration_tests.simulator", "--config", file.name]
        with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError("the simulator did not start")
                yield Simulator(json.loads(line)["url"], merged, process.pid)
            finally:
                process.terminate()
                process.wait(10)
