"""`python -m integration_tests.simulator`: CleverPush on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from integration_tests.simulator.model import DEFAULT_ACCOUNT, READS, ROUTES
from integration_tests.simulator.server import Server, serve

_ACCOUNT: dict[str, Any] = DEFAULT_ACCOUNT
_CHANNEL: dict[str, Any] = DEFAULT_ACCOUNT["channels"][0]
_LISTS = {
    "tag": "ID[=NAME] of tags",
    "attribute": "custom attributes",
    "topic": "ID[=NAME] of topics",
    "subscription": "ID[=USER_ID] of subscriptions",
}
_TOLD = 50  # subscriptions that are told at the start
_EPILOG = """\
configuration file (only api_key, channels and _id are needed in what it names); options beside it add to its first
account and to the channel that --channel names, its first one if not given:
  {"accounts": [{"api_key": "...", "public_key": "...", "permissions": ["subscriptions", "tags"],
                 "channels": [{"_id": "...", "name": "...", "tags": ["id", {"_id": "id", "name": "..."}],
                               "topics": [as tags], "segments": [as tags], "attributes": [as tags],
                               "any_attribute": false,
                               "subscriptions": ["native id", {"id": "native id", "user_id": "...",
                                                               "subscribed": true, "tags": ["id"]}]}]}],
   "behaviour": {as Behaviour in integration_tests/simulator/model.py describes},
   "latency": seconds, "keep_calls": N, "faults": {as integration_tests/simulator/faults.py describes}}

look inside: GET /_simulator/state[?channel=ID], /_simulator/calls, /_simulator/stats;
             POST /_simulator/faults (the same object), /_simulator/behaviour, /_simulator/reset
"""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; the first line of output tells the URL, the next ones the subscriptions."""
    parser = _parser()
    args = parser.parse_args()
    try:
        server = Server(_config(args))
    except KeyError as error:
        parser.error(f"the configuration has no {error}")
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    try:
        with suppress(KeyboardInterrupt, asyncio.CancelledError):
            asyncio.run(_serve(server, args.host, args.port))
    except OSError as error:
        sys.exit(
            f"The simulator cannot listen on {args.host}, port {args.port}: {error.strerror}. Name another --port."
        )


def _config(args: argparse.Namespace) -> dict[str, Any]:
    """The configuration that file and options describe."""
    config: dict[str, Any] = json.loads(args.config.read_text(encoding="utf-8")) if args.config else {}
    given = {name: getattr(args, name) for name in _LISTS if getattr(args, name) is not None}
    if "accounts" in config:
        account = config["accounts"][0]
        channels = account["channels"]
        channel = next((c for c in channels if c["_id"] == args.channel), None) if args.channel else channels[0]
        if channel is None:
            channels.append(channel := {"_id": args.channel})
        for name, items in given.items():
            channel[f"{name}s"] = [*channel.get(f"{name}s", ["user_id"] if name == "attribute" else []), *items]
    else:
        channel = {**_CHANNEL, **{f"{name}s": items for name, items in given.items()}}
        channel["_id"] = args.channel or channel["_id"]
        account = {**_ACCOUNT, "channels": [channel]}
        config["accounts"] = [account]
    if args.api_key:
        account["api_key"] = args.api_key
    if args.any_attribute:
        channel["any_attribute"] = True
    behaviour = {"routes": args.routes, "forbidden": args.forbid, "lacking": args.lack, "copies": args.copies}
    config["behaviour"] = {**config.get("behaviour", {}), **_set(behaviour)}
    return config | _set({"latency": args.latency, "keep_calls": args.keep_calls})


def _set(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


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
    parser.add_argument("--channel", help=f"channel ID ({_CHANNEL['_id']})")
    parser.add_argument("--api-key", help=f"private API key ({_ACCOUNT['api_key']})")
    parser.add_argument("--routes", choices=ROUTES, help="of which server: see Behaviour (description)")
    parser.add_argument("--forbid", nargs="*", choices=READS, metavar="READ", help="reads that are answered 403")
    parser.add_argument("--lack", nargs="*", choices=READS, metavar="READ", help="reads that there are not")
    parser.add_argument("--copies", action="store_true", default=None, help="every sync by user_id creates a copy")
    parser.add_argument("--any-attribute", action="store_true", help="accept every custom attribute")
    parser.add_argument("--latency", type=float, help="seconds that every answer takes (0)")
    parser.add_argument("--keep-calls", type=int, help="how many calls to remember; all if not given")
    as_given: dict[str, Callable[[str], Any]] = {"attribute": str, "subscription": _subscription}
    for option, what in _LISTS.items():
        parser.add_argument(
            f"--{option}",
            nargs="*",
            action="extend",
            type=as_given.get(option, _item),
            metavar=option.upper(),
            help=f"{what} that exist, repeatable",
        )
    return parser


def _item(text: str) -> dict[str, str]:
    identifier, _, name = text.partition("=")
    return {"_id": identifier, "name": name or identifier}


def _subscription(text: str) -> dict[str, str]:
    identifier, _, user = text.partition("=")
    return {"id": identifier} | ({"user_id": user} if user else {})


async def _serve(server: Server, host: str, port: int) -> None:
    def tell(url: str) -> None:
        lines = [{"url": url}, *_seeds(server)]
        print("\n".join(map(json.dumps, lines)), flush=True)

    task = asyncio.ensure_future(serve(server, host, port, tell))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


def _seeds(server: Server) -> list[dict[str, Any]]:
    """The first subscriptions, which are there before anybody calls."""
    channels = [channel for account in server.api.accounts for channel in account.channels.values()]
    seeds = [
        {"channel": channel.id, "subscription": one.id, "user_id": one.attributes.get("user_id")}
        for channel in channels
        for one in channel.subscriptions.values()
    ]
    return seeds[:_TOLD]


if __name__ == "__main__":
    main()
