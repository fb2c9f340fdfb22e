"""The documentation says what the code does: tables, constants, examples, targets and links."""

import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer

from destination_cleverpush.catalog import plan_streams
from destination_cleverpush.client import RETRY_STATUSES
from destination_cleverpush.config import AudienceMode, ObjectType, load_spec, parse_config
from destination_cleverpush.delivery import concurrency, dispatcher, throttle
from destination_cleverpush.pipeline import CANCEL_GRACE_SECONDS, Sync
from destination_cleverpush.protocol import Output, OutputLogHandler, parse_lines
from destination_cleverpush.reasons import REASONS, ROW_STATUSES
from destination_cleverpush.rejected import LOGGED_PER_STREAM

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SAMPLES = ROOT / "sample_files"
NO_CALL = "none"
README = (ROOT / "README.md").read_text(encoding="utf-8")
USER_PAGE = (ROOT / "docs" / "cleverpush.md").read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or a higher one."""
    level = heading.split(" ", maxsplit=1)[0]
    _, found, rest = page.partition(f"\n{heading}\n")
    assert found, heading
    return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]


def table(page: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose first column has this title, without its head; cells as text."""
    lines = iter(page.splitlines())
    assert any(line.startswith(f"| {first_column} |") for line in lines), first_column
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def unquoted(cell: str) -> str:
    return cell.strip().strip("`")


@pytest.mark.parametrize("page", [README, USER_PAGE], ids=["README", "user page"])
def test_the_table_of_reasons_is_the_codes(page: str) -> None:
    told = [(unquoted(code), statuses, advice) for code, statuses, advice in table(page, "Code")]
    assert told == [(r.code, ", ".join(map(str, r.statuses)) or NO_CALL, r.advice) for r in REASONS.values()]


def form_fields(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Key, title, whether it is required, and default, for each field that a user fills in."""
    for name, prop in schema["properties"].items():
        if "properties" in prop:
            yield from form_fields(prop, f"{prefix}{name}.")
        else:
            default = prop.get("default")
            told = default or '""' if isinstance(default, str) else json.dumps(default)
            required = "yes" if name in schema.get("required", []) else "no"
            yield f"{prefix}{name}", prop["title"], required, "" if default is None else f"`{told}`"


def test_the_table_of_the_configuration_is_the_spec() -> None:
    told = {unquoted(row[0]): tuple(row[1:4]) for row in table(section(USER_PAGE, "## Configuration"), "Key")}
    fields = form_fields(load_spec()["connectionSpecification"])
    assert told == {key: (title, required, default) for key, title, required, default in fields}


def test_the_table_of_dead_letter_stores_is_the_spec() -> None:
    told = {tuple(map(unquoted, row[:5])) for row in table(section(USER_PAGE, "## Configuration"), "Store")}
    options = load_spec()["connectionSpecification"]["properties"]["rejected_records"]["oneOf"]
    assert told == {
        (option["properties"]["storage_type"]["const"], key, title, required, unquoted(default))
        for option in options
        for key, title, required, default in form_fields(option)
        if key != "storage_type"
    }
    kinds = [option["properties"]["storage_type"]["const"] for option in options]
    assert [kind for kind in kinds if f"`{kind}`" not in section(USER_PAGE, "### Dead letter store")] == []


def test_every_choice_of_the_form_is_explained() -> None:
    told = {unquoted(row[0]): row[4] for row in table(section(USER_PAGE, "## Configuration"), "Key")}
    for key, explanation in told.items():
        prop: Any = load_spec()["connectionSpecification"]
        for part in key.split("."):
            prop = prop["properties"][part]
        assert [choice for choice in prop.get("enum", []) if f"`{choice}`" not in explanation] == []


def test_the_constants_are_the_codes() -> None:
    limits = " ".join(" ".join(row) for row in table(USER_PAGE, "What"))
    for promise in (
        f"HTTP {', '.join(map(str, sorted(RETRY_STATUSES)))} up to {dispatcher.RETRIES}; up to",
        f"up to {dispatcher.MOST_TRIES - 1} where other calls fail",
        f"up to {dispatcher.RETRY_BASE_SECONDS:g} s before the first and doubling",
        f"doubling, never more than {dispatcher.RETRY_CAP_SECONDS:g} s; on 503",
        f"{throttle.BACKOFF_BASE_SECONDS:g} s, doubling with each refusal in a row",
        f"refusal in a row, never more than {throttle.BACKOFF_CAP_SECONDS:g} s; everybody waits",
        f"Longest wait {dispatcher.LONGEST_DELAY_SECONDS / 60:g} minutes",
    ):
        assert promise in limits
    for promise in (
        f"starts with {concurrency._START} requests in flight",
        f"{dispatcher.MOST_ROWS:,} rows (or {dispatcher.MOST_BYTES / 2**20:g} MiB) are on their way",
        f"After {dispatcher.MOST_TRIES} calls for one row",
        f"have {CANCEL_GRACE_SECONDS:g} seconds to end",
        f"the first {LOGGED_PER_STREAM} rejected rows of a stream",
        f"refuses it (HTTP {', '.join(map(str, sorted(ROW_STATUSES)))})",
    ):
        assert promise in " ".join(USER_PAGE.split())


def test_the_messages_in_the_readme_are_those_of_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "destination_cleverpush").rglob("*.py"))
    rows = table(README, "Message begins with")
    beginnings = [part for row in rows for cell in row[0].split(", ") for part in unquoted(cell).split("…")]
    assert len(beginnings) > len(rows)
    assert [part for part in beginnings if part not in code] == []
    kinds = {unquoted(kind) for row in rows for kind in row[1].split(" or ")}
    assert kinds == {"config_error", "transient_error", "system_error"}


class Example:
    """A worked example of the README: configuration, lines in, calls per mode, lines out."""

    def __init__(self, heading: str) -> None:
        blocks = re.findall(r"```(\w+)[^\n]*\n(.*?)\n```", section(README, heading), re.DOTALL)
        (_, config), (_, lines_in), (_, calls), (_, lines_out) = blocks
        self.config: dict[str, Any] = json.loads(config)
        self.lines_in = lines_in.splitlines()
        self.lines_out = [json.loads(line) for line in lines_out.splitlines()]
        self.calls: dict[str, list[tuple[str, Any]]] = {}
        mode = ""
        for line in calls.splitlines():
            modes, _, call = line.partition("POST ")
            mode = modes.strip() or mode
            route, _, body = call.partition(" ")
            for name in mode.split(", "):
                self.calls.setdefault(name, []).append((route, json.loads(body)))


class Recorder(BaseHTTPRequestHandler):
    """Answers `{}` to every call and notes it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        pass


class Collected(Output):
    """Standard output as a list of messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    def write(self, *lines: str) -> None:
        self.messages.extend(map(json.loads, lines))


@pytest.fixture
def recorder() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.calls = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def catalog_of(lines: list[str]) -> dict[str, Any]:
    names = dict.fromkeys(json.loads(line)["record"]["stream"] for line in lines if '"RECORD"' in line)
    return {"streams": [{"stream": {"name": name, "json_schema": {}}} for name in names]}


@pytest.mark.parametrize("heading", ["### Subscriptions (Attributes)", "### Tags"])
@pytest.mark.parametrize("mode", [mode.value for mode in AudienceMode])
def test_the_examples_in_the_readme_are_true(
    heading: str, mode: str, recorder: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = Example(heading)
    output = Collected()
    logger = logging.getLogger("destination_cleverpush.example")
    monkeypatch.setattr(logger, "handlers", [OutputLogHandler(output)])
    advanced = {"base_url": f"http://127.0.0.1:{recorder.server_port}", "max_concurrency": 1}
    config = parse_config(example.config | {"audience_mode": mode, "advanced": advanced})
    sync = Sync(config, catalog_of(example.lines_in), logger)
    for lines in sync.run(parse_lines([[line.encode() for line in example.lines_in]])):
        output.write(*lines)
    assert recorder.calls == example.calls[mode]  # type: ignore[attr-defined]
    assert [message for message in example.lines_out if message not in output.messages] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = " ".join(re.findall(r"`[^`]+`|```.*?```", page.read_text(encoding="utf-8"), re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code))
    assert named <= targets
    assert page.name != "README.md" or {"demo", "test"} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target


@pytest.mark.parametrize("object_type", [object_type.value for object_type in ObjectType])
@pytest.mark.parametrize("mode", [mode.value for mode in AudienceMode])
def test_sample_files_are_complete(object_type: str, mode: str) -> None:
    folder = SAMPLES / object_type
    config = parse_config(json.loads((folder / f"{mode}.json").read_text(encoding="utf-8")))
    assert (config.object_type.value, config.audience_mode.value) == (object_type, mode)
    catalog = json.loads((folder / "catalog.json").read_text(encoding="utf-8"))
    ConfiguredAirbyteCatalogSerializer.load(catalog)
    plans = plan_streams(config, catalog)
    lines = (folder / f"{mode}.jsonl").read_bytes().splitlines()
    messages = [message for batch in parse_lines([lines]) for message in batch]
    assert len(messages) == len(lines)
    assert {message.stream for message in messages} == set(plans)
