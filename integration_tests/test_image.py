"""The image does what the Airbyte platform asks of it: files mounted, lines piped, no root, nothing writable, SIGTERM.

Run by `make test-image`, which builds the image and names it in CLEVERPUSH_IMAGE.
"""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration_tests.simulator.process import Simulator, start_simulator
from tools.lock import locked_versions, read_toml

pytestmark = [pytest.mark.image, pytest.mark.timeout(300)]

STOP_TIMEOUT_SECONDS = 30
LIKE_AIRBYTE = ["--network=host", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
MANIFEST = Path(__file__).parents[1] / "examples" / "kubernetes_job.yaml"
WRITE = ["write", "--config=/config/config.json", "--catalog=/config/catalog.json"]
STREAM = {
    "stream": {"name": "users", "json_schema": {"type": "object"}, "supported_sync_modes": ["full_refresh"]},
    "sync_mode": "full_refresh",
    "destination_sync_mode": "append",
}


@pytest.fixture
def image() -> str:
    return os.environ["CLEVERPUSH_IMAGE"]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with start_simulator() as simulator:
        yield simulator


class Container:
    """`docker run` of the image as the platform does it, with the configuration and the catalog mounted read-only."""

    def __init__(self, image: str, folder: Path, config: dict[str, Any]) -> None:
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "catalog.json").write_text(json.dumps({"streams": [STREAM]}))
        folder.chmod(0o755)
        self.name = f"destination-cleverpush-{uuid.uuid4()}"
        self._run = ["docker", "run", "--rm", "-i", f"--name={self.name}", *LIKE_AIRBYTE]
        self._run += [f"--volume={folder}:/config:ro", image]

    def check(self) -> list[dict[str, Any]]:
        return messages(self._ended("check", "--config=/config/config.json"))

    def write(self, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        stdin = "".join(json.dumps(line) + "\n" for line in lines)
        return messages(
            self._ended("write", "--config=/config/config.json", "--catalog=/config/catalog.json", stdin=stdin)
        )

    def start_write(self) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._run, *WRITE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start_check(self) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._run, "check", "--config=/config/config.json"], text=True)

    def _ended(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run([*self._run, *arguments], input=stdin, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout


def messages(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def of_type(kind: str, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in found if message["type"] == kind]


def row(subscription_id: str, **columns: Any) -> dict[str, Any]:
    data = {"subscription_id": subscription_id, **columns}
    return {"type": "RECORD", "record": {"stream": "users", "data": data, "emitted_at": 1}}


def state(number: int) -> dict[str, Any]:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"cursor": number}}
    return {"type": "STATE", "id": number, "state": {"type": "STREAM", "stream": stream}}


def inspect(image: str) -> dict[str, Any]:
    done = subprocess.run(["docker", "image", "inspect", image], stdout=subprocess.PIPE, text=True, check=True)
    config: dict[str, Any] = json.loads(done.stdout)[0]["Config"]
    return config


def run(image: str, *command: str, options: Sequence[str] = ()) -> str:
    """Run a command other than the image's own in a locked-down container and return what it printed."""
    whole = ["docker", "run", "--rm", *LIKE_AIRBYTE, *options, f"--entrypoint={command[0]}", image, *command[1:]]
    return subprocess.run(whole, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_spec_is_that_of_the_package(image: str) -> None:
    local = subprocess.run(
        [Path(sys.executable).with_name("destination-cleverpush"), "spec"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    contained = run(image, "destination-cleverpush", "spec")
    assert of_type("SPEC", messages(contained)) == of_type("SPEC", messages(local.stdout))


def test_check_tells_a_right_key_from_a_wrong_one(image: str, simulator: Simulator, tmp_path: Path) -> None:
    right = Container(image, tmp_path, simulator.connector_config()).check()
    assert [found["connectionStatus"]["status"] for found in of_type("CONNECTION_STATUS", right)] == ["SUCCEEDED"]
    wrong = Container(image, tmp_path, simulator.connector_config() | {"api_key": "wrong"}).check()
    assert [found["connectionStatus"]["status"] for found in of_type("CONNECTION_STATUS", wrong)] == ["FAILED"]


def test_write_delivers_and_acknowledges(image: str, simulator: Simulator, tmp_path: Path) -> None:
    lines = [row("u-1", email="ada@example.com"), state(1), row("u-2", city="Berlin"), state(2)]
    written = Container(image, tmp_path, simulator.connector_config()).write(lines)
    states = of_type("STATE", written)
    assert [(found["id"], found["state"]["stream"]) for found in states] == [
        (line["id"], line["state"]["stream"]) for line in lines if line["type"] == "STATE"
    ]
    assert [found["state"]["destinationStats"] for found in states] == [
        {"recordCount": 1.0, "rejectedRecordCount": 0.0},
        {"recordCount": 0.0, "rejectedRecordCount": 1.0},  # without a contact, CleverPush creates no subscription
    ]
    assert list(simulator.by_user()) == ["u-1"]


def test_the_kubernetes_job_runs_as_its_manifest_says(image: str, simulator: Simulator, tmp_path: Path) -> None:
    """`docker run` with what the manifest asks for; only where CleverPush is comes from here."""
    found = {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())}
    pod = found["Job"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    config = json.loads(found["Secret"]["stringData"]["config.json"])
    record = row("u-1", email="ada@example.com")
    record["record"]["data"]["id"] = record["record"]["data"].pop("subscription_id")
    files = {
        "config/config.json": json.dumps(config | simulator.connector_config()),
        "config/catalog.json": found["ConfigMap"]["data"]["catalog.json"],
        "rows/rows.jsonl": "".join(json.dumps(line) + "\n" for line in (record, state(1))),
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    tmp_path.chmod(0o755)
    mounts = [f"--volume={tmp_path / mount['name']}:{mount['mountPath']}:ro" for mount in container["volumeMounts"]]
    user = f"--user={pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    (shell, flag), arguments = container["command"], container["args"]
    written = messages(run(image, shell, flag, *arguments, options=[user, *mounts]))
    assert [found["state"]["destinationStats"]["recordCount"] for found in of_type("STATE", written)] == [1.0]
    assert list(simulator.by_user()) == ["u-1"]


def test_sigterm_ends_a_check(image: str, simulator: Simulator, tmp_path: Path) -> None:
    simulator.set_faults(rules=[{"kind": "hang"}])
    container = Container(image, tmp_path, simulator.connector_config())
    with container.start_check() as process:
        while not simulator.stats()["most_in_flight"]:
            assert process.poll() is None, "it ended before it asked"
            time.sleep(0.05)
        subprocess.run(["docker", "kill", "--signal=TERM", container.name], check=True, stdout=subprocess.DEVNULL)
        try:
            assert process.wait(STOP_TIMEOUT_SECONDS) != 0
        finally:
            process.kill()


def test_sigterm_ends_a_write_that_waits_for_its_source(image: str, simulator: Simulator, tmp_path: Path) -> None:
    container = Container(image, tmp_path, simulator.connector_config())
    with container.start_write() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in (row("u-1", email="ada@example.com"), state(1)):
            process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
        assert any('"STATE"' in line for line in process.stdout), "it ended before the state came back"
        subprocess.run(["docker", "kill", "--signal=TERM", container.name], check=True, stdout=subprocess.DEVNULL)
        try:
            code = process.wait(STOP_TIMEOUT_SECONDS)
        finally:
            process.kill()
        rest = messages(process.stdout.read())
    assert code == 1
    assert [found["trace"]["error"]["failure_type"] for found in of_type("TRACE", rest)] == ["transient_error"]


def test_the_platform_finds_its_way_in(image: str) -> None:
    config = inspect(image)
    variables = dict(variable.split("=", 1) for variable in config["Env"])
    assert config["Entrypoint"] == [variables["AIRBYTE_ENTRYPOINT"]]
    assert config["Labels"]["io.airbyte.name"] == "airbyte/destination-cleverpush"
    through_shell = run(image, "sh", "-c", "eval $AIRBYTE_ENTRYPOINT spec")
    assert of_type("SPEC", messages(through_shell))


@pytest.mark.parametrize("user", [[], ["--user=1000:1000"], ["--user=12345:0"]], ids=["its own", "Airbyte's", "any"])
def test_it_runs_as_any_user_but_root(image: str, user: list[str]) -> None:
    assert run(image, "id", "-u", options=user).strip() != "0"
    assert of_type("SPEC", messages(run(image, "destination-cleverpush", "spec", options=user)))


def test_what_is_installed_is_what_is_locked(image: str) -> None:
    script = (
        "import json, importlib.metadata as m, packaging.markers as p;"
        "print(json.dumps([p.default_environment(), {d.name: d.version for d in m.distributions()}]))"
    )
    environment, installed = json.loads(run(image, "/opt/connector/bin/python", "-c", script))
    names = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in installed.items()}
    project = {"destination-cleverpush": read_toml("pyproject.toml")["project"]["version"]}
    assert names == locked_versions(read_toml("poetry.lock"), "main", environment) | project
