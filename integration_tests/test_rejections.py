"""The small form of :mod:`tools.rejections`; the large one is a command of its own."""

from __future__ import annotations

import pytest

from tools.rejections import REFUSALS, run


@pytest.mark.slow
def test_refused_rows_are_counted_and_kept_though_the_process_is_killed() -> None:
    refused = run(count=6_000, kills=2, seed=3)
    assert refused == dict.fromkeys(REFUSALS, 100)
