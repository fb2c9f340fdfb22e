"""`make demo`: the connector's console command against a simulated CleverPush, with everything that goes in and out.

Reads `sample_files/`. Ends with exit code 1 where anything is not as it should be.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from rich.console import Console
from rich.table import Table

from integration_tests.simulator.process import Simulator, start_simulator
from tools.terminal import at_terminal

SAMPLES = Path(__file__).resolve().parents[1] / "sample_files"
COMMAND = Path(sys.executable).with_name("destination-cleverpush")
WIDTH = 80


class Deviation(Exception):
    """Something is not as it should be."""


@dataclass(frozen=True)
class Write:
    """One `write` and what must come of it: calls as `route subscription status`, rows delivered and rejected."""

    object_type: str
    mode: str
    about: str
    calls: tuple[str, ...]
    delivered: int
    rejected: tuple[str, ...] = ()


WRITES = (
    Write(
        "subscriptions",
        "upsert",
        "rows are created or updated, rows marked as removed cost no call, bad rows stop nothing",
        ("sync c-ada 200", "sync u-eve 200", "sync u-dan 400", "sync c-cid 200"),
        delivered=4,
        rejected=("missing_subscription_id", "contact_required"),
    ),
    Write("subscriptions", "add", "as upsert", ("sync c-bob 200",), delivered=2),
    Write(
        "subscriptions",
        "mirror",
        "rows marked as removed are unsubscribed, all others created or updated",
        ("sync c-ada 200", "unsubscribe Hn6sVc8yJgD3fWa5M 200"),
        delivered=2,
    ),
    Write("subscriptions", "remove", "every row is unsubscribed", ("unsubscribe u9ZkQ2rEx7LpBt4Yv 200",), delivered=1),
    Write(
        "tags",
        "upsert",
        "each of a row's tags is added",
        (
            "tag/add qT4mXw9RtLz2PbK7e vip 200",
            "tag/add qT4mXw9RtLz2PbK7e sports 200",
            "tag/add u9ZkQ2rEx7LpBt4Yv sports 200",
            "tag/add u9ZkQ2rEx7LpBt4Yv travel 200",
            "tag/add u-eve vip 404",
            "tag/add qT4mXw9RtLz2PbK7e vpi 400",
        ),
        delivered=2,
        rejected=("unknown_tag", "missing_tags", "not_found"),
    ),
    Write("tags", "add", "as upsert", ("tag/add qT4mXw9RtLz2PbK7e travel 200",), delivered=1),
    Write(
        "tags",
        "mirror",
        "rows marked as removed lose their tags, all others get them",
        ("tag/remove qT4mXw9RtLz2PbK7e sports 200", "tag/add u9ZkQ2rEx7LpBt4Yv vip 200"),
        delivered=2,
    ),
    Write(
        "tags",
        "remove",
        "every row loses its tags",
        ("tag/remove u9ZkQ2rEx7LpBt4Yv sports 200", "tag/remove u9ZkQ2rEx7LpBt4Yv travel 200"),
        delivered=1,
    ),
)

IN_THE_END = [
    # user_id, subscribed, email, phone, attributes, topics, tags
    (
        "c-ada",
        "yes",
        "ada@example.com",
        "",
        "plan=platinum signed_up_at=2026-01-02T08:00:00",
        "news offers",
        "travel vip",
    ),
    ("c-bob", "no", "", "491700000001", "plan=basic", "", ""),
    ("c-cid", "no", "", "", "", "", "vip"),
    ("u-eve", "yes", "eve@example.com", "", "plan=basic", "", ""),
]


def main() -> None:
    """Show spec, check and write; raise SystemExit with a sentence where something deviates."""
    try:
        with start_simulator(_sample("simulator.json")) as simulator:
            print(f"destination-cleverpush {version('destination-cleverpush')} and a simulated CleverPush")
            show_send()
            show_spec()
            show_check(simulator)
            show_writes(simulator)
            show_state(simulator)
    except Deviation as deviation:
        sys.stdout.flush()
        raise SystemExit(f"DEVIATION: {deviation}") from None
    print("\nEverything is as it should be.")


def show_send() -> None:
    """A CSV file, straight to a CleverPush of its own, as a person at a terminal sees it."""
    title("send", "a CSV file straight to CleverPush")
    with start_simulator(_sample("simulator.json")) as simulator, tempfile.TemporaryDirectory() as folder:
        config = {**_sample("subscriptions/upsert.json"), "advanced": {"base_url": simulator.url}}
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        shutil.copy(SAMPLES / "people.csv", folder)
        print("$ destination-cleverpush send people.csv --config config.json")
        command = [str(COMMAND), "send", "people.csv", "--config", "config.json"]
        code, shown = at_terminal(command, WIDTH, Path(folder))
        print("\n".join(shown))
        _expect("send's exit code", code, 0)
        calls = sorted(map(_call, _writing(simulator)))
        _expect("send's calls", calls, ["sync c-ada 200", "sync c-bob 200", "sync c-dan 400", "sync c-eve 200"])


def show_spec() -> None:
    """The form, as a table."""
    title("spec", "the form that Airbyte shows")
    code, messages = _run(["spec"])
    specs = [message["spec"] for message in messages if message["type"] == "SPEC"]
    _expect("spec's exit code and number of SPEC messages", (code, len(specs)), (0, 1))
    form = specs[0]["connectionSpecification"]
    print(table(("Field", "Key", "Value", "Default"), list(_fields(form))))


def show_check(simulator: Simulator) -> None:
    """A wrong key, a channel with a slip of the pen, and the right configuration."""
    title("check", "the key against the channel, nothing is written")
    right = {**_sample("subscriptions/upsert.json"), "advanced": {"base_url": simulator.url}}
    tries = (
        ("a wrong key", {**right, "api_key": "a-key-that-nobody-issued"}, "FAILED", "invalid API key"),
        ("channel 'News'", {**right, "channel_id": "News"}, "FAILED", "a channel 'news'"),
        ("the right one", right, "SUCCEEDED", ""),
    )
    for name, config, expected, words in tries:
        with _file(config) as path:
            code, messages = _run(["check", "--config", path])
        statuses = [message["connectionStatus"] for message in messages if message["type"] == "CONNECTION_STATUS"]
        said = statuses[0].get("message", "") if statuses else ""
        lines(f"{name:15} {statuses[0]['status'] if statuses else 'nothing':10}", said)
        _expect(f"check with {name}", (code, [s["status"] for s in statuses]), (0, [expected]))
        _expect(f"that check with {name} says '{words}'", words in said, True)


def show_writes(simulator: Simulator) -> None:
    """Both objects in all modes: lines in, calls made, lines out."""
    for write in WRITES:
        title(f"write {write.object_type}, {write.mode}", write.about)
        lines(
            "$",
            f"destination-cleverpush write --config {write.mode}.json --catalog catalog.json < {write.mode}.jsonl",
        )
        folder = SAMPLES / write.object_type
        stdin = (folder / f"{write.mode}.jsonl").read_text(encoding="utf-8")
        messages_in = [json.loads(line) for line in stdin.splitlines()]
        for message in messages_in:
            lines("  in  ", _shown(message))

        before = len(_writing(simulator))
        # One request at a time, so that the calls come in the same order on every run.
        advanced = {"base_url": simulator.url, "max_concurrency": 1}
        with _file(_sample(f"{write.object_type}/{write.mode}.json") | {"advanced": advanced}) as config:
            code, messages = _run(["write", "--config", config, "--catalog", str(folder / "catalog.json")], stdin)
        calls = _writing(simulator)[before:]
        for call in calls:
            sent = call["json"] or {name: values[0] for name, values in parse_qs(call["query"]).items()}
            body = {name: value for name, value in sent.items() if name != "channelId"}
            lines("  call", f"{call['status']} {call['method']} {call['path']} {json.dumps(body)}")

        logs = [message["log"] for message in messages if message["type"] == "LOG"]
        rejected = [log["message"] for log in logs if log["message"].startswith("Rejected: ")]
        summary = [log["message"] for log in logs if " rows read, " in log["message"] and log["level"] == "INFO"]
        states = [message for message in messages if message["type"] == "STATE"]
        for text in (
            *(f"WARN {said}" for said in rejected),
            *map(_shown, states),
            *(f"INFO {said}" for said in summary),
        ):
            lines("  out ", text)

        stats = {"recordCount": float(write.delivered), "rejectedRecordCount": float(len(write.rejected))}
        states_in = [message for message in messages_in if message["type"] == "STATE"]
        _expect("write's exit code", code, 0)
        _expect("the calls", tuple(map(_call, calls)), write.calls)
        _expect("the codes of the rejected rows", sorted(map(_code, rejected)), sorted(write.rejected))
        _expect(
            "the states",
            [message["state"] for message in states],
            [m["state"] | {"destinationStats": stats} for m in states_in],
        )


def show_state(simulator: Simulator) -> None:
    """What stands in the simulator after all this."""
    title("what now stands in CleverPush", "")
    found = sorted(simulator.state()["subscriptions"], key=lambda s: str(s["customAttributes"]["user_id"]))
    rows = [
        (
            str(s["customAttributes"]["user_id"]),
            "yes" if s["subscribed"] else "no",
            s.get("emailAddress", ""),
            s.get("phoneNumber", ""),
            " ".join(f"{name}={value}" for name, value in s["customAttributes"].items() if name != "user_id"),
            " ".join(s["topics"]),
            " ".join(s["tags"]),
        )
        for s in found
    ]
    print(table(("user_id", "Subscribed", "Email", "Phone", "Custom attributes", "Topics", "Tags"), rows))
    _expect("what stands in CleverPush", rows, IN_THE_END)


def title(name: str, about: str) -> None:
    """A heading."""
    print(f"\n== {name}" + (f": {about}" if about else ""))


def lines(label: str, text: str) -> None:
    """A labelled text, wrapped under itself."""
    indent = " " * (len(label) + 1)
    wrapped = textwrap.fill(text, WIDTH, initial_indent=f"{label} ", subsequent_indent=indent, break_on_hyphens=False)
    print(wrapped or label.rstrip())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns, wrapped where the terminal is too narrow for them."""
    console = Console(width=WIDTH, highlight=False, markup=False)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    with console.capture() as shown:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in shown.get().splitlines())


def _fields(form: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, prop in sorted(form["properties"].items(), key=lambda item: int(item[1].get("order", 0))):
        if "properties" in prop:
            yield from _fields(prop, f"{prefix}{name}.")
            continue
        default = prop.get("default", "")
        if "oneOf" in prop:
            value = " | ".join(option["properties"]["storage_type"]["const"] for option in prop["oneOf"])
            default = default["storage_type"]
        elif "enum" in prop:
            value = " | ".join(prop["enum"])
        else:
            value = "secret" if prop.get("airbyte_secret") else prop["type"]
        shown = default if isinstance(default, str) else json.dumps(default)
        yield prop["title"], f"{prefix}{name}", value, "(required)" if name in form.get("required", ()) else shown


def _shown(message: Mapping[str, Any]) -> str:
    """A record or a state, without what all of them have in common."""
    if message["type"] == "RECORD":
        return f"RECORD {message['record']['stream']} {json.dumps(message['record']['data'])}"
    state = message["state"]
    stats = f" destinationStats {json.dumps(state['destinationStats'])}" if "destinationStats" in state else ""
    stream = state["stream"]
    return f"STATE {stream['stream_descriptor']['name']} {json.dumps(stream['stream_state'])} id {state['id']}{stats}"


def _code(rejected: str) -> str:
    """The code in a log line about a rejected row."""
    return rejected.partition(": ")[2].partition(": ")[0].rpartition(" ")[2]


def _call(call: Mapping[str, Any]) -> str:
    parts = (
        call["path"].removeprefix("/subscription/"),
        call["subscription"],
        call["json"].get("tagId"),
        call["status"],
    )
    return " ".join(str(part) for part in parts if part is not None)


def _writing(simulator: Simulator) -> list[dict[str, Any]]:
    """The calls about a subscription, without reads, and without those that only find out about routes."""
    return [call for call in simulator.calls() if call["method"] == "POST" and call["subscription"] is not None]


def _sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / name).read_text(encoding="utf-8"))
    return found


@contextmanager
def _file(config: Mapping[str, Any]) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(config, file)
        file.flush()
        yield file.name


def _run(arguments: Sequence[str], stdin: str = "") -> tuple[int, list[dict[str, Any]]]:
    """The exit code of the console command, and its messages."""
    done = subprocess.run([COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False)
    _expect("standard error", done.stderr, "")
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Deviation(f"{what} should be {expected!r}, and is {found!r}")


if __name__ == "__main__":
    main()
