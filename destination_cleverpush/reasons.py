"""Why rows are rejected and syncs end: one table of codes, how each is recognised, and what to do about it.

The advice is that of the destination's public description (its troubleshooting section). CleverPush does not document
the shape of its error bodies, so its words are matched loosely; what no rule recognises is `payload_refused`.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Reason(NamedTuple):
    """A kind of failure.

    Attributes:
        code: stable name, in logs, summaries and the dead letter store.
        statuses: HTTP statuses that can mean it; empty where it is found before any call.
        words: what CleverPush's answer says, as a pattern; empty matches any answer.
        advice: what to do, in the words of CleverPush's and Airbyte's screens.
    """

    code: str
    statuses: tuple[int, ...]
    words: str
    advice: str


class RowRejected(Exception):
    """A row that cannot become a call.

    Attributes:
        code: one of :data:`REASONS`.
        reason: a sentence that names fields and never quotes their values.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


LONGEST_WORDS = 500
"""Characters of an answer that are read and told: patterns are quick on so many, and people too."""

ROW_STATUSES = frozenset({400, 404, 409, 410, 413, 422})
"""Answers that judge the row; all other failures judge the connection."""

_ABSENT = r"(not[ _-]?(found|exist|allowed|defined)|unknown|does(n't| not) exist|invalid|no such|missing|undefined)"

REASONS: dict[str, Reason] = {
    reason.code: reason
    for reason in (
        Reason("missing_subscription_id", (), "", "Map a column that is always filled to subscription_id."),
        Reason(
            "invalid_subscription_id",
            (),
            "",
            "Map a column with one text or whole number to subscription_id.",
        ),
        Reason("missing_tags", (), "", "Map a column with at least one tag ID to tags, or leave such rows out."),
        Reason("invalid_tags", (), "", "tags takes a comma-separated text or a list of tag IDs."),
        Reason(
            "invalid_value",
            (),
            "",
            "Map a column with one plain value to this field, or convert it in the source.",
        ),
        Reason(
            "channel_not_found",
            (400, 404, 410, 422),
            # It ends the sync, so the channel itself must be what is absent, and not something in it.
            r"^\W*(?!.*\b(subscription|tag|attribute|topic))"
            rf"((the |this )?channel\b.*\b{_ABSENT}|{_ABSENT} channel(id)?\b)",
            "The channel ID does not match any channel in the CleverPush account. Verify it in CleverPush under "
            "Channel Settings > API. Channel IDs are case-sensitive.",
        ),
        Reason(
            "unknown_tag",
            (400, 404, 409, 422),
            rf"\btags?(id)?\b.*{_ABSENT}|{_ABSENT}.*\btags?(id)?\b",
            "Tags must be created in CleverPush before they can be assigned. Compare the tag IDs in your data with "
            "Channel Settings > Tags.",
        ),
        Reason(
            "unknown_attribute",
            (400, 404, 409, 422),
            rf"\b(custom ?)?attributes?\b.*{_ABSENT}|{_ABSENT}.*\b(custom ?)?attributes?\b",
            "Custom attributes must be created in CleverPush before they can be filled. Create the attribute under "
            "Settings > Custom Attributes, or leave the column out (Columns Without a Mapping: Ignore).",
        ),
        Reason(
            "unknown_topic",
            (400, 404, 409, 422),
            rf"\btopics?\b.*{_ABSENT}|{_ABSENT}.*\btopics?\b",
            "Compare the topic IDs in your data with the topics of the channel in CleverPush.",
        ),
        Reason(
            "contact_required",
            (400, 404, 409, 422),
            r"(e-?mail|phone|push ?token|contact)[^.]*\b(required|needed)\b"
            r"|\b(requires?|needs?|at least one|missing)\b[^.]*(e-?mail|phone|push ?token|contact)",
            "CleverPush creates a new subscription only with an email address, a phone number or a push token. Map at "
            "least one contact field (email or phone).",
        ),
        Reason(
            "not_found",
            (404, 410),
            "",
            "The subscription does not exist in this channel. Unsubscribing and tags need CleverPush's own "
            "subscription ID in subscription_id, not an external user ID.",
        ),
        Reason(
            "payload_too_large",
            (413,),
            "",
            "The row is larger than CleverPush accepts. Leave large columns out.",
        ),
        Reason(
            "conflict",
            (409,),
            "",
            "Something else changed this subscription at the same time. Send the row again.",
        ),
        Reason(
            "payload_refused",
            (400, 409, 422),
            "",
            "CleverPush did not accept the row's values. Ensure that custom attributes, tags and topics exist in the "
            "channel's settings and that the mapped columns hold what the fields expect.",
        ),
        Reason(
            "server_error",
            (500, 502, 503, 504, 408, 425),
            "",
            "CleverPush failed on this row alone while it took others. Look at the row's values, or send it again.",
        ),
        Reason(
            "no_answer",
            (),
            "",
            "The request for this row broke off or timed out while others went through. Send it again.",
        ),
    )
}
"""All codes a rejected row can have, in the order in which an answer is matched; `channel_not_found` ends the sync."""

INVALID_KEY = (
    "Authentication failed: invalid API key. Verify the private API key in CleverPush under Channel Settings > API. "
    "Use the private API key, not the public one, and check that it has not been regenerated since this destination "
    "was configured."
)
NO_PERMISSION = (
    "CleverPush refused access: the API key lacks a permission. It needs read and write access to subscriptions and to "
    "tags. Check the key in CleverPush under Channel Settings > API."
)
CHANNEL_NOT_FOUND = (
    "Channel not found. The channel ID does not match any channel in the CleverPush account. Verify the channel ID in "
    "CleverPush under Channel Settings > API. Channel IDs are case-sensitive."
)

_MATCHERS = [
    (r.code, frozenset(r.statuses), re.compile(r.words, re.IGNORECASE | re.DOTALL))
    for r in REASONS.values()
    if r.statuses
]


def recognise(status: int, words: str) -> str:
    """The code for an answer that judges a row, by its HTTP status and the beginning of CleverPush's own words."""
    words = words[:LONGEST_WORDS]
    return next(
        (code for code, statuses, pattern in _MATCHERS if status in statuses and pattern.search(words)),
        "payload_refused",
    )
