"""What the answer to a look-up of a subscription means.

`GET /subscription?channelId=&attributeId=user_id&attribute_value=` is CleverPush's own documentation; the shape of its
answer is not known: one subscription, bare or as `subscription`, or a list as `subscriptions` are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from destination_cleverpush.api.answers import RETRY_STATUSES, classify
from destination_cleverpush.api.failures import cannot_look_up
from destination_cleverpush.api.reply import Reply
from destination_cleverpush.api.routes import Finding, finding
from destination_cleverpush.words import Answer, Verdict


def looked_up(reply: Reply, path: str, address: str, control: Callable[[], Reply | None]) -> Answer:
    """DELIVERED with the ids, none where there is definitely no such subscription; FATAL where it cannot be told."""
    status = reply.status
    if status in RETRY_STATUSES or status == 429 or (200 <= status < 300 and reply.is_html):
        answer = classify(reply)
        assert answer is not None
        return answer
    if status == 200 and (ids := _ids(reply)) is not None:
        return Answer(Verdict.DELIVERED, status=status, ids=ids)
    # Only an answer that speaks of the subscription says that there is none; that of an unknown route may be alike.
    if status in (404, 410) and "subscri" in reply.words().lower().replace(path, ""):
        found = finding(reply, path, control)
        if found is Finding.HERE:
            return Answer(Verdict.DELIVERED, status=status)
    return Answer(Verdict.FATAL, status=status, failure=cannot_look_up(address, status))


def _ids(reply: Reply) -> tuple[str, ...] | None:
    """The subscriptions that an answer holds, none for an empty list or null; None where it cannot be read."""
    found = reply.json()
    if isinstance(found, Mapping):
        if found.get("error") or found.get("success") is False:
            return None
        found = found.get("subscriptions", found.get("subscription", found))
    elif found is None and reply.body.strip() != b"null":
        return None
    entries = found if isinstance(found, list) else [] if found is None else [found]
    ids = [one.get("_id") or one.get("id") if isinstance(one, Mapping) else None for one in entries]
    known = [one for one in ids if isinstance(one, str)]
    return tuple(dict.fromkeys(known)) if len(known) == len(ids) else None
