"""Output for people, where standard output is a terminal. The platform never gives one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from destination_cleverpush.airbyte.lines import Message
from destination_cleverpush.checks import Step
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.objects.activation import SHOWN
from destination_cleverpush.settlement.progress import ADVICE, SUMMARY, refused_names
from destination_cleverpush.sync import Sync

_WIDEST = 120
_NARROW = 60
_REJECTED = "Rejected: "
_MARKS = {
    "good": ("✓", "+", "green"),
    "bad": ("✗", "x", "red"),
    "mind": ("!", "!", "yellow"),
    "note": ("·", "-", "dim"),
}
"""The sign of a sentence, what takes its place where the terminal has no such sign, and its colour."""
_AGAIN = {
    FailureKind.CONFIG: "Correct this, then run it again.",
    FailureKind.TRANSIENT: "This may pass: run it again.",
    FailureKind.SYSTEM: "",
}


class Terminal:
    """A terminal. What it prints has no secrets, and wraps under itself.

    Args:
        console: what to print to; it knows its width, and respects NO_COLOR.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.console.width = min(self.console.width, _WIDEST)
        self._plain = 1 if "utf" not in self.console.encoding.lower() else 0

    # --- commands

    def check(self, steps: Iterable[Step]) -> bool:
        """Run the steps, each told as soon as it is done; returns whether all that are needed went well."""
        for step in steps:
            try:
                self.say("good", step.run(), step.title)
            except Failure as failure:  # noqa: PERF203 - there are five
                self.say("bad" if step.needed else "mind", failure.message, step.title)
                if step.needed:
                    return False
        self.say("good", "A sync can begin. Nothing was changed in CleverPush.", "Ready")
        return True

    def discover(self, catalog: Mapping[str, Any]) -> None:
        """Objects, their sync modes and their fields."""
        objects: dict[str, list[Mapping[str, Any]]] = {}
        for operation in catalog["operations"]:
            objects.setdefault(operation["object_name"], []).append(operation)
        for name, operations in objects.items():
            schema = operations[0]["json_schema"]
            self.console.print(
                Text.assemble((name, "bold"), f"  {', '.join(SHOWN[one['sync_mode']] for one in operations)}")
            )
            fields = Table.grid(padding=(0, 2))
            fields.add_column(width=2)
            fields.add_column(overflow="fold")
            for field, described in schema["properties"].items():
                needed = "required, matching key" if [field] in operations[0]["matching_keys"] else "required"
                fields.add_row("", field, described["type"], needed if field in schema["required"] else "")
            if schema["additionalProperties"]:
                fields.add_row("", Text("any other", "dim"), "", Text("becomes a custom attribute", "dim"))
            self.console.print(fields, "")

    def deliver(self, sync: Sync, messages: Iterable[Sequence[Message]], share: Callable[[], float] | None) -> None:
        """Run a sync, with a live line while it goes on and a table at its end.

        Args:
            share: how much of the input has been read, 0 to 1; None where that cannot be known.

        Raises:
            Failure: what ended it.
        """
        started = time.monotonic()
        states = 0

        def line() -> Text:
            return _live_line(sync, time.monotonic() - started, share)

        try:
            with Live(console=self.console, get_renderable=line, transient=True, refresh_per_second=4):
                for due in sync.run(messages):
                    states += len(due)
        finally:
            self._tell_end(sync, states)

    # --- sentences

    def say(self, kind: str, sentence: str, title: str = "") -> None:
        """A sentence with a mark before it: `good`, `bad`, `mind` or `note`."""
        sign, plain, style = _MARKS[kind]
        row = Table.grid(padding=(0, 1))
        row.add_column(width=1)
        if title:
            row.add_column(width=13, no_wrap=True)
        row.add_column()
        texts = [Text(title, "bold")] * bool(title) + [Text(filter_secrets(sentence), "dim" if kind == "note" else "")]
        row.add_row(Text((sign, plain)[self._plain], style), *texts)
        self.console.print(row)

    def fail(self, failure: Failure) -> None:
        """What ended the command."""
        self.say("bad", f"{failure.message} {_AGAIN[failure.kind]}".rstrip(), "Failed")

    def _tell_end(self, sync: Sync, states: int) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("Stream", overflow="fold")
        titles = ("Read", "Delivered", "Rejected", "Open", "No call", "Calls")[
            : 4 if self.console.width < _NARROW else 6
        ]
        for title in titles:
            table.add_column(title, justify="right", no_wrap=True)
        total = sync.counts.total
        for stream, read in sync.read.items():
            counts = sync.counts.of(stream)
            rejected, undelivered = counts.rejected.total(), read - counts.settled
            cells = (
                f"{read:,}",
                f"{counts.delivered:,}",
                Text(f"{rejected:,}", "red" if rejected else ""),
                Text(f"{undelivered:,}", "red" if undelivered else ""),
                f"{counts.without_call:,}",
                f"{sync.calls.get(stream, 0):,}",
            )
            table.add_row(str(stream), *cells[: len(titles)])
        self.console.print("", table, "")
        for reason, count in total.rejected.most_common():
            rows = f"{count:,} row{'' if count == 1 else 's'}"
            self.say("bad", f"{reason.code}: {rows}{refused_names(total, reason)}. {reason.advice}")
        confirmed = f" {states:,} state{'' if states == 1 else 's'} confirmed." if states else ""
        self.say("mind" if total.rejected else "good", sync.ending + confirmed)


class TerminalHandler(logging.Handler):
    """Log records as sentences; those of the summary are left out, since the terminal has its table."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        """Print one log record."""
        if getattr(record, SUMMARY, False):
            return
        message = record.getMessage().encode("utf-8", "backslashreplace").decode()
        if message.startswith(_REJECTED):
            # What to do is told once, at the end.
            self._terminal.say("bad", message.removeprefix(_REJECTED).removesuffix(getattr(record, ADVICE, "")))
        else:
            self._terminal.say("mind" if record.levelno >= logging.WARNING else "note", message)


def _live_line(sync: Sync, seconds: float, share: Callable[[], float] | None) -> Text:
    """How far the sync is, most important first, since a narrow terminal cuts it off."""
    pulse, total, read = sync.pulse(), sync.counts.total, sum(sync.read.values())
    settled = total.settled
    parts = [f"{settled:,} rows", f"{settled / max(seconds, 0.001):,.0f}/s"]
    if share is not None and read and settled:
        done = share() * settled / read
        left = timedelta(seconds=round(seconds * (1 - done) / max(done, 0.001)))
        parts.append(f"{done:.0%}, {left} left")
    parts += [f"{total.rejected.total():,} rejected"] * bool(total.rejected)
    parts += [f"throttled {pulse.paused_seconds:.0f} s"] * bool(pulse.throttled)
    parts.append(f"{pulse.in_flight} in flight")
    parts += [f"{total.without_call:,} no call"] * bool(total.without_call)
    return Text("  ".join(parts), "cyan", no_wrap=True, overflow="ellipsis")
