"""A double of the Airbyte platform: it does to a destination what the platform does, and holds it to the same rules.

`callers` says what the platform, PyAirbyte and a plain pipe make of a catalog and of a source's messages; `ledger`
knows what went in and judges what comes out, both without a process; `process` runs a destination between the two.

The rules, each with its public source in the repositories airbyte-platform (container orchestrator and workload
launcher), airbyte-protocol and PyAirbyte:

1.  A destination is a process that reads messages line by line on standard input and answers on standard output, while
    both run at their own speed (`ReplicationWorkerHelper`). What it prints is Airbyte messages and nothing else.
2.  A state that comes out says that every record before it is safely at the destination. The platform never sends those
    again.
3.  The platform puts an `id` and `sourceStats` into each state of the source, beside its `type`, and finds its
    bookkeeping by the id when it comes out (`StateEnricher`). The rest of the state belongs to the source and comes out
    as it went in, whatever stands in it. A source emits a state for a stream that has none of its own, too.
4.  States come out in the order in which they went in, each once, and all of them where the sync succeeds.
5.  `destinationStats` of a state tells the records since the state before that covered them: of its own stream for a
    STREAM state, of all streams for a GLOBAL one and for one without a type (`StateCheckSumCountEventHandler`).
    `recordCount` are those taken, `rejectedRecordCount` those given up; their sum is compared with what was sent. Both
    are decimals on the wire.
6.  While it runs, the platform forwards RECORD and STATE only. At the end, where the source exited with 0, a TRACE
    `STREAM_STATUS` COMPLETE follows for every stream of the catalog, else for none (`StreamStatusCompletionTracker`).
7.  The catalog names generations (`generation_id`, `minimum_generation_id`, `sync_id`). Where the destination's
    metadata says `supportsRefreshes`, `overwrite` arrives as `append` (`overwrite_dedup` as `append_dedup`) with
    `minimum_generation_id` equal to `generation_id` (`DefaultProtocolSerializer`); so does a job that clears the data,
    with no record and COMPLETE for all.
8.  A connection's prefix stands before the stream's name in the catalog, in records, in STREAM states and statuses; a
    GLOBAL state keeps the source's names (`NamespacingMapper`).
9.  A failure is one TRACE message of type ERROR, with a message for the user and a `failure_type`, and an exit code
    other than 0; a success has neither, and has taken all of its input.
10. A destination that neither takes the next line nor says anything is given up after a while
    (`DestinationTimeoutMonitor`), and so is one that does not end after its input has ended, and one that keeps states
    back while it says other things: all come back without a long gap.
11. A cancelled sync gets no signal at first: its pipes are closed, EOF on standard input and EPIPE on standard output;
    SIGKILL follows (`ContainerCommandFactory`). SIGTERM is what Kubernetes, Docker and people send.

Whatever breaks a rule ends the process and raises :class:`Violation`.
"""

from integration_tests.platform_double.callers import AIRBYTE, PIPE, PYAIRBYTE, Caller, Line, StreamKey
from integration_tests.platform_double.ledger import FAILURE_TYPES, Ledger, Log, Violation
from integration_tests.platform_double.process import (
    CONNECTOR,
    CheckResult,
    ConnectorProcess,
    Reader,
    WriteResult,
    assert_absent,
    run_check,
    run_clear,
    run_write,
)

__all__ = [
    "AIRBYTE",
    "CONNECTOR",
    "FAILURE_TYPES",
    "PIPE",
    "PYAIRBYTE",
    "Caller",
    "CheckResult",
    "ConnectorProcess",
    "Ledger",
    "Line",
    "Log",
    "Reader",
    "StreamKey",
    "Violation",
    "WriteResult",
    "assert_absent",
    "run_check",
    "run_clear",
    "run_write",
]
