"""Whom a row means: the user's own ID of a person, or CleverPush's of a subscription. Pure."""

from __future__ import annotations

from typing import NamedTuple

from destination_cleverpush.objects.reasons import INVALID_SUBSCRIPTION_ID, MISSING_SUBSCRIPTION_ID
from destination_cleverpush.objects.settings import AudienceMode, Settings, SubscriptionIdKind
from destination_cleverpush.objects.shape import CleverPushObject, Fields, IdKind
from destination_cleverpush.objects.values import is_nothing, text
from destination_cleverpush.words import RowRejected

# For every row: a look into an enumeration costs as much as a small function (Python before 3.12).
_NATIVE, _EXTERNAL, _BY_OWN = SubscriptionIdKind.NATIVE, SubscriptionIdKind.EXTERNAL, IdKind.EXTERNAL


class Who(NamedTuple):
    """Whom a row means; one of the first two is always known.

    Attributes:
        own: the user's own ID, CleverPush's `user_id`.
        native: CleverPush's own ID of the subscription.
        guessed: `native` is what the call is defined to take, and nobody said that the column holds that.
    """

    own: str | None
    native: str | None
    guessed: bool = False

    @property
    def lane(self) -> str:
        """The same for all rows of one person, as far as their IDs tell."""
        return self.own or self.native or ""


def whom(fields: Fields, kind: SubscriptionIdKind, call: IdKind, *, gives_both: bool, names_user: bool) -> Who:
    """Whom a row means.

    Args:
        kind: what `subscription_id` is.
        call: how the row's calls name a subscription.
        gives_both: the stream has `cleverpush_id`, which is empty in some rows: `subscription_id` is the user's own.
        names_user: a column is mapped to `user_id` (for the kind `native`).

    Raises:
        RowRejected: the row lacks the ID that is needed, or it is no plain value.
    """
    given, native = _id("subscription_id", fields), _id("cleverpush_id", fields)
    if kind is _NATIVE:
        own = (_id("user_id", fields) if names_user else None) or (given if native else None)
        who = Who(own, native or given)
    elif call is _BY_OWN:
        who = Who(given, native if given else None)
    elif native or kind is _EXTERNAL or gives_both:
        who = Who(given, native)
    else:
        who = Who(None, given, guessed=True)
    if not (who.own or who.native):
        raise RowRejected(MISSING_SUBSCRIPTION_ID, "subscription_id is missing or empty.")
    return who


def shown(fields: Fields) -> str | None:
    """The ID by which a row is told, None where it has none that can be used."""
    try:
        return _id("subscription_id", fields) or _id("cleverpush_id", fields)
    except RowRejected:
        return None


def required_fields(settings: Settings, found: CleverPushObject) -> tuple[str, ...]:
    """The fields without which no row can be sent: `cleverpush_id` may do in place of `subscription_id`."""
    mapped = {m.destination for m in settings.field_mapping}
    puts_by_own = found.put_id is IdKind.EXTERNAL and settings.audience_mode is not AudienceMode.REMOVE
    own_needed = puts_by_own and settings.subscription_id_kind is not SubscriptionIdKind.NATIVE
    if own_needed or "subscription_id" in mapped or "cleverpush_id" not in mapped:
        return found.required_fields
    return tuple("cleverpush_id" if name == "subscription_id" else name for name in found.required_fields)


def mixed_ids(settings: Settings, found: CleverPushObject, *, gives_both: bool) -> str | None:
    """A warning where one text is sent as two kinds of ID, so that Mirror removes others than it adds."""
    mirrors = settings.audience_mode is AudienceMode.MIRROR and found.put_id is not found.remove_id
    if gives_both or not mirrors or settings.subscription_id_kind is not SubscriptionIdKind.BY_CALL:
        return None
    return (
        "Mirror sends subscription_id as two kinds of ID: as an ID of your own (user_id) where it creates or updates, "
        "and as CleverPush's where it unsubscribes. With one column for both it makes second subscriptions, or "
        "unsubscribes nobody or the wrong one. There are two ways out: set What the Subscription ID Is "
        "(subscription_id_kind) to external, or to native where the column holds CleverPush's IDs; or map a column "
        "with CleverPush's own IDs to cleverpush_id as well."
    )


def _id(field: str, fields: Fields) -> str | None:
    value = fields.get(field)
    if value is None:
        return None
    found = text(field, value, INVALID_SUBSCRIPTION_ID)
    return None if is_nothing(found) else found
