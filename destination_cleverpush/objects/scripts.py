"""A row's calls, each naming the subscription that it is meant for: the step from whom to which.

An object's operations come without a subscription; here they get one. Run under the lock of delivery.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from destination_cleverpush.errors import config_error
from destination_cleverpush.objects.identity import Who
from destination_cleverpush.objects.known import ABSENT, GONE, Identities
from destination_cleverpush.objects.reasons import AMBIGUOUS, NOT_IN_CHANNEL
from destination_cleverpush.objects.settings import SubscriptionIdKind
from destination_cleverpush.words import Action, Answer, Operation, RowRejected, Script, StreamId, Tolerance, Verdict

LOOK_UP = Action("look_up", {"plain": "GET /subscription"}, done="looked up")
"""Finds the subscriptions whose attribute `user_id` is the user's own ID (CleverPush's developer docs)."""

MOST_OF_ONE = 20
"""Subscriptions that one person can have: browsers and phones."""


def by_own_id(operations: Sequence[Operation], who: Who, identities: Identities, stream: StreamId) -> Script:
    """Calls that find the subscription by the user's own ID, or by CleverPush's where it is known.

    A known one that is gone is forgotten, and the call is made once more without it.

    Raises (when it is run):
        Failure: `config_error`: CleverPush makes copies.
    """
    if len(operations) == 1:
        return _one_by_own_id(operations[0], who, identities, stream)
    return _each_by_own_id(operations, who, identities, stream)


def _each_by_own_id(operations: Sequence[Operation], who: Who, identities: Identities, stream: StreamId) -> Script:
    for operation in operations:
        yield from _one_by_own_id(operation, who, identities, stream)


def _one_by_own_id(operation: Operation, who: Who, identities: Identities, stream: StreamId) -> Script:
    own, kind = who.own, identities.kind
    native = who.native or (identities.to_send_along(own) if own else None)
    if native is not None:
        may_be_gone = own is not None and kind is not SubscriptionIdKind.NATIVE
        answer = yield named(operation, native, own, Tolerance.GONE if may_be_gone else Tolerance.NOTHING)
        if own is None or not (may_be_gone and answer.gone):
            return
        identities.known.forget(own, native)
    assert own is not None
    before = identities.known.one(own)
    operation = named(operation, None, own)  # in the first one's place, which thousands of waiting rows would hold
    answer = yield operation
    if answer.verdict is not Verdict.DELIVERED or not answer.ids:
        return
    now = answer.ids[0]
    identities.known.synced(own, now)
    if native is not None:  # what was gone came back as another: there is nothing to compare
        identities.reinstalled(own, stream)
    elif before == now:
        identities.same(own)
    elif before is not None:
        # Does the first still exist? An update of it that changes nothing says so.
        answer = yield named(Operation(operation.action, {}), before, own, Tolerance.ANYTHING)
        if answer.verdict is Verdict.DELIVERED:
            identities.copied(own)
        else:
            identities.reinstalled(own, stream)
    elif identities.is_first():
        answer = yield look_up(own, Tolerance.ANYTHING)
        if answer.verdict is Verdict.DELIVERED and answer.ids and now not in answer.ids:
            identities.copied(own)


def by_native_id(
    operations: Sequence[Operation],
    who: Who,
    identities: Identities,
    stream: StreamId,
    *,
    removes: bool,
    absent_is_removed: bool,
) -> Script:
    """Calls that take CleverPush's own ID, for all subscriptions of whom the row means, looked up where need be.

    Args:
        removes: what is gone already is removed, and no rejection.
        absent_is_removed: so is what was never there.

    Raises (when it is run):
        RowRejected: there is no such subscription, or too many.
        Failure: `config_error`: the IDs are the user's own, where CleverPush's are to be given.
    """
    natives = (who.native,) if who.native else (yield from _all_of(who.own or "", identities))
    if natives is None:
        return  # the look-up was refused, and with it the row
    if not natives and removes and absent_is_removed:
        identities.removal(stream, ABSENT)
        return
    if not natives:
        raise RowRejected(NOT_IN_CHANNEL, "No subscription with this ID is in the channel.")
    if len(natives) > MOST_OF_ONE:
        raise RowRejected(AMBIGUOUS, f"More than {MOST_OF_ONE} subscriptions have this ID as their user_id.")
    found = not who.native
    tolerates = Tolerance.GONE if removes or found else Tolerance.NOTHING
    left = len(natives)
    for native in natives:
        for operation in operations:
            answer = yield named(operation, native, None, tolerates)
            if answer.gone:
                left -= 1
                if who.own:
                    identities.known.forget(who.own, native)
                break  # nothing else can be done for it
    if removes:
        identities.removal(stream, None if left else GONE)
        if not left and who.guessed and identities.may_probe():
            yield from _is_it_the_users(natives[0], stream)
    elif not left and found:
        raise RowRejected(NOT_IN_CHANNEL, "The subscriptions with this ID are gone from the channel.")


def _all_of(own: str, identities: Identities) -> Generator[Operation, Answer, tuple[str, ...] | None]:
    """All subscriptions of a person; None where the look-up was refused."""
    natives = identities.known.all(own)
    if natives is None:
        answer = yield look_up(own)
        if answer.verdict is not Verdict.DELIVERED:
            return None
        natives = answer.ids
        identities.known.found(own, natives)
    return natives


def _is_it_the_users(given: str, stream: StreamId) -> Script:
    """End the sync where an ID that CleverPush does not have is the user's own ID of somebody."""
    answer = yield look_up(given, Tolerance.ANYTHING)
    if answer.verdict is Verdict.DELIVERED and answer.ids:
        raise config_error(
            f"The subscription_id of stream '{stream}' holds IDs of your own where CleverPush's are needed: CleverPush "
            "has no subscription with such an ID, and one whose user_id it is. Nobody was removed by it. Set What the "
            "Subscription ID Is (subscription_id_kind) to external, or map CleverPush's own IDs to cleverpush_id."
        )


def look_up(own: str, tolerates: Tolerance = Tolerance.NOTHING) -> Operation:
    """The call that finds all subscriptions of a person by the user's own ID."""
    return Operation(LOOK_UP, {"attributeId": "user_id", "attribute_value": own}, tolerates)


def named(
    operation: Operation, native: str | None, own: str | None, tolerates: Tolerance = Tolerance.NOTHING
) -> Operation:
    """An operation, with the subscription that it is meant for."""
    payload = operation.payload if native is None else {"subscriptionId": native, **operation.payload}
    if own is not None:
        payload = {**payload, "customAttributes": {**payload.get("customAttributes", {}), "user_id": own}}
    return Operation(operation.action, payload, tolerates)
