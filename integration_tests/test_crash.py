"""The small form of :mod:`tools.crash`; the large one is a command of its own."""

from __future__ import annotations

import pytest

from tools.crash import OBJECTS, crash


@pytest.mark.slow
@pytest.mark.parametrize("object_type", OBJECTS)
def test_nothing_is_lost_when_the_connector_is_killed_again_and_again(object_type: str) -> None:
    outcome = crash(object_type, rows=600, kills=2, seed=7)
    assert outcome.kills >= 1
    assert outcome.confirmed == 600
