"""What the environment says about the way out: proxies and the bundle of trusted certificates."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from requests.utils import select_proxy

from destination_cleverpush.errors import Failure, config_error


class Proxy(NamedTuple):
    """A proxy: the environment variable that names it, and its address without user and password."""

    variable: str
    address: str

    def __str__(self) -> str:
        return f"the proxy {self.address} (environment variable {self.variable})"

    @classmethod
    def of(cls, url: str, proxies: Mapping[str, str]) -> Proxy | None:
        """The proxy on the way to `url`, None where there is none."""
        chosen = select_proxy(url, proxies)
        if not chosen:
            return None
        wanted = f"{urlsplit(url).scheme}_proxy"
        names = [name for name in os.environ if name.lower() in (wanted, "all_proxy") and os.environ[name] == chosen]
        variable = next((name for name in names if name.lower() == wanted), names[0] if names else wanted.upper())
        return cls(variable, _address(chosen))


def _address(url: str) -> str:
    """Scheme, host and port."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "that is named there"
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{host}{f':{port}' if port else ''}"


def unusable_proxy(proxy: Proxy | None, error: Exception) -> Failure:
    """A proxy of a kind that cannot be used, or whose address cannot be read."""
    named = str(proxy) if proxy else "the proxy that the environment names"
    why = "SOCKS proxies are not supported" if "SOCKS" in str(error) else "its address is not that of an HTTP proxy"
    return config_error(f"CleverPush cannot be called through {named}: {why}. Correct the proxy settings of Airbyte.")


def require_bundle(path: str) -> None:
    """See to it that the bundle of trusted certificates can be read.

    Raises:
        Failure: `config_error` that names the variable.
    """
    variable = next((name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name) == path), None)
    if variable is None or Path(path).is_dir():
        return
    try:
        ssl.create_default_context(cafile=path)
    except FileNotFoundError:
        why = "there is no such file"
    except ssl.SSLError:
        why = "it holds no certificates in PEM form"
    except OSError as error:
        why = f"it cannot be read ({error.strerror})"
    else:
        return
    raise config_error(
        f"The environment variable {variable} names {path} as the trusted CA certificates, but {why}. Correct the "
        "path, or mount the file into the connector's container."
    )
