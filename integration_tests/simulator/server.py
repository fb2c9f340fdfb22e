"""The simulator on a socket: a thin layer of aiohttp over the API and the faults, and routes to look inside."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from integration_tests.simulator.api import CleverPush, Request, read_body
from integration_tests.simulator.faults import TRICKLES, Fault, Faults
from integration_tests.simulator.model import DEFAULT_ACCOUNT, Behaviour

INSPECTION = "/_simulator/"
_GLANCE = 0.1  # seconds between two looks whether a client still waits


class Server:
    """One simulator.

    Args:
        config: `{"accounts": [...], "behaviour": {...}, "faults": {...}, "keep_calls": N}`; all are optional. `latency`
            is short for `faults.latency`, `routes` for `behaviour.routes`. Without `keep_calls` all calls are kept.

    Raises:
        KeyError, TypeError, ValueError: a configuration that is none.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        known = {"accounts", "behaviour", "routes", "faults", "keep_calls", "latency"}
        if unknown := sorted(config.keys() - known):
            raise ValueError(f"a simulator has no setting {unknown[0]}")
        self._config = config
        self.reset()

    def reset(self) -> None:
        """Begin anew with what the configuration says, its behaviour and faults included."""
        short = {name: self._config[name] for name in ("routes",) if name in self._config}
        behaviour = Behaviour.of({**short, **self._config.get("behaviour", {})})
        self.api = CleverPush(self._config.get("accounts") or (DEFAULT_ACCOUNT,), behaviour)
        self.set_faults({"latency": self._config.get("latency", 0.0), **self._config.get("faults", {})})
        self._calls: deque[dict[str, Any]] = deque(maxlen=self._config.get("keep_calls"))
        self._count = 0
        self._by_route: Counter[str] = Counter()
        self._in_flight = 0
        self._open: defaultdict[str, list[web.BaseRequest]] = defaultdict(list)
        self._most_in_flight = 0
        self._most_per_subscription = 0
        self._overlaps: Counter[str] = Counter()
        self._connected: set[Any] = set()

    def set_faults(self, settings: Mapping[str, Any]) -> None:
        """Replace the faults; their seconds count from now."""
        self._faults = Faults(settings, time.monotonic())

    async def __call__(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            body = await http.read()
        except ConnectionResetError:  # the client went away in the middle of its request
            return web.Response()
        if http.path.startswith(INSPECTION):
            return self._inspect(http, body)
        arrived = time.monotonic()
        request = Request(http.method, http.path, http.query_string, http.headers, read_body(body))
        about = self.api.subject(request)
        native = None if about is None else self.api.native(request, about)
        self._count += 1
        sequence = self._count
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        if native is not None:
            self._open[native].append(http)
            waiting = sum(not _gone(other) for other in self._open[native])
            self._most_per_subscription = max(self._most_per_subscription, waiting)
            if waiting > 1:
                self._overlaps[native] += 1
        status: int | str = "broken off"
        try:
            if not self._connect(http):
                return _reset(http)
            fate = self._faults.decide(request.path, about, arrived)
            if fate.latency:
                await asyncio.sleep(fate.latency)
            status, response = await self._answer(http, request, fate.fault)
            return response
        finally:
            self._in_flight -= 1
            if native is not None:
                self._open[native].remove(http)
                if not self._open[native]:
                    del self._open[native]
            self._by_route[f"{request.method} {request.path} {status}"] += 1
            if self._calls.maxlen != 0:
                self._calls.append(
                    {
                        "seq": sequence,
                        "arrived": arrived,
                        "finished": time.monotonic(),
                        "method": request.method,
                        "path": request.path,
                        "query": request.query,
                        "body": body.decode("utf-8", "replace"),
                        "status": status,
                        "subscription": about,
                    }
                )

    def _connect(self, http: web.BaseRequest) -> bool:
        """Whether this connection may be open; decided at its first request, so that looking inside costs none."""
        most = self._faults.connections
        if most is None or http.transport in self._connected:
            return True
        self._connected = {transport for transport in self._connected if not transport.is_closing()}
        if len(self._connected) >= most:
            return False
        self._connected.add(http.transport)
        return True

    async def _answer(
        self, http: web.BaseRequest, request: Request, fault: Fault | None
    ) -> tuple[int | str, web.StreamResponse]:
        kind = fault.kind if fault else ""
        if fault and kind == "delay":
            await asyncio.sleep(fault.seconds)
        if fault and kind == "hang":
            until = time.monotonic() + fault.seconds
            while time.monotonic() < until and not _gone(http):
                await asyncio.sleep(_GLANCE)
            return "broken off", _reset(http)
        if kind == "reset_before":
            return "broken off", _reset(http)
        if fault and kind in ("status", "firewall"):
            return fault.status, _response(fault.status, fault.body, fault.headers)
        if fault and kind == "interim" and http.transport is not None:
            http.transport.write(f"HTTP/1.1 {fault.status} Wait\r\nLink: </style.css>; rel=preload\r\n\r\n".encode())
        if kind != "continue":
            status, answer = await self._process(request)
        if kind == "reset_after":
            return "broken off", _reset(http)
        if fault and kind in TRICKLES:
            await _trickle(http, *TRICKLES[kind], fault.seconds)
            return "broken off", _reset(http)
        if fault and kind == "html":
            return fault.status, _response(fault.status, "<html><body>Maintenance</body></html>", fault.headers)
        if kind == "truncated":
            transport = http.transport
            if transport is not None:
                transport.write(
                    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"id": "'
                )
                transport.close()
            return "broken off", web.Response()
        return status, _response(status, answer, {})

    async def _process(self, request: Request) -> tuple[int, dict[str, Any]]:
        seconds = self.api.behaviour.lossy_tag_seconds
        tagged = self.api.tagged(request) if seconds else None
        if tagged is not None:
            read = set(tagged.tags)
            await asyncio.sleep(seconds)
            tagged.tags = read  # what others wrote meanwhile is lost
        return self.api.handle(request)

    def _inspect(self, http: web.BaseRequest, body: bytes) -> web.Response:
        what = http.path.removeprefix(INSPECTION)
        if http.method == "POST" and what == "reset":
            self.reset()
            return _response(200, {}, {})
        if http.method == "POST" and what in ("faults", "behaviour"):
            try:
                settings = json.loads(body)
                if what == "faults":
                    self.set_faults(settings)
                else:
                    self.api.behave(Behaviour.of(settings))
            except (TypeError, ValueError) as error:
                return _response(400, {"error": str(error)}, {})
            return _response(200, {}, {})
        if what == "calls":
            return _response(200, {"calls": list(self._calls)}, {})
        if what == "stats":
            return _response(
                200,
                {
                    "calls": self._count,
                    "by_route": dict(self._by_route),
                    "most_in_flight": self._most_in_flight,
                    "most_in_flight_per_subscription": self._most_per_subscription,
                },
                {},
            )
        if what == "state":
            channels = [channel for account in self.api.accounts for channel in account.channels.values()]
            wanted = http.query.get("channel", channels[0].id)
            channel = next((channel for channel in channels if channel.id == wanted), None)
            if channel is not None:
                shown = [subscription.as_json() for subscription in channel.subscriptions.values()]
                state = {"channel": channel.id, "subscriptions": shown, "overlaps": dict(self._overlaps)}
                return _response(200, state, {})
        return _response(404, {"error": "Nothing to inspect here"}, {})


async def serve(server: Server, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until cancelled. `ready` is called with the URL once the socket listens; port 0 takes a free one.

    Raises:
        OSError: the address cannot be listened on.
    """
    runner = web.ServerRunner(web.Server(server), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        bound = runner.addresses[0][1]
        ready(f"http://{host}:{bound}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _response(status: int, body: Any, headers: Mapping[str, str]) -> web.Response:
    if isinstance(body, str):
        kind = "text/html" if body.startswith("<") else "text/plain"
        return web.Response(status=status, text=body, content_type=kind, headers=headers)
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers)


async def _trickle(http: web.BaseRequest, beginning: bytes, piece: bytes, seconds: float) -> None:
    """Send a beginning, and then the same piece again and again, until the client has gone."""
    data = beginning
    while http.transport is not None and not http.transport.is_closing():
        http.transport.write(data)
        data = piece
        await asyncio.sleep(seconds)


def _gone(request: web.BaseRequest) -> bool:
    """Whether the client has closed the connection, and so waits no longer."""
    return request.transport is None or request.transport.is_closing()


def _reset(request: web.BaseRequest) -> web.Response:
    """Break the connection off with a reset."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
