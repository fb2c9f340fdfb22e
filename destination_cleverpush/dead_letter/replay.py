"""Rejected rows turned back into Airbyte records, to be sent again once the cause is mended.

`destination-cleverpush replay --from DIR | destination-cleverpush write --config FILE --catalog FILE`

The rows come in the order in which they were stored, stream by stream; nothing is left out as a repetition. Objects
are read one after the other, so memory does not grow with their number.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from destination_cleverpush.dead_letter.rows import dump, is_part, order
from destination_cleverpush.dead_letter.store import NAME
from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.storage.local import files_under
from destination_cleverpush.storage.objects import SYNC_PATIENCE, open_objects
from destination_cleverpush.storage.settings import Settings

_GZIP_MAGIC = b"\x1f\x8b"


class StoredObject(NamedTuple):
    """An object with rejected rows: its name, and how it is opened."""

    name: str
    open: Callable[[], BinaryIO]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command `replay`."""
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="PATH",
        help="a directory, or a file or glob pattern, of stored rows; with --config, a folder or pattern inside the "
        "configured store (default: all of it). May be given several times",
    )
    parser.add_argument("--config", metavar="FILE", help="read from the store that this configuration names")
    parser.add_argument(
        "--stream",
        action="append",
        default=[],
        metavar="NAME",
        help="only rows of this stream (name or namespace.name)",
    )
    parser.add_argument(
        "--code", action="append", default=[], metavar="CODE", help="only rows rejected for this reason"
    )


def run(args: argparse.Namespace, configured: Callable[[str], Settings | None]) -> Iterator[str]:
    """The chosen rows as lines of RECORD messages, without line ends.

    Args:
        configured: reads from a configuration file, named with --config, where it keeps rejected rows: None if nowhere.

    Raises:
        Failure: `config_error`: nothing to read, nothing chosen, or an object that cannot be read. What
            was yielded before stands; sending it again does no harm.
    """
    if args.config:
        objects = _configured_objects(configured(args.config), args.sources)
    elif args.sources:
        objects = _local_objects(args.sources)
    else:
        raise config_error(
            "Say what to replay: --from with a directory, file or pattern, or --config with a configuration."
        )
    if not objects:
        raise config_error("There is nothing to replay: no stored rows were found.")
    found = False
    for stored in sorted(objects, key=lambda stored: order(stored.name)):
        for row in read_rows(stored):
            if _is_chosen(row, args.stream, args.code):
                found = True
                yield _record_line(stored.name, row)
    if not found:
        raise config_error("No stored row has the stream and code asked for with --stream and --code.")


def read_rows(stored: StoredObject) -> Iterator[dict[str, Any]]:
    """The rows of an object, in order; gzip, or the same text unpacked.

    Raises:
        Failure: `config_error` that names the object and line, at the first thing that is not a row.
    """
    try:
        file = stored.open()
    except OSError as error:
        raise config_error(f"The stored object '{stored.name}' cannot be opened ({type(error).__name__}).") from None
    read = 0
    with file:
        try:
            for line in _lines(file, stored.name):
                row = None if line.isspace() else _row(line)
                read += 1
                if row is not None:
                    yield row
        except (OSError, EOFError, zlib.error):
            raise _unreadable(stored.name, read + 1, "the file is damaged or cut off") from None
        except (ValueError, RecursionError):
            raise _unreadable(stored.name, read + 1, "it is not a stored row") from None


def _lines(file: BinaryIO, name: str) -> Iterable[bytes]:
    magic = file.read(2)
    file.seek(0)
    if name.endswith(".gz") and not magic:
        raise EOFError
    return gzip.GzipFile(fileobj=file) if magic == _GZIP_MAGIC or name.endswith(".gz") else file


def _row(line: bytes) -> dict[str, Any]:
    row = json.loads(line)
    if not (isinstance(row, dict) and isinstance(row.get("data"), dict) and isinstance(row.get("stream"), str)):
        raise ValueError
    return row


def _unreadable(name: str, line: int, why: str) -> Failure:
    return config_error(
        f"The stored object '{name}' cannot be read at line {line} ({why}). The rows before it were replayed, those "
        "after it were not. Mend or move the object, and replay again."
    )


def _is_chosen(row: dict[str, Any], streams: list[str], codes: list[str]) -> bool:
    names = {row["stream"], f"{row.get('namespace')}.{row['stream']}" if row.get("namespace") else row["stream"]}
    return (not streams or not names.isdisjoint(streams)) and (not codes or row.get("code") in codes)


def _record_line(name: str, row: dict[str, Any]) -> str:
    emitted_at = row.get("emitted_at")
    record = {
        "stream": row["stream"],
        **({"namespace": row["namespace"]} if row.get("namespace") else {}),
        "data": row["data"],
        "emitted_at": emitted_at if isinstance(emitted_at, int) else int(time.time() * 1000),
    }
    try:
        return dump({"type": "RECORD", "record": record})
    except RecursionError:
        raise config_error(f"The stored object '{name}' has a row that is nested too deeply to be replayed.") from None


def _local_objects(sources: list[str]) -> list[StoredObject]:
    paths: dict[Path, None] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            found = [file for file in _files(path) if is_part(file.name)]
        elif path.is_file():
            found = [path]
        else:
            found = [Path(file) for file in glob(source, recursive=True) if Path(file).is_file()]  # noqa: PTH207 (may be absolute)
        if not found:
            raise config_error(f"There is nothing to replay: no stored rows were found under '{source}'.")
        paths.update(dict.fromkeys(found))
    return [StoredObject(str(path), _opener(path)) for path in paths]


def _files(folder: Path) -> list[Path]:
    try:
        return files_under(folder)
    except OSError as error:
        raise config_error(f"The directory '{error.filename}' cannot be read ({type(error).__name__}).") from None


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def _configured_objects(settings: Settings | None, patterns: list[str]) -> list[StoredObject]:
    if settings is None:
        raise config_error(
            "The configuration keeps no rejected rows ('rejected_records' is none), so there is nothing to replay from "
            "it. Name the files with --from."
        )
    objects = open_objects(settings, NAME, SYNC_PATIENCE)
    names = [name for name in objects.names() if is_part(name) and _is_under(name, patterns)]
    return [StoredObject(name, partial(objects.read, name)) for name in names]


def _is_under(name: str, patterns: list[str]) -> bool:
    return not patterns or any(
        name == pattern or name.startswith(pattern.strip("/") + "/") or fnmatchcase(name, pattern)
        for pattern in patterns
    )
