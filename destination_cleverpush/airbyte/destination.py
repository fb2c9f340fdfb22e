"""The connector as Airbyte's CDK sees it: spec, check and write; and the console commands."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    ConnectorSpecification,
    Status,
    Type,
)
from airbyte_cdk.models.airbyte_protocol_serializers import ConnectorSpecificationSerializer
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets, update_secrets

from destination_cleverpush.airbyte import send
from destination_cleverpush.airbyte.catalog import is_truncated, read_catalog
from destination_cleverpush.airbyte.lines import LineParser, Message, read_lines
from destination_cleverpush.airbyte.messages import OutputLogHandler, error_trace, traced
from destination_cleverpush.airbyte.output import Output, OutputClosed
from destination_cleverpush.airbyte.states import with_stats
from destination_cleverpush.config import Config, load_spec, parse_config, unknown_keys
from destination_cleverpush.dead_letter import replay
from destination_cleverpush.errors import Failure, config_error, system_error
from destination_cleverpush.objects.settings import AudienceMode, Settings
from destination_cleverpush.words import Stream, StreamId

if TYPE_CHECKING:
    from destination_cleverpush.sync import Sync

# Rooms that not every command needs are imported by those that do, since that takes longer than `spec` by itself.

CANCEL_SECONDS = 5.0
"""A SIGTERM has ended the process after so many seconds at the latest, whatever hangs."""

logger = logging.getLogger("airbyte")


class DestinationCleverpush(Destination):
    """Keeps the subscriptions and tags of one CleverPush channel in step with the rows that it is given."""

    def spec(self, logger: logging.Logger) -> ConnectorSpecification:  # noqa: ARG002 - part of the CDK's interface
        """The form."""
        return ConnectorSpecificationSerializer.load(load_spec())

    def check(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
    ) -> AirbyteConnectionStatus:
        """Validate the configuration, the key against the channel, and the dead letter store by writing to it.

        The log tells which routes were found, and what the channel lacks.
        """
        from destination_cleverpush.checks import check_connection  # noqa: PLC0415

        try:
            check_connection(parse_config(config), logger.log)
        except Failure as failure:
            return AirbyteConnectionStatus(status=Status.FAILED, message=failure.message)
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
        try:
            catalog = cast(Mapping[str, Any], ConfiguredAirbyteCatalogSerializer.dump(configured_catalog))
            streams = read_catalog(catalog)
            sync = _sync(parse_config(config), streams)
            parser = _parser(streams)
            for lines in _written(sync, ([m] for message in input_messages if (m := _message(parser, message)))):
                for line in lines:
                    yield AirbyteMessageSerializer.load(json.loads(line))
        except Failure as failure:
            raise traced(failure) from None

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """The command line. A wrong one ends with a usage line, as argparse has it."""
        parser = argparse.ArgumentParser(
            prog="destination-cleverpush",
            description="An Airbyte destination that keeps the subscriptions and tags of a CleverPush channel in step.",
        )
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser("spec", help="print the configuration form as an Airbyte SPEC message")
        check = commands.add_parser("check", help="try the configuration against CleverPush")
        discover = commands.add_parser("discover", help="print the objects and fields that a connection can map to")
        write = commands.add_parser("write", help="deliver the Airbyte messages that arrive on standard input")
        for command in (check, discover, write):
            command.add_argument("--config", required=True, metavar="FILE", help="the configuration, as JSON")
        write.add_argument("--catalog", required=True, metavar="FILE", help="the configured catalog, as JSON")
        sent = commands.add_parser("send", help="deliver the rows of a file, without a catalog")
        send.add_arguments(sent)
        for command in (write, sent):
            command.add_argument("--fail-on-rejected", action="store_true", help="end with code 1 if a row is rejected")
            command.add_argument("--dry-run", action="store_true", help="write nothing to CleverPush, only tell of it")
            command.add_argument(
                "--plan", type=Path, metavar="FILE", help="with --dry-run: write all calls to this file"
            )
        sent.add_argument("--config", required=True, metavar="FILE", help="the configuration, as JSON")
        for command in (check, discover, write, sent):
            command.add_argument("--json", action="store_true", help="print Airbyte's lines at a terminal, too")
        parser.add_argument("--version", action="version", version=f"%(prog)s {version('destination-cleverpush')}")
        replay.add_arguments(
            commands.add_parser("replay", help="print stored rejected rows as Airbyte records, to be written again")
        )
        remembered = commands.add_parser("tracking", help="show, forget or export what change tracking remembers")
        remembered.add_argument("action", choices=["show", "forget", "export"], help="what to do with the memory")
        remembered.add_argument("--config", required=True, metavar="FILE", help="the configuration, as JSON")
        remembered.add_argument("--stream", metavar="NAME", help="the stream to forget (name or namespace.name)")
        remembered.add_argument("--json", action="store_true", help="show as JSON lines")
        return parser.parse_args(args)

    def run(self, args: list[str]) -> None:
        """Run one command of the console script; messages go to standard output, each line as soon as it is there.

        Raises:
            SystemExit: with code 1 after a failure, which was told in a TRACE message; 2 for a wrong command line.
        """
        parsed = self.parse_args(args)
        logger.setLevel(logging.DEBUG if os.environ.get("LOG_LEVEL", "").lower() == "debug" else logging.INFO)
        logger.propagate = False
        output = Output(sys.stdout)
        if not getattr(parsed, "json", True) and getattr(sys.stdout, "isatty", lambda: False)():
            raise SystemExit(self._show(parsed, output))
        logger.handlers = [OutputLogHandler(output)]
        failure: Failure | None = None
        stack: str | None = None
        try:
            with closing(self._lines(parsed, output)) as batches:
                for lines in batches:
                    output.write(*lines)
        except OutputClosed:
            raise SystemExit(1) from None  # nobody reads our output any more: there is nothing left to tell
        except Failure as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - the user gets a TRACE message whatever it is
            failure, stack = _unforeseen(error), "".join(traceback.format_tb(error.__traceback__))
        try:
            if failure is not None:
                output.tell(error_trace(failure, time.time(), stack))
            output.flush()
        except (OutputClosed, Failure) as error:
            if isinstance(error, Failure):
                _end_without_output(error.message)
            raise SystemExit(1) from None
        if failure is not None:
            if parsed.command in ("replay", "tracking"):  # their output is no platform's
                print(failure.message, file=sys.stderr)
            raise SystemExit(1)

    def _lines(self, parsed: argparse.Namespace, output: Output) -> Generator[Sequence[str], None, None]:
        if parsed.command == "spec":
            yield [_line(AirbyteMessage(type=Type.SPEC, spec=self.spec(logger)))]
            return
        if parsed.command == "replay":
            yield from ([line] for line in replay.run(parsed, _store_settings))
            return
        if parsed.command == "tracking":
            yield from ([line] for line in _remembered(parsed))
            return
        config = _read_config(parsed.config)
        for sentence in unknown_keys(config):
            logger.warning(sentence)
        if parsed.command == "check":
            yield [_line(self._run_check(config))]
            return
        if parsed.command == "discover":
            from destination_cleverpush.airbyte.discover import catalog_line, destination_catalog  # noqa: PLC0415

            yield [catalog_line(destination_catalog(config, logger))]
            return
        streams, messages, _ = _input(parsed)
        sync = _sync(_rehearsed(parse_config(config), parsed), streams, parsed.plan)
        _cancel_on_signals(sync, output)
        output.when_broken(sync.cancel)
        _spare_the_collector()
        yield from _written(sync, messages)
        _judge(parsed, sync)

    def _show(self, parsed: argparse.Namespace, output: Output) -> int:
        """Run a command for people; returns its exit code."""
        from destination_cleverpush.airbyte.terminal import Terminal, TerminalHandler  # noqa: PLC0415 - takes a while

        terminal = Terminal()
        logger.handlers = [TerminalHandler(terminal)]
        try:
            if parsed.command == "tracking":
                for line in _remembered(parsed):
                    terminal.console.print(line, markup=False, highlight=False)
                return 0
            raw = _read_config(parsed.config)
            for sentence in unknown_keys(raw):
                logger.warning(sentence)
            if parsed.command == "discover":
                from destination_cleverpush.airbyte.discover import destination_catalog  # noqa: PLC0415

                terminal.discover(destination_catalog(raw, logger))
                return 0
            config = replace(parse_config(raw), progress_interval_seconds=0.0)
            if parsed.command == "check":
                terminal.say("good", "every field is as the form wants it", "Configuration")
                from destination_cleverpush.checks import steps  # noqa: PLC0415

                return 0 if terminal.check(steps(config, logger.log)) else 1
            streams, messages, share = _input(parsed)
            sync = _sync(_rehearsed(config, parsed), streams, parsed.plan)
            _cancel_on_signals(sync, output)
            _spare_the_collector()
            terminal.deliver(sync, messages, share)
            _judge(parsed, sync)
        except Failure as failure:
            terminal.fail(failure)
            return 1
        except Exception as error:  # noqa: BLE001 - told whatever it is
            terminal.fail(_unforeseen(error))
            terminal.console.print("".join(traceback.format_tb(error.__traceback__)), style="dim", markup=False)
            return 1
        return 0


def _input(
    parsed: argparse.Namespace,
) -> tuple[list[Stream], Iterator[Sequence[Message]], Callable[[], float] | None]:
    """What is to be delivered: its streams, its messages, and how much of it has been read, where that is known."""
    if parsed.command == "send":
        source = send.open_source(parsed.file)
        stream = send.stream_of(parsed, source)
        return [stream], send.messages(stream.id, source, complete=parsed.complete), source.share
    if sys.stdin is None:
        raise system_error("Standard input is closed: there are no messages to deliver.")
    streams = read_catalog(_read_json_object(parsed.catalog, "catalog"))
    parser = _parser(streams)

    def messages() -> Iterator[Sequence[Message]]:
        try:
            yield from parser.parse(read_lines(cast(BinaryIO, sys.stdin.buffer)))
        finally:
            if parser.passed_over:
                logger.warning(
                    "%d line%s of the input did not begin with '{': passed over, as text of something else in the "
                    "pipe, such as a library that prints.",
                    parser.passed_over,
                    "" if parser.passed_over == 1 else "s",
                )

    share = None
    with suppress(AttributeError, OSError):
        share = send.share_read(sys.stdin.fileno())
    return streams, messages(), share


def _judge(parsed: argparse.Namespace, sync: Sync) -> None:
    """Fail where the user wants rejected rows to be a failure of the command."""
    if parsed.fail_on_rejected and (rejected := sync.counts.total.rejected.total()):
        raise config_error(
            f"{rejected} row{' was' if rejected == 1 else 's were'} rejected, and --fail-on-rejected makes that a "
            "failure. All other rows were delivered."
        )


def _read_config(path: str) -> dict[str, Any]:
    """The configuration file, whose secrets no log line and no failure shows from now on."""
    config = _read_json_object(path, "configuration")
    # With and without pasted blanks.
    secrets = [str(secret) for secret in get_secrets(load_spec()["connectionSpecification"], config)]
    update_secrets([*secrets, *(secret.strip() for secret in secrets)])
    return config


def _rehearsed(config: Config, parsed: argparse.Namespace) -> Config:
    """The configuration with what the command line says of a dry run."""
    if parsed.dry_run:
        config = replace(config, dry_run=True)
    if parsed.plan is not None and not config.dry_run:
        raise config_error("--plan writes down the calls of a dry run: give --dry-run, too.")
    return config


def _spare_the_collector() -> None:
    """What was imported is no garbage, and looking through it again and again costs a fifth of the time for a row."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _sync(config: Config, streams: Sequence[Stream], plan: Path | None = None) -> Sync:
    from destination_cleverpush.objects.activation import stream_settings  # noqa: PLC0415
    from destination_cleverpush.sync import Sync  # noqa: PLC0415

    sync = Sync(config, streams, logger, plan)
    for stream in streams:
        if is_truncated(stream) and config.change_tracking is None:
            _tell_truncated(stream.id, stream_settings(config.objects, stream))
    return sync


def _tell_truncated(stream: StreamId, settings: Settings) -> None:
    if settings.audience_mode is AudienceMode.MIRROR:
        level = logging.INFO
        advice = (
            f"Mirror removes the rows that the column '{settings.removed_field}' marks, and no others; with Change "
            "Tracking, it removes those who are absent, too."
        )
    else:
        level = logging.WARNING
        advice = (
            "Use the audience sync mode Mirror to remove rows that are marked as removed, and Change Tracking to "
            "remove those who are absent, too."
        )
    logger.log(
        level,
        "Stream '%s' is in overwrite mode, but nothing that is absent from the source is removed from CleverPush. %s",
        stream,
        advice,
    )


def _written(sync: Sync, batches: Iterable[Sequence[Message]]) -> Iterator[list[str]]:
    """The states that may leave, as lines, together as they do."""
    for states in sync.run(batches):
        yield [with_stats(state) for state in states]


def _parser(streams: Sequence[Stream]) -> LineParser:
    def tell(stream: StreamId | None, source: float, came: int) -> None:
        logger.warning(
            "%s: the source counted %d records before a state, and %d came here. If this goes on, records are lost or "
            "doubled between the source and this destination.",
            "All streams" if stream is None else f"Stream '{stream}'",
            source,
            came,
        )

    return LineParser((stream.id for stream in streams), tell)


def _line(message: AirbyteMessage) -> str:
    return json.dumps(AirbyteMessageSerializer.dump(message))


def _message(parser: LineParser, message: AirbyteMessage) -> Message | None:
    """A CDK message as ours, or None for the types that are passed over."""
    if message.type not in (Type.RECORD, Type.STATE, Type.TRACE):
        return None
    dumped = cast(dict[str, Any], AirbyteMessageSerializer.dump(message))
    return parser.message(dumped, json.dumps(dumped) if message.type is Type.STATE else "")


def _remembered(parsed: argparse.Namespace) -> Iterator[str]:
    """What the command `tracking` prints."""
    from destination_cleverpush.tracking import command as tracking  # noqa: PLC0415

    config = parse_config(_read_config(parsed.config))
    return tracking.run(parsed, config.change_tracking, config.api.channel_id)


def _store_settings(config_path: str) -> Any:
    return parse_config(_read_json_object(config_path, "configuration")).rejected_records


def _read_json_object(path: str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise config_error(f"The {what} file {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise config_error(f"The {what} file {path} is not JSON.") from None
    if not isinstance(content, dict):
        raise config_error(f"The {what} file {path} does not hold a JSON object.")
    return content


def _cancel_on_signals(sync: Sync, output: Output) -> None:
    """End the sync in good order at the first SIGTERM or SIGINT; a second one ends the process at once."""

    def end_in_time() -> None:
        output.hurry(CANCEL_SECONDS)
        sync.cancel()
        time.sleep(CANCEL_SECONDS)
        os._exit(1)

    def cancel(number: int, _frame: object) -> None:
        signal.signal(number, lambda again, _frame: os._exit(128 + again))
        # In a thread of its own: what the signal interrupts may be halfway through the same bookkeeping.
        threading.Thread(target=end_in_time, name="cancel", daemon=True).start()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, cancel)


def _unforeseen(error: Exception) -> Failure:
    """The connector's own fault. What the exception says may quote a row, so only its type is told."""
    return system_error(
        f"The connector failed unexpectedly ({type(error).__name__}). This is a defect of the connector: report it "
        "with the log of this sync. Rows that were not delivered will be sent with the next attempt."
    )


def _end_without_output(why: str) -> NoReturn:
    with suppress(OSError, AttributeError):
        print(f"destination-cleverpush: {why}", file=sys.stderr)
    raise SystemExit(1)
