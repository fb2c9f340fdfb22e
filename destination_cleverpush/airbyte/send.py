"""A file's rows straight to CleverPush, without a catalog: CSV, JSON lines or Parquet (an extra).

What the columns of a CSV file hold stays text (`001` is an ID); an empty cell is no value.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from datetime import time as time_of_day
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.words import Complete, Row, Stream, StreamId

_BATCH_ROWS = 500
_ROW_BYTES = 200
"""What a row takes besides its cells, in bytes: estimated."""
_LONGEST_CELL = 16 * 1024 * 1024
_DELIMITERS = ",;\t|"
_FORMATS = ".csv, .tsv, .jsonl, .ndjson, .parquet; all but the last also with .gz"

Cells = tuple[Mapping[str, Any], int]
"""A row and its size in bytes."""


class Source(NamedTuple):
    """A file's rows.

    Attributes:
        columns: that all rows have; None where that is not known beforehand.
        share: how much of the file has been read, 0 to 1.
    """

    columns: Sequence[str] | None
    rows: Iterator[Cells]
    share: Callable[[], float] = lambda: 0.0


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `send` takes on the command line, besides the configuration."""
    command.add_argument("file", metavar="FILE", help=f"the rows ({_FORMATS})")
    command.add_argument(
        "--stream", metavar="NAME", help="what the rows are called in the log; the file's name if not given"
    )
    command.add_argument(
        "--complete",
        action="store_true",
        help="the file lists all: take it for a whole pass, as after a full refresh",
    )


def stream_of(arguments: argparse.Namespace, source: Source) -> Stream:
    """The stream that the rows are of."""
    properties: dict[str, Any] = {name: {} for name in source.columns or ()}
    name = arguments.stream or Path(arguments.file).name.split(".", 1)[0] or "rows"
    return Stream(
        StreamId(name),
        {"properties": properties} if properties else {},
        sync_mode="full_refresh" if arguments.complete else "incremental",
        destination_sync_mode="append",
    )


def messages(stream: StreamId, source: Source, *, complete: bool) -> Iterator[list[Row | Complete]]:
    """The rows in batches; at the end that the stream is complete, if it is.

    Raises:
        Failure: `config_error`, after the rows before it: the file cannot be read further.
    """
    now, position, ended = int(time.time() * 1000), 0, False
    while not ended:
        batch: list[Row | Complete] = []
        failure: Failure | None = None
        try:
            for data, size in islice(source.rows, _BATCH_ROWS):
                position += 1
                batch.append(Row(stream, data, now, size, position))
        except Failure as found:
            failure = found
        ended = len(batch) < _BATCH_ROWS
        if ended and complete and failure is None:
            batch.append(Complete(stream))
        yield batch
        if failure is not None:
            raise failure


def share_read(descriptor: int) -> Callable[[], float] | None:
    """How much of a regular file has been read through a descriptor, 0 to 1; None for anything else."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return None

    def share() -> float:
        try:
            return min(1.0, os.lseek(descriptor, 0, os.SEEK_CUR) / status.st_size)
        except OSError:  # closed at its end
            return 1.0

    return share


def open_source(path: str) -> Source:
    """Begin to read a file.

    Raises:
        Failure: `config_error`: it cannot be read, or is of another kind.
    """
    kinds = [part.lower() for part in Path(path).name.split(".")[1:]]
    packed = kinds[-1:] == ["gz"]
    kind = kinds[-1 - packed] if len(kinds) > packed else ""
    try:
        if kind == "parquet":
            return _parquet(path)
        if kind not in ("csv", "tsv", "jsonl", "ndjson", "json"):
            raise config_error(f"The file {path} is of an unknown kind. Its name must end with one of: {_FORMATS}.")
        raw = Path(path).open("rb")  # noqa: SIM115 - read to its end
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        share = share_read(raw.fileno()) or (lambda: 0.0)
        if kind in ("csv", "tsv"):
            return _csv(path, _text(file))._replace(share=share)
        return Source(None, _guarded(path, _json_lines(path, file)), share)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError:
        raise _not_utf8(path) from None


def _text(file: BinaryIO | gzip.GzipFile) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding="utf-8-sig", newline="")


def _csv(path: str, file: io.TextIOWrapper) -> Source:
    csv.field_size_limit(_LONGEST_CELL)
    head = file.readline()
    delimiter = max(_DELIMITERS, key=head.count)
    names = next(csv.reader([head], delimiter=delimiter), [])
    names = [name.strip() for name in names]
    if not any(names):
        raise config_error(f"The file {path} has no header: its first line must name the columns.")
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise config_error(f"The file {path} has two columns of the name '{twice}'. Name each of them once.")
    return Source([name for name in names if name], _guarded(path, _csv_rows(path, file, names, delimiter)))


def _csv_rows(path: str, file: io.TextIOWrapper, names: Sequence[str], delimiter: str) -> Iterator[Cells]:
    reader = csv.reader(file, delimiter=delimiter)
    try:
        for cells in reader:
            if len(cells) > len(names) and any(cells[len(names) :]):
                raise config_error(
                    f"Line {reader.line_num + 1} of the file {path} has {len(cells)} cells, and the header names "
                    f"{len(names)} columns. The rows before it were sent. Quote cells that contain '{delimiter}'."
                )
            if cells:
                data = {name: cell or None for name, cell in zip(names, cells, strict=False) if name}
                yield data, _ROW_BYTES + sum(map(len, cells))
    except csv.Error:
        raise config_error(
            f"Line {reader.line_num + 1} of the file {path} cannot be read as CSV. The rows before it were sent."
        ) from None


def _json_lines(path: str, lines: Iterable[bytes]) -> Iterator[Cells]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise config_error(
                f"Line {number} of the file {path} is not a JSON object. The rows before it were sent. Write one row "
                'as an object to each line, such as {"subscription_id": "1"}.'
            )
        yield data, _ROW_BYTES + len(line)


def _parquet(path: str) -> Source:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 - an extra
    except ImportError:
        raise config_error(
            "Parquet files need the package pyarrow: pip install 'destination-cleverpush[parquet]'."
        ) from None
    try:
        file = parquet.ParquetFile(path)
    except ArrowException:
        raise config_error(f"The file {path} cannot be read as Parquet.") from None

    read = 0

    def rows() -> Iterator[Cells]:
        nonlocal read
        try:
            for batch in file.iter_batches(_BATCH_ROWS):
                read += batch.num_rows
                size = _ROW_BYTES + batch.nbytes // max(1, batch.num_rows)
                yield from (({name: _plain(cell) for name, cell in row.items()}, size) for row in batch.to_pylist())
        except ArrowException:
            raise config_error(f"The file {path} is broken. The rows before that were sent.") from None

    return Source(file.schema_arrow.names, _guarded(path, rows()), lambda: read / max(1, file.metadata.num_rows))


def _plain(value: Any) -> Any:
    """A value of Parquet as JSON has it."""
    if isinstance(value, date | time_of_day):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return {name: _plain(part) for name, part in value.items()} if isinstance(value, Mapping) else value


def _guarded(path: str, rows: Iterator[Cells]) -> Iterator[Cells]:
    try:
        yield from rows
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> Failure:
    why = getattr(error, "strerror", None) or "it is broken"
    return config_error(f"The file {path} cannot be read: {why}.")


def _not_utf8(path: str) -> Failure:
    return config_error(f"The file {path} is not encoded as UTF-8. Save it as UTF-8 (in Excel: CSV UTF-8).")
