"""What is remembered, where, and what follows for the rows: the object `change_tracking` of the form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from destination_cleverpush.errors import config_error
from destination_cleverpush.storage import settings as storage

_LONGEST_NAME = 100


@dataclass(frozen=True)
class Settings:
    """The user's wishes.

    Attributes:
        storage: where the memory lies.
        name: tells connections apart that share a destination: one connection per name.
        send: `changes`, or `everything`: then the memory serves removals only.
        resend_after_days: what was sent so many days ago is sent again although unchanged; 0: never.
        null_values: `clear`: an attribute that was sent and became null is cleared.
    """

    storage: storage.Settings
    name: str = "default"
    send: Literal["changes", "everything"] = "changes"
    resend_after_days: int = 30
    null_values: Literal["keep", "clear"] = "keep"


def parse(raw: Mapping[str, Any], field: str, *, null_values: Literal["keep", "clear"] = "keep") -> Settings | None:
    """The settings in an object of the form that the spec allows; None for `storage_type` `none`.

    Args:
        field: the object's name in the form, for messages.
        null_values: a field of the form beside it.

    Raises:
        Failure: `config_error`, for what cannot work. Names fields, never their values.
    """
    place = storage.parse(raw, field)
    if place is None:
        return None
    name = str(raw.get("name") or "default").strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise config_error(
            f"The configuration field '{field}.name' must have 1 to {_LONGEST_NAME} characters that can be printed."
        )
    days = raw.get("resend_after_days", 30)
    if isinstance(days, bool) or not isinstance(days, int) or days < 0:
        raise config_error(f"The configuration field '{field}.resend_after_days' must be a whole number, 0 or more.")
    return Settings(
        storage=place,
        name=name,
        send=_one_of(raw, field, "send", ("changes", "everything")),
        resend_after_days=days,
        null_values=null_values,
    )


def _one_of(raw: Mapping[str, Any], field: str, name: str, choices: tuple[str, ...]) -> Any:
    chosen = raw.get(name) or choices[0]
    if chosen not in choices:
        raise config_error(f"The configuration field '{field}.{name}' must be {' or '.join(map(repr, choices))}.")
    return chosen
