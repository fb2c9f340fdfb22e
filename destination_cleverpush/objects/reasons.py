"""Why a row is rejected before any call."""

from __future__ import annotations

from destination_cleverpush.words import Reason

MISSING_SUBSCRIPTION_ID = Reason("missing_subscription_id", "Map a column that is always filled to subscription_id.")
INVALID_SUBSCRIPTION_ID = Reason(
    "invalid_subscription_id", "Map a column with one text or whole number to subscription_id."
)
MISSING_TAGS = Reason("missing_tags", "Map a column with at least one tag ID to tags, or leave such rows out.")
INVALID_TAGS = Reason("invalid_tags", "tags takes a comma-separated text or a list of tag IDs.")
INVALID_VALUE = Reason("invalid_value", "Map a column with one plain value to this field, or convert it in the source.")

UNCLEAR_REMOVED_MARKER = Reason(
    "unclear_removed_marker",
    "Choose a column under Removed Marker that holds true or false, 1 or 0, or the time of the removal; or list the "
    "values that mean removed under Values That Mean Removed.",
)

NOT_IN_CHANNEL = Reason(
    "not_found",
    "No subscription of this channel has this ID as its user_id. Sync the subscriptions first, or leave such rows out.",
)
AMBIGUOUS = Reason(
    "ambiguous",
    "More subscriptions than one person has share this ID as their user_id: it is that of a group, or a placeholder. "
    "Map an ID that belongs to one person to subscription_id.",
)

REASONS = (
    MISSING_SUBSCRIPTION_ID,
    INVALID_SUBSCRIPTION_ID,
    MISSING_TAGS,
    INVALID_TAGS,
    INVALID_VALUE,
    UNCLEAR_REMOVED_MARKER,
    NOT_IN_CHANNEL,
    AMBIGUOUS,
)
