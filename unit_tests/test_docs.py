"""The documentation says what the code does: tables, constants, examples, targets and links."""

import inspect
import json
import logging
import re
import shlex
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer

from destination_cleverpush.airbyte.catalog import read_catalog
from destination_cleverpush.airbyte.destination import CANCEL_SECONDS, DestinationCleverpush
from destination_cleverpush.airbyte.lines import LineParser, Message
from destination_cleverpush.airbyte.messages import OutputLogHandler
from destination_cleverpush.airbyte.output import Output
from destination_cleverpush.airbyte.send import open_source
from destination_cleverpush.airbyte.states import with_stats
from destination_cleverpush.api.answers import RETRY_STATUSES
from destination_cleverpush.api.reasons import BLOCKED, PAYLOAD_REFUSED, ROW_STATUSES, RULES, SERVER_ERROR
from destination_cleverpush.api.reasons import REASONS as ANSWERED
from destination_cleverpush.config import load_spec, parse_config
from destination_cleverpush.delivery.dispatcher import Bounds
from destination_cleverpush.delivery.judgement import Patience
from destination_cleverpush.delivery.limit import LimitTuning
from destination_cleverpush.delivery.throttle import ThrottleTuning
from destination_cleverpush.errors import Failure
from destination_cleverpush.objects.activation import SHOWN, modes
from destination_cleverpush.objects.guard import RemovalGuard
from destination_cleverpush.objects.notices import JUDGED_FROM_ROWS
from destination_cleverpush.objects.plan import plan_streams
from destination_cleverpush.objects.reasons import REASONS as UNSENT
from destination_cleverpush.objects.settings import AudienceMode
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.settlement.policy import Policy
from destination_cleverpush.settlement.settlement import Settlement
from destination_cleverpush.sync import Sync
from destination_cleverpush.words import Reason, Row, State

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SAMPLES = ROOT / "sample_files"
NO_CALL = "none"
README = (ROOT / "README.md").read_text(encoding="utf-8")
USER_PAGE, ON_CALL, CONFIGURATION, VALUES, CSV = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("cleverpush", "on-call", "configuration", "values", "csv")
)


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


def test_the_table_of_reasons_is_the_codes() -> None:
    told = table(ON_CALL, "Code")
    reasons = (*UNSENT, *ANSWERED)
    assert [(unquoted(code), advice) for code, _, advice in told] == [(r.code, r.advice) for r in reasons]
    assert {unquoted(code): statuses for code, statuses, _ in told} == {r.code: _statuses(r) for r in reasons}


def _statuses(reason: Reason) -> str:
    """The statuses of answers that can mean it, as the tables name them."""
    if reason == SERVER_ERROR:
        return ", ".join(_retried())
    known = {rule.reason: sorted(rule.statuses) for rule in RULES}
    known |= {PAYLOAD_REFUSED: [400, 409, 422], BLOCKED: [403]}
    return ", ".join(map(str, known.get(reason, []))) or NO_CALL


def _retried() -> list[str]:
    """The statuses that are worth a retry, as the pages name them."""
    assert set(range(500, 600)) <= RETRY_STATUSES
    return [*(str(status) for status in sorted(RETRY_STATUSES) if status < 500), "any 5xx"]


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
    told = {unquoted(row[0]): tuple(row[1:4]) for row in table(CONFIGURATION, "Key")}
    fields = form_fields(load_spec()["connectionSpecification"])
    assert told == {key: (title, required, default) for key, title, required, default in fields}


def test_the_table_of_dead_letter_stores_is_the_spec() -> None:
    told = {tuple(map(unquoted, row[:5])) for row in table(CONFIGURATION, "Store")}
    options = load_spec()["connectionSpecification"]["properties"]["rejected_records"]["oneOf"]
    assert told == {
        (option["properties"]["storage_type"]["const"], key, title, required, unquoted(default))
        for option in options
        for key, title, required, default in form_fields(option)
        if key != "storage_type"
    }
    kinds = [option["properties"]["storage_type"]["const"] for option in options]
    assert [kind for kind in kinds if f"`{kind}`" not in section(CONFIGURATION, "## Dead letter store")] == []


def test_every_choice_of_the_form_is_explained() -> None:
    told = {unquoted(row[0]): row[4] for row in table(CONFIGURATION, "Key")}
    for key, explanation in told.items():
        prop: Any = load_spec()["connectionSpecification"]
        for part in key.split("."):
            prop = prop["properties"][part]
        assert [choice for choice in prop.get("enum", []) if f"`{choice}`" not in explanation] == []


def test_the_constants_are_the_codes() -> None:
    limits = " ".join(" ".join(row) for row in table(ON_CALL, "What"))
    bounds, patience, backoff = Bounds(), Patience(), ThrottleTuning()
    for promise in (
        f"HTTP {', '.join(_retried()[:-1])} and {_retried()[-1]} up to {patience.retries}; up to",
        f"up to {patience.most_tries - 1} where other calls fail",
        f"up to {bounds.retry_base_seconds:g} s before the first and doubling",
        f"doubling, never more than {bounds.retry_cap_seconds:g} s; on 503",
        f"{backoff.backoff_base_seconds:g} s, doubling with each refusal in a row",
        f"refusal in a row, never more than {backoff.backoff_cap_seconds:g} s; everybody waits",
        f"Longest wait {patience.longest_delay_seconds / 60:g} minutes",
    ):
        assert promise in limits
    assert bounds.longest_held_seconds == 60
    logged = inspect.signature(Settlement).parameters["logged_per_stream"].default
    for promise in (
        f"starts with {LimitTuning().start} requests in flight",
        f"{bounds.most_rows:,} rows (or {bounds.most_bytes / 2**20:g} MiB) are on their way",
        f"After {patience.most_tries} calls for one row",
        f"after {patience.few_failures} failures in a row, the connector feels its way",
        f"growing pauses of up to {patience.longest_pause_seconds:g} s, until the first good answer",
        f"{patience.outage_seconds:g} seconds of that without one are an outage",
        f"have {CANCEL_SECONDS:g} seconds to end",
        f"the first {logged} rejected rows of a stream",
        f"refuses it (HTTP {', '.join(map(str, sorted(ROW_STATUSES)))})",
    ):
        assert promise in " ".join(ON_CALL.split())
    for promise in (
        f"until the input ends, {bounds.most_held:,} subscriptions wait, or a minute has passed",
        f"at least {RemovalGuard.judged_from} rows are marked",
        f"the first {JUDGED_FROM_ROWS:,} rows tell",
        f"and it had at least {Policy().every_row_from}, the sync fails",
    ):
        assert promise in " ".join(USER_PAGE.split())


def test_the_messages_for_who_is_on_call_are_those_of_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "destination_cleverpush").rglob("*.py"))
    rows = table(ON_CALL, "Message begins with")
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
        super().__init__(None)
        self.messages: list[Any] = []

    def tell(self, *lines: str) -> None:
        self.messages.extend(map(json.loads, lines))


@pytest.fixture
def recorder() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.calls = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def parsed(lines: list[bytes]) -> Iterator[list[Message]]:
    return LineParser((), lambda *_: None).parse([lines])


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
    sync = Sync(config, read_catalog(catalog_of(example.lines_in)), logger)
    for states in sync.run(parsed([line.encode() for line in example.lines_in])):
        output.write(*map(with_stats, states))
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
def test_commands_that_are_shown_are_understood(page: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    shown = re.findall(r"destination-cleverpush ([a-z][^\n|<>]*)", " ".join(blocks).replace("\\\n", ""))
    for arguments in shown:
        DestinationCleverpush().parse_args(shlex.split(arguments, comments=True))


def test_the_options_of_send_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        DestinationCleverpush().parse_args(["send", "--help"])
    found = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    told = {option for row in table(CSV, "Option") for option in re.findall(r"--[a-z-]+", row[0])}
    assert told == found - {"--help", "--config"}


def test_the_files_that_send_takes_are_told() -> None:
    kinds = [kind for row in table(CSV, "File") for kind in re.findall(r"`(\.[a-z]+)`", row[0])]
    assert len(kinds) == 6
    for kind in kinds:
        with pytest.raises(Failure, match=r"cannot be read|need the package pyarrow"):
            open_source(f"no-such-file{kind}")


def test_what_data_activation_offers_is_told() -> None:
    rows = table(section(USER_PAGE, "### The connection, with data activation"), "Sync mode")
    assert {row[0] for row in rows} == set(SHOWN.values())
    for column, name in enumerate(("subscriptions", "tags"), 1):
        offered = {row[0] for row in rows if not row[column].startswith("not offered")}
        assert offered == {SHOWN[mode] for mode in modes(name)}
    assert [mode for mode in SHOWN if f"`{mode}`" not in USER_PAGE] == []


def test_the_fields_that_the_form_shows_are_told() -> None:
    told = {name for row in table(section(USER_PAGE, "### The destination"), "Field") for name in row[0].split(", ")}
    spec = load_spec()["connectionSpecification"]
    assert told == {
        prop["title"]
        for name, prop in spec["properties"].items()
        if name in spec["required"] or prop.get("always_show") or "oneOf" in prop
    }
    assert f"The form shows {['no', 'one', 'two', 'three', 'four', 'five', 'six'][len(told)]} fields" in USER_PAGE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target


@pytest.mark.parametrize("object_type", list(OBJECTS))
@pytest.mark.parametrize("mode", [mode.value for mode in AudienceMode])
def test_sample_files_are_complete(object_type: str, mode: str) -> None:
    folder = SAMPLES / object_type
    config = parse_config(json.loads((folder / f"{mode}.json").read_text(encoding="utf-8")))
    assert (config.objects.object_type, config.objects.audience_mode.value) == (object_type, mode)
    catalog = json.loads((folder / "catalog.json").read_text(encoding="utf-8"))
    ConfiguredAirbyteCatalogSerializer.load(catalog)
    plans = plan_streams(config.objects, read_catalog(catalog))
    lines = (folder / f"{mode}.jsonl").read_bytes().splitlines()
    messages = [message for batch in parsed(lines) for message in batch]
    assert len(messages) == len(lines)
    assert {message.stream for message in messages if isinstance(message, Row | State)} == set(plans)
