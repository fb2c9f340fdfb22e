"""The objects that rows can become. Another one is a module beside these, and a line here."""

from __future__ import annotations

from destination_cleverpush.objects import subscriptions, tags
from destination_cleverpush.objects.shape import CleverPushObject

OBJECTS: dict[str, CleverPushObject] = {
    found.name: found
    for found in (
        subscriptions.OBJECT,
        tags.OBJECT,
    )
}
"""By name, in the form's order."""
