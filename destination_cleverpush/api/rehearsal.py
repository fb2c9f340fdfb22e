"""The dry run: reads and look-ups are made, and every other call is only written down."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from destination_cleverpush.api.client import WITNESS, Client
from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.words import DELIVERED, Action, Answer, Operation, Underway, Verdict

FIRST_CALLS = 5
"""Of each kind, that are kept to be shown."""


class Call(NamedTuple):
    """A call that would have been made."""

    path: str
    body: dict[str, Any]


class Rehearsal:
    """Stands in for a client: takes every writing call for delivered, and makes none.

    Args:
        client: makes the reads and the look-ups.
        plan: a file that every call is written to as a JSON line, readable by its owner alone; None: nowhere.

    Raises:
        Failure: `config_error`: the file cannot be written.

    Attributes:
        first: the first calls of each kind.
        written: calls in the file.
    """

    def __init__(self, client: Client, plan: Path | None = None) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._path = plan
        self._file = _open(plan) if plan is not None else None
        self.first: dict[Action, list[Call]] = {}
        self.written = 0

    def begin(self, operation: Operation) -> Underway | Answer | None:
        """As :meth:`Client.begin`."""
        if operation.action is WITNESS or operation.action.is_read:
            return self._client.begin(operation)
        return self.send(operation)

    def send(self, operation: Operation) -> Answer:
        """As :meth:`Client.send`."""
        if operation.action is WITNESS or operation.action.is_read:
            return self._client.send(operation)
        path = self._client.route(operation.action)
        call = Call(path, {"channelId": self._client.settings.channel_id, **operation.payload})
        with self._lock:
            first = self.first.setdefault(operation.action, [])
            if len(first) < FIRST_CALLS:
                first.append(call)
            if self._file is not None and (failure := self._write(self._file, call)):
                return Answer(Verdict.FATAL, failure=failure)
        return DELIVERED

    def close(self) -> None:
        """End the file.

        Raises:
            Failure: `config_error`: it cannot be written to its end.
        """
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                raise _unwritable(self._path, error) from None

    def _write(self, file: TextIO, call: Call) -> Failure | None:
        try:
            file.write(json.dumps({"method": "POST", "path": call.path, "body": call.body}) + "\n")
        except OSError as error:
            return _unwritable(self._path, error)
        self.written += 1
        return None


def _open(path: Path) -> TextIO:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)  # also where it was there already
        return os.fdopen(descriptor, "w", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path | None, error: OSError) -> Failure:
    return config_error(f"The plan file {path} cannot be written: {error.strerror}.")
