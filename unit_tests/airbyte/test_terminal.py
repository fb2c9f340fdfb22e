"""What a person at a terminal sees."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from rich.console import Console

from destination_cleverpush.airbyte.discover import catalog_of
from destination_cleverpush.airbyte.terminal import Terminal, TerminalHandler
from destination_cleverpush.checks import Step
from destination_cleverpush.errors import config_error, transient_error
from destination_cleverpush.sync import Sync
from destination_cleverpush.words import Row, Stream, StreamId
from unit_tests.configurations import make_config
from unit_tests.server import Server, said


class Screen:
    """A terminal of this width, and what stands on it."""

    def __init__(self, width: int = 80, **options: Any) -> None:
        self._file = io.StringIO()
        console = Console(file=self._file, width=width, highlight=False, **options)
        self.terminal = Terminal(console)

    @property
    def text(self) -> str:
        return self._file.getvalue()

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.text.splitlines()]


def failing(message: str) -> Any:
    def run() -> str:
        raise config_error(message)

    return run


def test_a_check_that_goes_well_is_a_list_of_what_was_found() -> None:
    screen = Screen()
    assert screen.terminal.check(
        [Step("Channel", lambda: "the key opens it"), Step("Tags", lambda: "3 in the channel")]
    )
    assert screen.lines == [
        "✓ Channel       the key opens it",
        "✓ Tags          3 in the channel",
        "✓ Ready         A sync can begin. Nothing was changed in CleverPush.",
    ]


def test_a_check_ends_with_what_is_wrong_and_goes_on_past_what_is_only_good_to_know() -> None:
    screen = Screen()
    found = [
        Step("Tags", failing("They cannot be read."), needed=False),
        Step("Channel", failing("Channel not found. " + "Verify the channel ID. " * 3)),
        Step("Dead letters", failing("It is never asked.")),
    ]
    assert not screen.terminal.check(found)
    assert screen.lines == [
        "! Tags          They cannot be read.",
        "✗ Channel       Channel not found. Verify the channel ID. Verify the channel ID.",
        "                Verify the channel ID.",
    ]


def test_discover_lists_objects_and_fields() -> None:
    screen = Screen()
    screen.terminal.discover(catalog_of(["plan"]))
    assert screen.lines[0] == "subscriptions  Upsert, Insert, Update, Soft delete"
    assert "    subscription_id  string   required, matching key" in screen.lines
    assert "    plan             string" in screen.lines
    assert "tags  Upsert, Insert, Soft delete" in screen.lines


def test_a_sync_ends_with_a_table_per_stream_and_what_to_do_per_reason() -> None:
    screen = Screen()
    users, orders = StreamId("users"), StreamId("orders")
    rows = [Row(users, {"subscription_id": name}, 1, 100, n) for n, name in enumerate(["u1", "u2", ""], 1)]
    logger = logging.getLogger("airbyte.test.terminal")
    logger.handlers, logger.propagate = [TerminalHandler(screen.terminal)], False
    with Server(said(200, {})) as server:
        sync = Sync(make_config(server.url), [Stream(users, {}), Stream(orders, {})], logger)
        screen.terminal.deliver(sync, [rows], lambda: 0.5)
    assert [line for line in screen.lines if line.startswith(("Stream", "users", "orders"))] == [
        "Stream  Read  Delivered  Rejected  Open  No call  Calls",
        "users      3          2         1     0        0      2",
        "orders     0          0         0     0        0      0",
    ]
    assert "✗ stream 'users', row 3, missing_subscription_id: subscription_id is missing or" in screen.lines
    assert screen.text.count("Map a column that is always filled") == 1
    assert "✗ missing_subscription_id: 1 row. Map a column that is always filled to" in screen.lines
    assert " ".join(screen.text.split()).endswith("to be sent again by the command replay.")
    assert any(line.startswith("! The sync succeeded after ") for line in screen.lines)


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_at_the_end_cuts_off_no_word(width: int) -> None:
    screen = Screen(width)
    logger = logging.getLogger("airbyte.test.terminal")
    logger.handlers, logger.propagate = [TerminalHandler(screen.terminal)], False
    with Server(said(200, {})) as server:
        screen.terminal.deliver(Sync(make_config(server.url), [Stream(StreamId("users"), {})], logger), [], None)
    assert "…" not in screen.text
    assert any(line.startswith("Stream  Read  Delivered  Rejected  Open") for line in screen.lines)


def test_a_failure_says_whether_trying_again_may_help() -> None:
    screen = Screen(120)
    screen.terminal.fail(config_error("The key is wrong."))
    screen.terminal.fail(transient_error("CleverPush is out of reach."))
    assert screen.lines == [
        "✗ Failed        The key is wrong. Correct this, then run it again.",
        "✗ Failed        CleverPush is out of reach. This may pass: run it again.",
    ]


@pytest.fixture
def _secret() -> Iterator[None]:
    update_secrets(["private-key-4711"])
    yield
    update_secrets([])


@pytest.mark.usefixtures("_secret")
def test_no_secret_is_shown() -> None:
    screen = Screen()
    screen.terminal.fail(config_error("It is private-key-4711."))
    assert screen.lines == ["✗ Failed        It is ****. Correct this, then run it again."]


@pytest.mark.parametrize("width", [40, 80, 300])
def test_no_line_is_wider_than_the_terminal_or_than_can_be_read(width: int) -> None:
    screen = Screen(width)
    screen.terminal.say("note", "word " * 100)
    screen.terminal.discover(catalog_of(["an_attribute_of_a_rather_long_name"]))
    assert max(map(len, screen.lines)) <= min(width, 120)


def test_text_of_rows_is_no_markup() -> None:
    screen = Screen()
    screen.terminal.say("bad", "stream '[red]x[/red]'")
    assert screen.lines == ["✗ stream '[red]x[/red]'"]
