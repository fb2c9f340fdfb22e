"""What answers prove, where some are to reads and some to writes."""

from __future__ import annotations

from destination_cleverpush.delivery.judgement import Judgement, Patience

NEVER = float("inf")
LONGEST = Patience().longest_delay_seconds


def test_a_read_ends_the_trouble_of_reads() -> None:
    subject = Judgement(Patience())
    subject.failed(0.0, 1.0, read=True)
    assert subject.patience_ends() == LONGEST
    subject.answered(2.0, 0, read=True)
    assert subject.patience_ends() == NEVER
    assert subject.alive_since(2.0)


def test_only_a_write_ends_the_trouble_of_writes() -> None:
    subject = Judgement(Patience())
    subject.failed(3.0, 4.0)
    subject.answered(5.0, 0, read=True)
    assert subject.patience_ends() == 3.0 + LONGEST
    assert not subject.alive_since(5.0)
    subject.answered(6.0, 0)
    subject.answered(7.0, 0, read=True)
    assert subject.patience_ends() == NEVER
    assert subject.alive_since(7.0)
