"""The connector as Airbyte's CDK sees it: spec, check and write."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    Status,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets, update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_cleverpush import replay
from destination_cleverpush.catalog import check_mapping
from destination_cleverpush.client import Client
from destination_cleverpush.config import load_spec, parse_config
from destination_cleverpush.dead_letter import DeadLetterStore
from destination_cleverpush.errors import config_error, system_error
from destination_cleverpush.pipeline import Sync
from destination_cleverpush.protocol import (
    Message,
    Output,
    OutputLogHandler,
    error_trace,
    parse_lines,
    parse_message,
    read_lines,
)

logger = logging.getLogger("airbyte")


class DestinationCleverpush(Destination):
    """Keeps the subscriptions and tags of one CleverPush channel in step with the rows that it is given."""

    def check(
        self,
        logger: logging.Logger,  # noqa: ARG002 - part of the CDK's interface
        config: Mapping[str, Any],
    ) -> AirbyteConnectionStatus:
        """Validate the configuration, the key against the channel, and the dead letter store by writing to it."""
        try:
            parsed = parse_config(config)
            check_mapping(parsed)
            Client(parsed).check()
            if parsed.rejected_records is not None:
                DeadLetterStore(parsed.rejected_records, "check", lambda _error: None).probe()
        except AirbyteTracedException as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=error.message)
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterator[AirbyteMessage]:
        """Deliver the records; yield each state once the rows before it are in CleverPush.

        For callers from Python. The console command keeps the platform's lines as they are; the CDK's classes, which
        have no place for a state's `id` and for rejected counts, drop them.

        Raises:
            AirbyteTracedException: the failure that ended the sync.
        """
        catalog = cast(Mapping[str, Any], ConfiguredAirbyteCatalogSerializer.dump(configured_catalog))
        sync = Sync(parse_config(config), catalog, logger)
        for lines in sync.run([message] for m in input_messages if (message := _message(m)) is not None):
            for line in lines:
                yield AirbyteMessageSerializer.load(json.loads(line))

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """The command line: spec, check, write or replay. A wrong one ends with a usage line, as argparse has it."""
        parser = argparse.ArgumentParser(
            prog="destination-cleverpush",
            description="An Airbyte destination that keeps the subscriptions and tags of a CleverPush channel in step.",
        )
        commands = parser.add_subparsers(dest="command", required=True, metavar="{spec,check,write,replay}")
        commands.add_parser("spec", help="print the configuration form as an Airbyte SPEC message")
        check = commands.add_parser("check", help="try the configuration against CleverPush")
        write = commands.add_parser("write", help="deliver the Airbyte messages that arrive on standard input")
        for command in (check, write):
            command.add_argument("--config", required=True, metavar="FILE", help="the configuration, as JSON")
        write.add_argument("--catalog", required=True, metavar="FILE", help="the configured catalog, as JSON")
        replay.add_arguments(
            commands.add_parser("replay", help="print stored rejected rows as Airbyte records, to be written again")
        )
        return parser.parse_args(args)

    def run(self, args: list[str]) -> None:
        """Run one command of the console script; messages go to standard output, each line flushed at once.

        Raises:
            SystemExit: with code 1 after a failure, which was told in a TRACE message; 2 for a wrong command line.
        """
        parsed = self.parse_args(args)
        output = Output()
        logger.handlers, logger.propagate = [OutputLogHandler(output)], False
        logger.setLevel(logging.DEBUG if os.environ.get("LOG_LEVEL", "").lower() == "debug" else logging.INFO)
        try:
            with closing(self._lines(parsed)) as batches:
                for lines in batches:
                    output.write(*lines)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
            raise SystemExit(1) from None  # nobody reads our output any more: there is nothing left to tell
        except AirbyteTracedException as error:
            with suppress(BrokenPipeError):
                output.write(error_trace(error, time.time()))
            if parsed.command == "replay":  # its output is piped into write, which passes over what is no record
                print(error.message, file=sys.stderr)
            raise SystemExit(1) from None
        except Exception as error:  # noqa: BLE001 - the user gets a TRACE message whatever it is
            output.write(
                error_trace(_unforeseen(error), time.time(), "".join(traceback.format_tb(error.__traceback__)))
            )
            raise SystemExit(1) from None

    def _lines(self, parsed: argparse.Namespace) -> Generator[list[str], None, None]:
        if parsed.command == "spec":
            yield [_line(AirbyteMessage(type=Type.SPEC, spec=self.spec(logger)))]
            return
        if parsed.command == "replay":
            yield from ([line] for line in replay.run(parsed))
            return
        config = _read_json_object(parsed.config, "configuration")
        # Registered with the log's filter before anything can print them, with and without pasted blanks.
        secrets = [str(secret) for secret in get_secrets(load_spec()["connectionSpecification"], config)]
        update_secrets([*secrets, *(secret.strip() for secret in secrets)])
        if parsed.command == "check":
            yield [_line(self._run_check(config))]
            return
        sync = Sync(parse_config(config), _read_json_object(parsed.catalog, "catalog"), logger)
        _cancel_on_signals(sync)
        yield from sync.run(parse_lines(read_lines(cast(BinaryIO, sys.stdin.buffer))))


def _line(message: AirbyteMessage) -> str:
    return json.dumps(AirbyteMessageSerializer.dump(message))


def _message(message: AirbyteMessage) -> Message | None:
    """A CDK message as ours, or None for the types that are passed over."""
    if message.type not in (Type.RECORD, Type.STATE):
        return None
    dumped = cast(dict[str, Any], AirbyteMessageSerializer.dump(message))
    return parse_message(dumped, json.dumps(dumped) if message.type is Type.STATE else "")


def _read_json_object(path: str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise config_error(f"The {what} file {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise config_error(f"The {what} file {path} is not JSON.") from None
    if not isinstance(content, dict):
        raise config_error(f"The {what} file {path} does not hold a JSON object.")
    return content


def _cancel_on_signals(sync: Sync) -> None:
    """End the sync in good order at the first SIGTERM or SIGINT; a second one ends the process at once."""

    def cancel(number: int, _frame: object) -> None:
        signal.signal(number, lambda again, _frame: os._exit(128 + again))
        # In a thread of its own: what the signal interrupts may be halfway through the same bookkeeping.
        threading.Thread(target=sync.cancel, name="cancel", daemon=True).start()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, cancel)


def _unforeseen(error: Exception) -> AirbyteTracedException:
    """The connector's own fault. What the exception says may quote a row, so only its type is told."""
    message = (
        f"The connector failed unexpectedly ({type(error).__name__}). This is a defect of the connector: report it "
        "with the log of this sync. Rows that were not delivered will be sent with the next attempt."
    )
    return system_error(message)
