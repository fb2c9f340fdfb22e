"""The target of the benchmark: an nginx of our own, which answers as CleverPush would and notes what writes."""

from __future__ import annotations

import platform
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PACKAGES = "nginx libnginx-mod-http-echo wrk"

_MODULE = "ngx_http_echo_module.so"
_MODULE_PLACES = (
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/usr/share/nginx/modules",
    "/etc/nginx/modules",
)
_START_SECONDS = 10.0
_STOP_SECONDS = 30.0

_CONFIGURATION = """
load_module {module};
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type application/json;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    map $request_method $writes {{ POST 1; default 0; }}
    map $request_body $row {{ "~user-0*(?<number>[0-9]+)" $number; default 0; }}
    split_clients $request_id $answer {{ {failures:.2%} @failed; * @taken; }}
    log_format request '$msec $request_time $status $request_length $row';
    access_log {directory}/access.log request buffer=256k if=$writes;
    limit_req_zone $server_name zone=limit:1m rate={rate}r/s;
    limit_req_status 429;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        server_name localhost;
        location @taken {{ return 200 '{{"id":"5f3c1e7a9b2d4c0012ab34cd"}}'; }}
        location @failed {{ return 503 '{{"error":"Try again"}}'; }}
        location @refused {{
            {refusal}
            return 429 '{{"error":"Too many requests"}}';
        }}
        location / {{
            {behaviour}
        }}
    }}
}}
"""


class MissingTool(Exception):
    """A program that the benchmark needs is not installed; the message says what to install."""


class Request(NamedTuple):
    """One request as nginx saw it: epoch seconds, to the millisecond, and bytes with headers.

    `row` is the number in the first `user-<number>` of its body; 0 where there is none, or where the target was not
    told to read bodies.
    """

    started: float
    ended: float
    status: int
    size: int
    row: int = 0


def taken_per_second(requests: list[Request]) -> float:
    """Requests that were taken per second, from the first one's start to the last one's end."""
    taken = [request for request in requests if request.status == 200]
    return len(taken) / (max(r.ended for r in taken) - min(r.started for r in taken))


@dataclass(frozen=True)
class Behaviour:
    """How the target answers.

    Attributes:
        latency: seconds between a request and its answer.
        rate: requests per second that are taken; the others are refused with 429. None: all are taken.
        burst: how many requests may come early (nginx, `limit_req`).
        refusal: headers of a refusal, such as `{"Retry-After": "1"}`.
        failures: the share of requests that are answered with 503, drawn anew for each request.
        reads_bodies: bodies are read, and requests noted with the number of their row.
    """

    latency: float = 0.0
    rate: int | None = None
    burst: int = 0
    refusal: dict[str, str] = field(default_factory=dict)
    failures: float = 0.0
    reads_bodies: bool = False

    def lines(self) -> str:
        """The directives of the location."""
        found = []
        if self.rate is not None:
            found += [f"limit_req zone=limit burst={self.burst} nodelay;", "error_page 429 = @refused;"]
        if self.latency or self.failures or self.reads_bodies:
            found += ["echo_read_request_body;"] if self.reads_bodies else []
            found += [f"echo_sleep {self.latency};"] if self.latency else []
            found += ["echo_exec $answer;" if self.failures else "echo_exec @taken;"]
        else:
            found += ["error_page 418 = @taken;", "return 418;"]
        return " ".join(found)


@dataclass
class Target:
    """A running target. `requests` is filled in when it has stopped."""

    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests taken per second."""
        return taken_per_second(self.requests)


def find_tools() -> None:
    """Make sure that all programs are there.

    Raises:
        MissingTool: naming what is missing, and how to install it on Debian.
    """
    missing = [name for name in ("nginx", "wrk") if not _which(name)]
    if "nginx" not in missing and _echo_module() is None:
        missing.append("nginx's echo module")
    if missing:
        raise MissingTool(f"Missing: {', '.join(missing)}. On Debian or Ubuntu: apt-get install {PACKAGES}")


def processors() -> str:
    """The machine's processors, as Linux names them."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


@contextmanager
def start_target(behaviour: Behaviour) -> Iterator[Target]:
    """An nginx with one worker on a free port of the loopback, stopped at the end."""
    nginx, module = _which("nginx"), _echo_module()
    assert nginx, "find_tools was not called"
    with tempfile.TemporaryDirectory(prefix="cleverpush-bench-") as name:
        directory, port = Path(name), _free_port()
        directory.chmod(0o755)  # started by root, nginx works as another user
        (directory / "nginx.conf").write_text(
            _CONFIGURATION.format(
                module=module,
                directory=directory,
                port=port,
                rate=behaviour.rate or 1,
                refusal=" ".join(f"add_header {name} {value} always;" for name, value in behaviour.refusal.items()),
                failures=behaviour.failures or 0.5,  # nginx takes no 0; without failures nobody asks
                behaviour=behaviour.lines(),
            )
        )
        log = (directory / "error.log").open("w")
        process = subprocess.Popen(
            [nginx, "-c", f"{directory}/nginx.conf", "-p", str(directory), "-e", f"{directory}/error.log"],
            stderr=log,
        )
        try:
            _wait_for(port, process, directory / "error.log")
            target = Target(f"http://127.0.0.1:{port}")
            yield target
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)
            log.close()
        target.requests = [_request(line) for line in (directory / "access.log").read_text().splitlines()]


def _request(line: str) -> Request:
    ended, seconds, status, size, row = line.split()
    return Request(float(ended) - float(seconds), float(ended), int(status), int(size), int(row))


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def _echo_module() -> Path | None:
    nginx = _which("nginx")
    if nginx is None:
        return None
    told = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False).stderr
    named = re.search(r"--modules-path=(\S+)", told)
    places = [*([named.group(1)] if named else []), *_MODULE_PLACES]
    return next((path for place in places if (path := Path(place) / _MODULE).is_file()), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nginx did not start: {log.read_text()}")
