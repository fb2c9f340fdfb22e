"""The memory as an SQLite database: locally the memory itself, for a cloud store a scratch copy of it.

One table holds all entries in the order of population, id and tag (WITHOUT ROWID). That a row was seen changes no
entry: marks are bits by slot, in chunks. WAL with `synchronous = FULL` syncs the log once a commit; a rollback journal
does it several times, and is no quicker to read.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from destination_cleverpush.errors import transient_error
from destination_cleverpush.tracking.changes import Changes, Key
from destination_cleverpush.tracking.entries import HOLDING, Entry, native_ids

FORMAT = 1
"""Of what is stored. Whoever changes it adds the way from the one before to :data:`MIGRATIONS`."""

MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {}
"""By format: how a database of this format becomes one of the next; called within a transaction."""

PAGE_BYTES = 4096
"""The file is a whole number of pages."""

_APPLICATION_ID = 0x43505472  # "CPTr", in the header of the file
_IDS_AT_ONCE = 500
_PAGE = 5_000
_CACHE_KIB = 64 * 1024

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE population (number INTEGER PRIMARY KEY, about TEXT NOT NULL);
CREATE TABLE entry (
    population INTEGER NOT NULL, id BLOB NOT NULL, tag BLOB NOT NULL,
    standing INTEGER NOT NULL, fingerprint BLOB NOT NULL, day INTEGER NOT NULL, sync INTEGER, native TEXT,
    names BLOB NOT NULL,
    slot INTEGER NOT NULL,
    PRIMARY KEY (population, id, tag)
) WITHOUT ROWID;
CREATE INDEX entry_native ON entry (native) WHERE native IS NOT NULL;
CREATE TABLE marks (
    population INTEGER NOT NULL, chunk INTEGER NOT NULL, bits BLOB NOT NULL, PRIMARY KEY (population, chunk)
) WITHOUT ROWID;
"""

_COLUMNS = "standing, fingerprint, day, sync, native, names, slot"
_HOLDING = f"({', '.join(str(int(standing)) for standing in HOLDING)})"


class Unreadable(Exception):
    """The stored memory cannot be used. `why` goes into a sentence: "... cannot be used: <why>"."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Database:
    """One memory in one file. Each method takes `lock`; whoever wants several to see the same takes it around them.

    Args:
        path: of the file; it is made where it does not exist.
        about: what the file must say of itself, such as whose channel's it is.
        durable: a commit has reached the disk when it returns.
        verify: have SQLite look through the whole file.

    Attributes:
        sound: nothing went wrong with the file so far.

    Raises:
        Unreadable: damaged, of a newer version, or of something else. The file is as it was.
    """

    def __init__(self, path: Path, about: Mapping[str, str], *, durable: bool, verify: bool = False) -> None:
        self.lock = threading.RLock()
        self.sound = True
        self._path = path
        new = not path.exists() or path.stat().st_size == 0
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            self._prepare(about, new, durable, verify)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise Unreadable("it is damaged or cut off") from error
        except Unreadable:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; what was committed is all in it then."""
        with self.lock:
            self._connection.close()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._path.stat().st_size

    # --- writing

    def apply(self, changes: Changes) -> None:
        """Carry the changes out, all or none.

        Raises:
            Failure: `transient_error`: the file could not be written.
        """
        with self.lock, self._telling():
            run = self._connection.execute
            run("BEGIN IMMEDIATE")
            try:
                for number in changes.dropped:
                    for table, column in (("population", "number"), ("entry", "population"), ("marks", "population")):
                        run(f"DELETE FROM {table} WHERE {column} = ?", (number,))  # noqa: S608
                for number in changes.cleared:
                    run("DELETE FROM marks WHERE population = ?", (number,))
                many = self._connection.executemany
                many("INSERT OR REPLACE INTO population VALUES (?, ?)", changes.about.items())
                ordered = sorted(changes.entries.items())
                many(
                    "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (_stored(key, entry) for key, entry in ordered if entry is not None),
                )
                many(
                    "DELETE FROM entry WHERE population = ? AND id = ? AND tag = ?",
                    (key for key, entry in ordered if entry is None),
                )
                many(
                    "INSERT OR REPLACE INTO marks VALUES (?, ?, ?)",
                    ((number, chunk, bits) for (number, chunk), bits in changes.marks.items()),
                )
                run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    run("ROLLBACK")
                raise

    def copy_to(self, path: Path) -> None:
        """Write a compact copy of the database to a new file."""
        with self.lock, self._telling():
            self._connection.execute("VACUUM INTO ?", (str(path),))

    # --- reading

    def populations(self) -> list[tuple[int, str]]:
        """All of them: number, and what is known of it as JSON text."""
        return self._all("SELECT number, about FROM population ORDER BY number")

    def marks(self, population: int) -> list[tuple[int, bytes]]:
        """The marks of the population's pass: number of the chunk, and its bits."""
        return self._all("SELECT chunk, bits FROM marks WHERE population = ?", population)

    def find(self, population: int, ids: Sequence[bytes]) -> list[tuple[bytes, bytes, Entry]]:
        """All entries of these members, each of whom is named once: id, tag, entry."""
        found: list[tuple[bytes, bytes, Entry]] = []
        for first in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[first : first + _IDS_AT_ONCE]
            # `id IN (...)` would sort them in a table of its own first, which takes half as long again.
            sql = f"""WITH asked (one) AS (VALUES {",".join(["(?)"] * len(some))})
                SELECT id, tag, {_COLUMNS} FROM asked CROSS JOIN entry ON population = ? AND id = one"""  # noqa: S608
            found += [(row[0], row[1], _entry(row[2:])) for row in self._all(sql, *some, population)]
        return found

    def count(self, population: int) -> dict[int, int]:
        """How many entries the population has, by standing; it reads all of them."""
        return dict(self._all("SELECT standing, count(*) FROM entry WHERE population = ? GROUP BY 1", population))

    def size_of_all(self) -> int:
        """How many entries there are."""
        return int(self._all("SELECT count(*) FROM entry")[0][0])

    def slots(self, population: int) -> Iterator[tuple[int, int]]:
        """Slot and standing of each entry, in no order that matters; nothing may be written meanwhile."""
        with self.lock, self._telling():
            yield from self._connection.execute("SELECT slot, standing FROM entry WHERE population = ?", (population,))

    def pages(self, population: int, standings: Sequence[int] | None = None) -> Iterator[list[tuple[Key, Entry]]]:
        """All entries in the order of their keys, in pages; what is written meanwhile may be seen or not."""
        wanted = "" if standings is None else f"AND standing IN ({', '.join(str(int(s)) for s in standings)})"
        sql = f"""SELECT id, tag, {_COLUMNS} FROM entry
            WHERE population = ? AND (id, tag) > (?, ?) {wanted} ORDER BY id, tag LIMIT {_PAGE}"""  # noqa: S608
        last: tuple[bytes, bytes] = (b"", b"")
        # An empty id with an empty tag would be passed over: no row has an empty id.
        while page := self._all(sql, population, *last):
            yield [((population, row[0], row[1]), _entry(row[2:])) for row in page]
            last = page[-1][:2]

    def native_held(self, natives: Collection[tuple[str, bytes]], populations: Sequence[int]) -> set[tuple[str, bytes]]:
        """Of CleverPush's ids, each with the tag that it is about, those that a member of these populations has.

        It reads all entries.
        """
        with self.lock, self._telling():
            run = self._connection.execute
            run(
                "CREATE TEMP TABLE IF NOT EXISTS asked (native TEXT, tag BLOB, PRIMARY KEY (native, tag)) WITHOUT ROWID"
            )
            run("DELETE FROM temp.asked")
            self._connection.executemany("INSERT OR IGNORE INTO temp.asked VALUES (?, ?)", natives)
            places = ",".join("?" * len(populations))
            sql = f"""SELECT native, tag FROM entry WHERE population IN ({places}) AND native IS NOT NULL
                AND standing IN {_HOLDING} AND (substr(native, 1, 1) = '[' OR (native, tag) IN temp.asked)"""  # noqa: S608
            wanted = set(natives)
            rows = run(sql, tuple(populations))
            return {(own, tag) for native, tag in rows for own in native_ids(native)} & wanted

    def ids_of(self, population: int, natives: Collection[str]) -> dict[str, bytes]:
        """The members of a population that have these of CleverPush's ids, as far as there are any."""
        columns = "SELECT native, id FROM entry WHERE population = ? AND native IS NOT NULL AND"
        found: list[tuple[str, bytes]] = []
        asked = list(natives)
        for first in range(0, len(asked), _IDS_AT_ONCE):
            some = asked[first : first + _IDS_AT_ONCE]
            found += self._all(f"{columns} native IN ({','.join('?' * len(some))})", population, *some)
        found += self._all(f"{columns} native >= '[' AND native < '\\'", population)  # lists of several
        wanted = set(natives)
        return {own: id_ for native, id_ in found for own in native_ids(native) if own in wanted}

    def _all(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self.lock, self._telling():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self.sound = False
            raise transient_error(
                "The file of change tracking could not be read or written "
                f"({getattr(error, 'sqlite_errorname', type(error).__name__)}). Make sure that its disk has room and "
                "works; Airbyte will try again later.",
                f"Change tracking, database: {type(error).__name__}",
            ) from error

    # --- opening

    def _prepare(self, about: Mapping[str, str], new: bool, durable: bool, verify: bool) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")  # first: WAL then needs no shared memory, which network volumes lack
        run(f"PRAGMA cache_size = -{_CACHE_KIB}")
        run("PRAGMA temp_store = FILE")
        if new:
            run(f"PRAGMA page_size = {PAGE_BYTES}")
            run(f"PRAGMA application_id = {_APPLICATION_ID}")
            run(f"PRAGMA journal_mode = {'WAL' if durable else 'OFF'}")
            run(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
            self._connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            return
        version = run("PRAGMA user_version").fetchone()[0]
        if run("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise Unreadable("it is damaged, or not the memory of change tracking")
        if version > FORMAT:
            raise Unreadable(f"a newer version of the connector wrote it (format {version}, this one knows {FORMAT})")
        run(f"PRAGMA journal_mode = {'WAL' if durable else 'OFF'}")
        run(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        if verify and [found for (found,) in run("PRAGMA quick_check(1)")] != ["ok"]:
            raise Unreadable("it is damaged or cut off")
        for older in range(version, FORMAT):
            run("BEGIN IMMEDIATE")
            MIGRATIONS[older](self._connection)
            run(f"PRAGMA user_version = {older + 1}")
            run("COMMIT")
        if dict(run("SELECT name, value FROM about")) != dict(about):
            raise Unreadable("it belongs to another channel, or to another name of change tracking")


def _stored(key: Key, entry: Entry) -> tuple[object, ...]:
    return (*key, int(entry[0]), *entry[1:])


_entry = Entry._make
