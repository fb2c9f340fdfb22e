"""Why CleverPush refuses rows: the reasons as a table, how each is recognised, and what to do about it.

The advice is that of the destination's public description (its troubleshooting section). CleverPush does not document
the shape of its error bodies, so its words are matched loosely; what no rule recognises is `payload_refused`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from destination_cleverpush.words import UNKNOWN_TAG, UNKNOWN_TOPIC, Reason

LONGEST_WORDS = 500
"""Characters of an answer that are read and told: patterns are quick on so many, and people too."""

ROW_STATUSES = frozenset({400, 404, 409, 410, 413, 422})
"""Answers that judge the row; all other failures judge the connection."""

CHANNEL_NOT_FOUND = Reason(
    "channel_not_found",
    "The channel ID does not match any channel in the CleverPush account. Verify it in CleverPush under "
    "Channel Settings > API. Channel IDs are case-sensitive.",
)
UNKNOWN_ATTRIBUTE = Reason(
    "unknown_attribute",
    "Custom attributes must be created in CleverPush before they can be filled. Create the attribute under "
    "Settings > Custom Attributes, or leave the column out (Columns Without a Mapping: Ignore).",
)
CONTACT_REQUIRED = Reason(
    "contact_required",
    "CleverPush creates a new subscription only with an email address, a phone number or a push token. Map at "
    "least one contact field (email or phone).",
)
NOT_FOUND = Reason(
    "not_found",
    "The subscription does not exist in this channel. If subscription_id holds IDs of your own, set What the "
    "Subscription ID Is to external, or map CleverPush's own IDs to cleverpush_id.",
)
PAYLOAD_TOO_LARGE = Reason("payload_too_large", "The row is larger than CleverPush accepts. Leave large columns out.")
CONFLICT = Reason("conflict", "Something else changed this subscription at the same time. Send the row again.")
PAYLOAD_REFUSED = Reason(
    "payload_refused",
    "CleverPush did not accept the row's values. Ensure that custom attributes, tags and topics exist in the "
    "channel's settings and that the mapped columns hold what the fields expect.",
)
BLOCKED = Reason(
    "blocked",
    "A firewall in front of CleverPush refused the request for this row with a web page, while it lets others pass. "
    "Look at the row's values for code or markup, or ask CleverPush's support.",
)
SERVER_ERROR = Reason(
    "server_error",
    "CleverPush failed on this row alone while it took others. Look at the row's values, or send it again.",
)
NO_ANSWER = Reason(
    "no_answer", "The request for this row broke off or timed out while others went through. Send it again."
)


class Rule(NamedTuple):
    """How a reason is recognised: by the HTTP statuses that can mean it, and what CleverPush's words say."""

    reason: Reason
    statuses: frozenset[int]
    words: re.Pattern[str]


def _rule(reason: Reason, statuses: set[int], words: str = "") -> Rule:
    return Rule(reason, frozenset(statuses), re.compile(words, re.IGNORECASE | re.DOTALL))


_ABSENT = r"(not[ _-]?(found|exist|allowed|defined)|unknown|does(n't| not) exist|invalid|no such|missing|undefined)"

RULES = (
    _rule(
        CHANNEL_NOT_FOUND,
        {400, 404, 410, 422},
        # It ends the sync, so the channel itself must be what is absent, and not something in it.
        r"^\W*(?!.*\b(subscription|tag|attribute|topic))"
        rf"((the |this )?channel\b.*\b{_ABSENT}|{_ABSENT} channel(id)?\b)",
    ),
    _rule(UNKNOWN_TAG, {400, 404, 409, 422}, rf"\btags?(id)?\b.*{_ABSENT}|{_ABSENT}.*\btags?(id)?\b"),
    _rule(
        UNKNOWN_ATTRIBUTE,
        {400, 404, 409, 422},
        rf"\b(custom ?)?attributes?\b.*{_ABSENT}|{_ABSENT}.*\b(custom ?)?attributes?\b",
    ),
    _rule(UNKNOWN_TOPIC, {400, 404, 409, 422}, rf"\btopics?\b.*{_ABSENT}|{_ABSENT}.*\btopics?\b"),
    _rule(
        CONTACT_REQUIRED,
        {400, 404, 409, 422},
        r"(e-?mail|phone|push ?token|contact)[^.]*\b(required|needed)\b"
        r"|\b(requires?|needs?|at least one|missing)\b[^.]*(e-?mail|phone|push ?token|contact)",
    ),
    _rule(NOT_FOUND, {404, 410}),
    _rule(PAYLOAD_TOO_LARGE, {413}),
    _rule(CONFLICT, {409}),
)
"""In the order in which an answer is matched; `channel_not_found` ends the sync."""

REASONS = (*(rule.reason for rule in RULES), PAYLOAD_REFUSED, BLOCKED, SERVER_ERROR, NO_ANSWER)
"""All that this room gives for a refusal."""


def recognise(status: int, words: str) -> Reason:
    """Why an answer judges a row, by its HTTP status and the beginning of CleverPush's own words."""
    words = words[:LONGEST_WORDS]
    return next(
        (rule.reason for rule in RULES if status in rule.statuses and rule.words.search(words)), PAYLOAD_REFUSED
    )
