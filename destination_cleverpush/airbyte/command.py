"""The console command `destination-cleverpush`."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
from typing import NoReturn


def main() -> None:
    """Run the command that the arguments name."""
    # In a container this is process 1, which the kernel lets ignore every signal that it does not handle itself.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: _interrupted(number))
    if sys.stdout is None:
        print("destination-cleverpush: standard output is closed", file=sys.stderr)
        raise SystemExit(1)
    gc.disable()  # what is imported is no garbage: to look through it, now and at the end, takes a fifth of the start
    from destination_cleverpush.airbyte.destination import DestinationCleverpush  # noqa: PLC0415 - takes a second

    gc.freeze()
    gc.enable()
    DestinationCleverpush().run(sys.argv[1:])


def _interrupted(number: int) -> NoReturn:
    """End at once: what must be ended well (a sync) has handlers of its own."""
    message = f"The connector was ended by {signal.Signals(number).name}."
    error = {"message": message, "internal_message": message, "failure_type": "transient_error"}
    trace = {"type": "ERROR", "emitted_at": int(time.time() * 1000), "error": error}
    try:
        if select.select([], [1], [], 1)[1]:
            os.write(1, json.dumps({"type": "TRACE", "trace": trace}).encode() + b"\n")
    finally:
        os._exit(128 + number)
