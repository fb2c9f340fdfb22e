"""What ends a sync or a check on the way to CleverPush, each failure in a sentence of its own."""

from __future__ import annotations

from collections.abc import Sequence

from destination_cleverpush.api.environment import Proxy
from destination_cleverpush.api.trouble import NoReply, Trouble
from destination_cleverpush.errors import Failure, config_error, transient_error

INVALID_KEY = (
    "Authentication failed: invalid API key. Verify the private API key in CleverPush under Channel Settings > API. "
    "Use the private API key, not the public one, and check that it has not been regenerated since this destination "
    "was configured."
)
NO_PERMISSION = (
    "CleverPush refused access: the API key lacks a permission. It needs read and write access to subscriptions and to "
    "tags. Check the key in CleverPush under Channel Settings > API. An authorizer webhook of the account, which "
    "protects tags, topics and attributes, can refuse access as well."
)
NO_CHANNEL = (
    "Channel not found. The channel ID does not match any channel in the CleverPush account. Verify the channel ID in "
    "CleverPush under Channel Settings > API. Channel IDs are case-sensitive."
)


def access_refused(status: int) -> Failure | None:
    """What an answer says about the key or the address, or None where it says nothing about them."""
    if status == 401:
        return config_error(INVALID_KEY)
    if status == 403:
        return config_error(NO_PERMISSION)
    if 300 <= status < 400:
        return config_error(
            f"The API Address answered with a redirect (HTTP {status}). It is not followed, so that the API key goes "
            "nowhere else. Check the API Address under Advanced; the default is https://api.cleverpush.com."
        )
    return None


def no_such_route(address: str, paths: Sequence[str], status: int, option: str | None) -> Failure:
    """An address that knows none of the paths. `option` is the field under Advanced that chooses among them."""
    chosen = f" and {option.replace('_', ' ').title()}" if option else ""
    tried = " and ".join(address + path for path in paths)
    do = "do" if len(paths) > 1 else "does"
    return config_error(
        f"{tried} {do} not exist (HTTP {status}). Check the API Address{chosen} under Advanced; the default address "
        "is https://api.cleverpush.com."
    )


def not_cleverpush(address: str, what: str) -> Failure:
    """An address that answers what CleverPush does not."""
    return config_error(
        f"{address} answered with {what}, which is not what CleverPush answers. Check the API Address under Advanced; "
        "the default is https://api.cleverpush.com."
    )


def cannot_look_up(address: str, status: int) -> Failure:
    """An answer to a look-up that tells neither a subscription nor that there is none."""
    return config_error(
        f"{address} cannot tell which subscription a user ID belongs to (HTTP {status}). The API key needs read access "
        "to subscriptions; if it has it, map CleverPush's own subscription IDs to cleverpush_id, or to subscription_id "
        "with What the Subscription ID Is set to native."
    )


def unexpected(status: int) -> Failure:
    """A status that says nothing about row, key or address."""
    return transient_error(
        f"CleverPush answered HTTP {status}, which this destination does not expect. The rows that were not delivered "
        "will be sent again with the next attempt. If it goes on, check the API Address under Advanced."
    )


def firewall(address: str, proxy: Proxy | None) -> Failure:
    """Something in between refuses reads and writes with a web page."""
    through = f", which is called through {proxy}," if proxy else ""
    return config_error(
        f"A firewall or proxy in front of {address}{through} refuses all requests with a web page (HTTP 403). Ask the "
        "administrators of Airbyte's network, and CleverPush's support, to let the connector pass."
    )


def proxy_refused(address: str, proxy: Proxy | None) -> Failure:
    """The proxy does not let calls pass: it wants a password, or does not allow the address."""
    named = str(proxy) if proxy else "a proxy"
    return config_error(
        f"The way to {address} leads through {named}, which refused to be used. Check its address, user and password "
        "in the proxy settings of Airbyte, and that it allows the API Address."
    )


def unreachable(address: str, timeout: float, error: NoReply, proxy: Proxy | None) -> Failure:
    """No answer came. `timeout` is the Request Time-out in seconds."""
    trouble = error.trouble
    if trouble is Trouble.PROXY_REFUSED:
        return proxy_refused(address, proxy)
    if trouble is Trouble.EXHAUSTED:
        return transient_error(
            f"{address} could not be called, because the machine that Airbyte runs on has no file descriptors, ports "
            "or memory left."
        )
    if trouble is Trouble.UNTRUSTED:
        return config_error(
            f"The TLS connection to {address} failed: its certificate is not trusted. If a proxy of your network "
            "inspects traffic, give the connector its CA certificate (REQUESTS_CA_BUNDLE); else check the API "
            "Address under Advanced."
        )
    if trouble is Trouble.TLS:
        return transient_error(f"The TLS connection to {address} failed. Check the API Address under Advanced.")
    if trouble is Trouble.SILENT:
        return transient_error(
            f"{address} gave no answer within {timeout:g} seconds. Try again; if it goes on, raise Request Time-out "
            "under Advanced, or check the network between Airbyte and CleverPush."
        )
    if trouble is Trouble.PROXY or (proxy and trouble is Trouble.UNCONNECTED):
        return config_error(
            f"The way to {address} leads through {proxy or 'a proxy'}, which cannot be connected to. Check the proxy "
            "settings of Airbyte."
        )
    return transient_error(
        f"{address} could not be reached{error.why}. Check the API Address under Advanced, and that Airbyte's network "
        "lets connections to it out."
    )
