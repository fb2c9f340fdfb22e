"""What the room needs from the form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Settings:
    """Where to call, and as whom. `repr` never shows the key.

    Attributes:
        base_url: the API's address, without a slash at the end.
        channel_id: case-sensitive.
        api_key: the private one.
        request_timeout_seconds: the longest silence of a server.
        connections: how many are kept open at most, as many as there are calls in flight.
        endpoints: by the name of an option under Advanced, which of an action's routes is chosen, such as
            `{"tag_endpoints": "add_remove"}`; what names none of them (`auto`) lets the server's answers choose.
    """

    base_url: str
    channel_id: str
    api_key: str = field(repr=False)
    request_timeout_seconds: float
    connections: int
    endpoints: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The API's host, with its port where the address names one."""
        return urlsplit(self.base_url).netloc
