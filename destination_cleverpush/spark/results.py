"""What became of the rows of a job: told by each task, judged and told by the driver for all of them."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from destination_cleverpush.dead_letter.store import told_place
from destination_cleverpush.settlement.counts import Counts, StreamCounts, total
from destination_cleverpush.settlement.policy import Policy
from destination_cleverpush.settlement.progress import closing, summarise
from destination_cleverpush.spark.options import WriteOptions
from destination_cleverpush.words import Pulse, StreamId


@dataclass
class Outcome:
    """What became of the rows of one task, or of several together.

    Attributes:
        read: rows.
        counts: what became of them.
        done: calls that CleverPush took, by what they do, and what else is to be told of rows.
        calls, retries, throttled: calls made, those that were made again, and those refused with 429.
        paused_seconds: how long the task waited since CleverPush asked for it.
        started, ended: epoch seconds; None where there was nothing to do.
    """

    read: int = 0
    counts: StreamCounts = field(default_factory=StreamCounts)
    done: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    retries: int = 0
    throttled: int = 0
    paused_seconds: float = 0.0
    started: float | None = None
    ended: float | None = None


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Several tasks as one; the longest pause stands for those that ran side by side."""
    return Outcome(
        read=sum(each.read for each in outcomes),
        counts=total({StreamId(str(number)): each.counts for number, each in enumerate(outcomes)}),
        done=sum((each.done for each in outcomes), start=Counter()),
        calls=sum(each.calls for each in outcomes),
        retries=sum(each.retries for each in outcomes),
        throttled=sum(each.throttled for each in outcomes),
        paused_seconds=max((each.paused_seconds for each in outcomes), default=0.0),
        started=min((each.started for each in outcomes if each.started is not None), default=None),
        ended=max((each.ended for each in outcomes if each.ended is not None), default=None),
    )


def conclude(outcomes: Sequence[Outcome], options: WriteOptions, logger: logging.Logger) -> None:
    """Tell what became of the rows of all tasks, and judge it.

    Raises:
        Failure: `config_error`: more rows were rejected than the configuration allows.
    """
    config, stream, job = options.config, options.stream, together(outcomes)
    counts, read = Counts(), {stream: job.read}
    counts.streams[stream] = job.counts
    seconds = 0.0 if job.started is None or job.ended is None else job.ended - job.started
    summarise(
        logger,
        counts,
        read,
        calls={stream: job.calls},
        taken={},
        besides={(stream, what): count for what, count in job.done.items()},
        seconds=seconds,
        dry=config.dry_run,
    )
    policy = Policy(config.on_rejected == "fail", config.max_rejected_ratio)
    for warning in policy.warnings(counts.streams, read):
        logger.warning(warning)
    failure = policy.at_the_end(counts.streams, read)
    pulse = Pulse(job.calls, 0, 0, job.retries, job.throttled, job.paused_seconds, 0.0, "")
    kept = None if config.rejected_records is None or config.dry_run else told_place(config.rejected_records)
    level = logging.WARNING if failure or job.counts.rejected else logging.INFO
    logger.log(level, closing(job.counts, job.read, pulse, seconds, failed=failure is not None, kept=kept))
    if failure is not None:
        raise failure


def tell_aborted(outcomes: Sequence[Outcome | None], logger: logging.Logger) -> None:
    """Tell what was delivered of a job that failed. A task that failed, None, has told nothing."""
    ended = [each for each in outcomes if each is not None]
    job = together(ended)
    logger.warning(
        "The write failed. %d of %d tasks had ended, with %s rows: %s delivered, %s rejected. Of the other tasks' "
        "rows a part was delivered. Write again once the cause is mended: rows that are sent again change nothing.",
        len(ended),
        len(outcomes),
        *(f"{number:,}" for number in (job.read, job.counts.delivered, job.counts.rejected.total())),
    )


def job_logger() -> logging.Logger:
    """Where a job tells of itself: standard error, which Spark keeps for each process, unless logging is set up."""
    logger = logging.getLogger("destination_cleverpush.spark")
    if not logger.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s destination-cleverpush: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    return logger
