"""`python -m integration_tests.simulator`: CleverPush on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from integration_tests.simulator.model import DEFAULT_ACCOUNT
from integration_tests.simulator.server import serve


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; one line on standard output tells the URL."""
    channel = DEFAULT_ACCOUNT["channels"][0]
    parser = argparse.ArgumentParser(
        prog="python -m integration_tests.simulator",
        description="A strict stand-in for the CleverPush API. Look inside it at /_simulator/state, /_simulator/calls "
        "and /_simulator/stats.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--config", type=Path, help="JSON file with accounts, faults, latency and keep_calls")
    parser.add_argument("--channel", default=channel["_id"], help="channel ID")
    parser.add_argument("--api-key", default=DEFAULT_ACCOUNT["api_key"], help="private API key")
    parser.add_argument("--tag", nargs="*", default=channel["tags"], help="tag IDs that exist")
    parser.add_argument("--attribute", nargs="*", default=channel["attributes"], help="custom attributes that exist")
    parser.add_argument("--topic", nargs="*", default=channel["topics"], help="topic IDs that exist")
    parser.add_argument("--subscription", nargs="*", default=channel["subscriptions"], help="subscriptions that exist")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every answer takes")
    parser.add_argument("--keep-calls", type=int, help="how many calls to remember; all if not given")
    args = parser.parse_args()
    given: dict[str, Any] = {
        "_id": args.channel,
        "tags": args.tag,
        "attributes": args.attribute,
        "topics": args.topic,
        "subscriptions": args.subscription,
    }
    config: dict[str, Any] = {
        "accounts": [{"api_key": args.api_key, "channels": [given]}],
        "latency": args.latency,
        "keep_calls": args.keep_calls,
    }
    if args.config:
        config |= json.loads(args.config.read_text(encoding="utf-8"))
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_serve(config, args.host, args.port))


async def _serve(config: dict[str, Any], host: str, port: int) -> None:
    task = asyncio.ensure_future(serve(config, host, port, lambda url: print(json.dumps({"url": url}), flush=True)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


if __name__ == "__main__":
    main()
