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
from integration_tests.simulator.server import Server, serve

_CHANNEL: dict[str, Any] = DEFAULT_ACCOUNT["channels"][0]
_EPILOG = """\
configuration file (it replaces what the options say; only api_key, channels and _id are needed in what it names):
  {"accounts": [{"api_key": "...", "public_key": "...", "permissions": ["subscriptions", "tags"],
                 "channels": [{"_id": "...", "name": "...", "tags": ["id", {"_id": "id", "name": "..."}],
                               "topics": [as tags], "attributes": [as tags],
                               "subscriptions": ["native id", {"id": "native id", "user_id": "...",
                                                               "subscribed": true, "tags": ["id"]}]}]}],
   "latency": seconds, "keep_calls": N, "faults": {as integration_tests/simulator/faults.py describes}}

look inside: GET /_simulator/state[?channel=ID], /_simulator/calls, /_simulator/stats;
             POST /_simulator/faults (the same object), /_simulator/reset
"""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; one line on standard output tells the URL."""
    parser = _parser()
    args = parser.parse_args()
    config = _config(args)
    try:
        if args.config:
            config |= json.loads(args.config.read_text(encoding="utf-8"))
        server = Server(config)
    except KeyError as error:
        parser.error(f"the configuration has no {error}")
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_serve(server, args.host, args.port))


def _config(args: argparse.Namespace) -> dict[str, Any]:
    """The configuration that the options describe; lists that are not given are those of the default account."""
    given = {"tags": args.tag, "attributes": args.attribute, "topics": args.topic, "subscriptions": args.subscription}
    channel = {**_CHANNEL, "_id": args.channel} | {name: items for name, items in given.items() if items is not None}
    account = {**DEFAULT_ACCOUNT, "api_key": args.api_key, "channels": [channel]}
    return {"accounts": [account], "latency": args.latency, "keep_calls": args.keep_calls}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m integration_tests.simulator",
        description='A strict stand-in for the CleverPush API. Its first line of output is {"url": ...}.',
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0, the default, takes a free one")
    parser.add_argument("--config", type=Path, help="JSON file, see below")
    parser.add_argument("--channel", default=_CHANNEL["_id"], help="channel ID (%(default)s)")
    parser.add_argument("--api-key", default=DEFAULT_ACCOUNT["api_key"], help="private API key (%(default)s)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every answer takes (%(default)s)")
    parser.add_argument("--keep-calls", type=int, help="how many calls to remember; all if not given")
    for option, what in (
        ("tag", "ID[=NAME] of tags"),
        ("attribute", "custom attributes"),
        ("topic", "ID[=NAME] of topics"),
        ("subscription", "CleverPush's own IDs of subscriptions"),
    ):
        default = ", ".join(_CHANNEL[f"{option}s"])
        parser.add_argument(
            f"--{option}",
            nargs="*",
            action="extend",
            type=_item if "NAME" in what else str,
            metavar=option.upper(),
            help=f"{what} that exist, repeatable ({default})",
        )
    return parser


def _item(text: str) -> dict[str, str]:
    identifier, _, name = text.partition("=")
    return {"_id": identifier, "name": name or identifier}


async def _serve(server: Server, host: str, port: int) -> None:
    task = asyncio.ensure_future(serve(server, host, port, lambda url: print(json.dumps({"url": url}), flush=True)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


if __name__ == "__main__":
    main()
