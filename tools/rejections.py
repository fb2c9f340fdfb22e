"""`python -m tools.rejections`: many rows, a tenth of them refused, and a process that dies.

The rows go through the console command to the simulator, with a dead letter store in a directory. With `--kills`, the
process is killed (SIGKILL) at random moments and started again from the last state that came out, as the platform does.
Then every refused row must be in the store with its reason, no other row may be there, and CleverPush must hold the
rest. A row that was stored right before a kill may stand in the store twice.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from integration_tests.messages import catalog, stream
from integration_tests.platform_double import CONNECTOR
from integration_tests.simulator.process import Simulator, start_simulator

STREAM = "users"
CATALOG = catalog(stream(STREAM))
REFUSALS: dict[str, dict[str, Any]] = {
    "missing_subscription_id": {"subscription_id": " "},
    "invalid_value": {"email": ["a@example.com", "b@example.com"]},
    "unknown_attribute": {"shoe_size": 44},
    "unknown_topic": {"topics": "gossip"},
    "contact_required": {"email": None},
    "payload_refused": {"email": "nobody"},
}


def rows(count: int) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Rows and the code for which each is refused, None for the good ones; every tenth row is bad."""
    codes = list(REFUSALS)
    for n in range(count):
        row = {"subscription_id": f"u{n}", "email": f"u{n}@example.com", "visits": n}
        code = codes[n // 10 % len(codes)] if n % 10 == 3 else None
        yield (row | REFUSALS[code] if code else row), code


def lines(count: int, start: int) -> Iterator[str]:
    """RECORD and STATE lines from row `start` on; a state after each record, that tells where to go on."""
    for n, (row, _) in enumerate(rows(count)):
        if n >= start:
            yield json.dumps({"type": "RECORD", "record": {"stream": STREAM, "emitted_at": n, "data": row}})
            state = {"stream_descriptor": {"name": STREAM}, "stream_state": {"next": n + 1}}
            yield json.dumps({"type": "STATE", "state": {"type": "STREAM", "id": n, "stream": state}})


class Attempts:
    """What the attempts told: where to go on, and the counts of all states."""

    def __init__(self) -> None:
        self.next = 0
        self.delivered = self.rejected = 0.0
        self.exit_code: int | None = None

    def run(self, folder: Path, count: int, kill_after: float | None) -> None:
        """One attempt; it is killed after so many seconds, if it did not end before."""
        command = [*CONNECTOR, "write", "--config", str(folder / "config.json")]
        command += ["--catalog", str(folder / "catalog.json")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            feeder = threading.Thread(target=_feed, args=(process, count, self.next), daemon=True)
            feeder.start()
            timer = threading.Timer(kill_after, process.kill) if kill_after is not None else None
            if timer:
                timer.start()
            assert process.stdout is not None
            for line in process.stdout:
                if line.endswith("\n") and '"STATE"' in line:
                    self._note(json.loads(line)["state"])
            self.exit_code = process.wait()
            if timer:
                timer.cancel()
            feeder.join()

    def _note(self, state: dict[str, Any]) -> None:
        expected = self.next + 1
        self.next = state["stream"]["stream_state"]["next"]
        assert self.next == expected, f"state {self.next} came where {expected} was due"
        stats = state["destinationStats"]
        assert stats["recordCount"] + stats["rejectedRecordCount"] == 1.0
        self.delivered += stats["recordCount"]
        self.rejected += stats["rejectedRecordCount"]


def stored(folder: Path) -> dict[int, str]:
    """The rows in the store: number and code."""
    found: dict[int, str] = {}
    for path in folder.rglob("*.jsonl.gz"):
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            entry = json.loads(line)
            found[entry["emitted_at"]] = entry["code"]
    return found


def run(count: int, kills: int, seed: int) -> Counter[str]:
    """Do it; returns the refused rows by code.

    Raises:
        AssertionError: a row was lost, kept wrongly, or counted wrongly.
    """
    rng = random.Random(seed)
    account = {"api_key": "key", "channels": [{"_id": "channel", "attributes": ["user_id", "visits"]}]}
    with tempfile.TemporaryDirectory() as name, start_simulator(accounts=[account], keep_calls=0) as simulator:
        folder = Path(name)
        store = folder / "store"
        store.mkdir()
        config = simulator.connector_config(
            rejected_records={"storage_type": "local", "destination_path": str(store)},
            unmapped_fields="send",  # so that a column which the channel does not know is refused
            advanced={"progress_interval_seconds": 0},
        )
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "catalog.json").write_text(json.dumps(CATALOG))
        attempts = Attempts()
        for _ in range(kills):
            attempts.run(folder, count, 1.5 + rng.random() * 3.0)
        attempts.run(folder, count, None)
        assert attempts.exit_code == 0, f"the last attempt ended with {attempts.exit_code}"
        return _judge(attempts, count, store, simulator)


def _judge(attempts: Attempts, count: int, store: Path, simulator: Simulator) -> Counter[str]:
    expected = {n: code for n, (_, code) in enumerate(rows(count)) if code}
    found = stored(store)
    both = {n: (expected.get(n), found.get(n)) for n in sorted(expected.keys() | found.keys())}
    differing = [(n, *codes) for n, codes in both.items() if codes[0] != codes[1]]
    assert not differing, f"row, the code that it should have, the one it has in the store: {differing[:10]}"
    assert attempts.next == count
    assert (attempts.delivered, attempts.rejected) == (count - len(expected), len(expected))
    assert set(simulator.by_user()) == {row["subscription_id"] for row, code in rows(count) if code is None}
    return Counter(expected.values())


def _feed(process: subprocess.Popen[str], count: int, start: int) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it was killed
        for line in lines(count, start):
            process.stdin.write(line + "\n")
    with suppress(BrokenPipeError):
        process.stdin.close()


def main() -> None:
    """Run with what the command line says, and tell the counts."""
    parser = argparse.ArgumentParser(prog="python -m tools.rejections", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    began = time.monotonic()
    refused = run(args.rows, args.kills, args.seed)
    print(f"{args.rows} rows, {args.kills} kills, {time.monotonic() - began:.0f} s: all counted and kept.")
    for code, number in refused.most_common():
        print(f"  {code:24} {number:6}")


if __name__ == "__main__":
    main()
