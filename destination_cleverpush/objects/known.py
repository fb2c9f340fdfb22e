"""What one sync knows of IDs: from CleverPush's answers, for all streams together.

It is used by scripts alone, under the lock of delivery: nothing here waits, and notices are handed to a queue.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping

from destination_cleverpush.errors import config_error
from destination_cleverpush.objects.settings import SubscriptionIdKind
from destination_cleverpush.words import StreamId

MOST_KNOWN = 1_000_000
"""Own IDs of which CleverPush's are remembered where removals and tags need them, some 200 bytes each."""

MOST_COMPARED = 10_000
"""The same where they only tell whether a sync finds a subscription again: it comes back soon, or hardly matters."""

PROBES = 5
"""Subscriptions that were gone already, of which it is looked up whether their IDs are the user's own."""

ENOUGH_ALIKE = 10
"""IDs that came back the same: then a sync finds by `user_id`, and it is not tried any more."""

MOST_COPIES = 10
"""Second subscriptions that end the sync."""

JUDGED_FROM_REMOVALS = 20
"""Rows that were removed, from which on the share of those that were gone already is told."""

GONE = "gone already"
ABSENT = "not in the channel"
REINSTALLED = "with another subscription than before"


class Known:
    """Which subscriptions a user's own ID has, as far as CleverPush has said.

    A tuple is all of them (a look-up says so), a text one of them (the answer to a sync). There are two generations,
    each of half the size: when the younger is full, the older is forgotten.
    """

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[str, str | tuple[str, ...]] = {}
        self._old: dict[str, str | tuple[str, ...]] = {}

    def all(self, own: str) -> tuple[str, ...] | None:
        """All of a person's subscriptions, None where they are not known."""
        found = self._find(own)
        return found if isinstance(found, tuple) else None

    def one(self, own: str) -> str | None:
        """The one subscription that is known of a person; None for none, and where there are several."""
        found = self._find(own)
        if isinstance(found, tuple):
            return found[0] if len(found) == 1 else None
        return found

    def any(self, own: str) -> tuple[str, ...]:
        """Those of a person's subscriptions that are known."""
        found = self._find(own)
        return (found,) if isinstance(found, str) else found or ()

    def found(self, own: str, natives: tuple[str, ...]) -> None:
        """A look-up has found these, and no others."""
        self._keep(own, natives)

    def synced(self, own: str, native: str) -> None:
        """A sync has created or updated this one."""
        found = self._find(own)
        if isinstance(found, tuple):
            self._keep(own, found if native in found else (*found, native))
        else:
            self._keep(own, native)

    def forget(self, own: str, native: str) -> None:
        """This subscription is gone."""
        found = self._find(own)
        left = tuple(one for one in found if one != native) if isinstance(found, tuple) else ()
        if left:
            self._keep(own, left)
        elif found is not None:  # a person whose subscriptions are all gone may have got another
            self._young.pop(own, None)
            self._old.pop(own, None)

    def _find(self, own: str) -> str | tuple[str, ...] | None:
        found = self._young.get(own)
        return self._old.get(own) if found is None else found

    def _keep(self, own: str, natives: str | tuple[str, ...]) -> None:
        if len(self._young) >= self._half and own not in self._young:
            self._old, self._young = self._young, {}
        self._young[own] = natives


class Identities:
    """The IDs of one sync, and what they show of it.

    Args:
        tell: takes notices: a level of :mod:`logging` and a sentence. Called under the lock of delivery.
    """

    def __init__(
        self,
        kind: SubscriptionIdKind,
        tell: Callable[[int, str], None] = lambda _level, _sentence: None,
    ) -> None:
        self.kind = kind
        self.known = Known(MOST_KNOWN if kind is SubscriptionIdKind.EXTERNAL else MOST_COMPARED)
        self._tell = tell
        self._probes = 0
        self._first_compared = False
        self._compared: set[str] = set()
        self._alike = 0
        self._copies = 0
        self._removals: Counter[StreamId] = Counter()
        self._besides: Counter[tuple[StreamId, str]] = Counter()

    @property
    def besides(self) -> Mapping[tuple[StreamId, str], int]:
        """Rows with something to be told of: by stream, :data:`GONE`, :data:`ABSENT` or :data:`REINSTALLED`."""
        return self._besides

    def removal(self, stream: StreamId, nothing_there: str | None = None) -> None:
        """A row was removed; or there was nothing to remove, and why: :data:`GONE` or :data:`ABSENT`."""
        self._removals[stream] += 1
        if nothing_there is not None:
            self._besides[stream, nothing_there] += 1

    def warnings(self) -> list[str]:
        """What the user should know at the end."""
        told = []
        for stream, removals in self._removals.items():
            without = self._besides[stream, GONE] + self._besides[stream, ABSENT]
            if removals >= JUDGED_FROM_REMOVALS and 2 * without > removals:
                told.append(
                    f"Stream '{stream}': {without} of {removals} rows to be removed had no subscription any more: gone "
                    "already, or not in the channel. That is as it should be where removals are sent again. If it is "
                    "not, their IDs are not what What the Subscription ID Is (subscription_id_kind) says."
                )
        return told

    # --- own IDs that are sent as CleverPush's

    def may_probe(self) -> bool:
        """Whether an ID that CleverPush does not have is to be looked up as the user's own; counts it."""
        self._probes += 1
        return self._probes <= PROBES

    # --- copies

    def to_send_along(self, own: str) -> str | None:
        """The subscription that an update of this person names; None: it is found by `user_id` alone."""
        known = self.known.one(own)
        if known is None or (self.known.all(own) is None and self._alike < ENOUGH_ALIKE and own not in self._compared):
            return None
        return known

    def is_first(self) -> bool:
        """Whether this is the first answer to a sync by `user_id` alone; counts it."""
        first, self._first_compared = not self._first_compared, True
        return first

    def same(self, own: str) -> None:
        """A second sync of a person found the same subscription."""
        self._compare(own)
        self._alike += 1

    def reinstalled(self, own: str, stream: StreamId) -> None:
        """A sync of a person found another subscription, and the one that was known is gone."""
        self._compare(own)
        self._besides[stream, REINSTALLED] += 1

    def copied(self, own: str) -> None:
        """A second subscription of a person, while the first exists.

        Raises:
            Failure: `config_error`: it is one too many.
        """
        self._compare(own)
        self._copies += 1
        if self._copies == 1:
            self._tell(
                logging.WARNING,
                "CleverPush made a second subscription for a person who has one: it does not find subscriptions by "
                f"user_id, and the channel is filling with copies. After {MOST_COPIES} the sync ends. {_WAY_OUT}",
            )
        if self._copies >= MOST_COPIES:
            raise config_error(
                f"CleverPush made a second subscription for {self._copies} persons who have one: it does not find "
                f"subscriptions by user_id, and the channel is filling with copies. {_WAY_OUT}"
            )

    def _compare(self, own: str) -> None:
        if len(self._compared) < MOST_COMPARED:
            self._compared.add(own)


_WAY_OUT = (
    "Map a column with CleverPush's own IDs to cleverpush_id (or to subscription_id, with What the Subscription ID Is "
    "set to native), so that updates name the subscription, and ask CleverPush's support whether a sync finds a "
    "subscription by the custom attribute user_id in this channel."
)
