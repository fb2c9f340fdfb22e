"""Dates and times in the forms in which databases, drivers and languages print them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

_UTC_NAMES = frozenset({"z", "utc", "gmt", "zulu", "uct", "etc/utc"})
_ZONE = (
    r"(?:(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?[ ]?"
    r"(?:\[?(?P<name>[A-Z][A-Z0-9_/+-]*)\]?)?"  # beside an offset it adds nothing: "+0100 CET", "+01:00[Europe/Berlin]"
)
_STAMP = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[T ]"
    rf"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?[ ]?{_ZONE}",
    re.ASCII | re.IGNORECASE,
)
_ANY_DATE = re.compile(
    r"(?:(?P<year>[+-]?\d{4,9})(?P<s>[-/.])(?P<month>\d\d?)(?P=s)(?P<day>\d\d?)"
    r"|(?P<first>\d\d?)(?P<t>[-/.])(?P<second_>\d\d?)(?P=t)(?P<last>\d{4})"
    r"|(?P<day_>\d\d?)[- ](?P<word>[A-Z]{3})[- ](?P<year_>\d{4}))"
    r"(?:(?:T|,?[ ]+)(?P<hour>\d\d?)[:.](?P<minute>\d\d)(?:[:.](?P<second>\d\d)(?:[.,]\d+)?)?[ ]?(?P<half>[AP]M)?[ ]?"
    rf"{_ZONE})?(?P<bc>[ ]BC)?",
    re.ASCII | re.IGNORECASE,
)
_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)?", re.ASCII | re.IGNORECASE)
_MAIL_DATE = re.compile(r"[A-Z]{3}, \d", re.ASCII | re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)
_FAR_AHEAD = datetime.max.replace(tzinfo=timezone.utc)

_NO_DELETION_BEFORE = datetime(1970, 1, 2, tzinfo=timezone.utc)
_PLAIN_FROM = datetime(2001, 1, 2, tzinfo=timezone.utc)
_AHEAD = timedelta(days=1)
_EPOCH_FROM = datetime(2000, 1, 1, tzinfo=timezone.utc).timestamp()
_EPOCH_TO = 253_402_387_200  # seconds: a day after the year 9999
_EPOCH_ZERO_DATE = datetime(1900, 1, 1, tzinfo=timezone.utc).timestamp()
_DATE_KEYS_FROM, _DATE_KEYS_TO = 10_000_000, 99_999_999
_LONG_KEY = re.compile(r"((?:19|20|21)\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(\d\d)?", re.ASCII)


def as_iso(text: str) -> str:
    """A date with a time as ISO 8601; what cannot be read as one is returned as it came.

    Between date and time stands a `T`, an offset has its colon, UTC by any of its names is `Z`. A zone that has a name
    is replaced by its offset at that time, from the zone data of the standard library (of an hour that occurs twice,
    the first); without such data, or for names that it lacks, the text stays as it came.
    """
    found = _STAMP.fullmatch(text)
    if found is None:
        return text
    year, month, day, hour, minute, second, fraction, sign, hours, minutes, name = found.groups()
    try:
        moment = datetime(*map(int, (year, month, day, hour, minute, second or 0)))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return text
    if sign:
        if int(hours) > 23 or int(minutes or 0) > 59:
            return text
        zone = f"{sign}{hours}:{minutes or '00'}"
    elif not name:
        zone = ""
    elif name.lower() in _UTC_NAMES:
        zone = "Z"
    elif (known := _zone(name)) is None:
        return text
    else:
        zone = moment.replace(tzinfo=known).isoformat()[19:]
        if len(zone) > 6:  # an offset with seconds, of times before zones were agreed on
            return text
    seconds = f":{second}" if second else ""
    return f"{year}-{month}-{day}T{hour}:{minute}{seconds}{'.' + fraction if fraction else ''}{zone}"


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


def _zone(name: str) -> ZoneInfo | None:
    """A zone of this name in any case, None where there is none."""
    found = _zones().get(name.lower())
    return ZoneInfo(found) if found else None


def moments(text: str) -> list[datetime]:
    """The moments that a text can mean, aware; none where it is no date. Without a zone it is taken for UTC.

    A date such as 1/2/2026 can mean two. Years before the first are the first moment, those after 9999 the last.
    """
    if _MAIL_DATE.match(text):
        try:
            return [_aware(parsedate_to_datetime(text))]
        except (ValueError, TypeError):
            return []
    found = _ANY_DATE.fullmatch(_BASIC.sub(lambda m: f"{m[1]}-{m[2]}-{m[3]}T{m[4]}:{m[5]}:{m[6] or '00'}", text, 1))
    return [] if found is None else list(_read(found))


def _read(found: re.Match[str]) -> Iterator[datetime]:
    part = found.groupdict()
    for year, month, day in _days(part):
        if part["bc"] or year < 1:
            yield _LONG_AGO
        elif year > 9999:
            yield _FAR_AHEAD
        else:
            hour = int(part["hour"] or 0)
            if half := part["half"]:
                hour = hour % 12 + (12 if half.lower() == "pm" else 0)
            try:
                moment = datetime(year, month, day, hour, int(part["minute"] or 0), min(int(part["second"] or 0), 59))  # noqa: DTZ001
                yield _aware(moment, part)
            except ValueError:
                continue


def _days(part: dict[str, str | None]) -> Iterator[tuple[int, int, int]]:
    if part["year"]:
        yield int(part["year"]), int(part["month"] or 0), int(part["day"] or 0)
    elif part["word"]:
        if (word := part["word"].lower()) in _MONTHS:
            yield int(part["year_"] or 0), _MONTHS.index(word) + 1, int(part["day_"] or 0)
    else:
        year, first, second = (int(part[name] or 0) for name in ("last", "first", "second_"))
        if year == 0:
            yield 0, 0, 0
            return
        yield year, second, first
        if part["t"] != ".":
            yield year, first, second


def _aware(moment: datetime, part: dict[str, str | None] | None = None) -> datetime:
    if moment.tzinfo is not None:
        return moment
    zone: timezone | ZoneInfo = timezone.utc
    if part and part["sign"]:
        offset = timedelta(hours=int(part["hours"] or 0), minutes=int(part["minutes"] or 0))
        zone = timezone(-offset if part["sign"] == "-" else offset)
    elif part and part["name"]:
        zone = _zone(part["name"]) or zone
    try:
        return moment.replace(tzinfo=zone).astimezone(timezone.utc)
    except OverflowError:
        return _FAR_AHEAD if moment.year > 1 else _LONG_AGO


def epoch(number: float) -> datetime | None:
    """The moment of epoch seconds or milliseconds, None for a number that plainly is neither.

    They are taken for such from the year 2000 to 9999, and up to 1900, as zero dates are written. Date keys (20260131)
    are moments only where they lie far ahead (99991231).
    """
    if _DATE_KEYS_FROM <= number <= _DATE_KEYS_TO and number == int(number):
        year, rest = divmod(int(number), 10_000)
        return _FAR_AHEAD if year >= 2900 and 1 <= rest // 100 <= 12 and 1 <= rest % 100 <= 31 else None
    for seconds in (number, number / 1000):
        if seconds <= _EPOCH_ZERO_DATE:
            return _LONG_AGO
        if _EPOCH_FROM <= seconds <= _EPOCH_TO:
            try:
                return datetime.fromtimestamp(seconds, timezone.utc)
            except (ValueError, OverflowError):
                return _FAR_AHEAD
    return None


def is_date_key(number: float) -> bool:
    """Whether a number reads as a date and an hour, perhaps with minutes and seconds, without signs between them."""
    found = _LONG_KEY.fullmatch(f"{number:.0f}") if number == int(number) else None
    try:
        return found is not None and datetime(*map(int, found.groups("0"))) is not None  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return False


def is_past(moment: datetime, now: datetime) -> bool | None:
    """Whether something was removed at that moment, None where that is not plain.

    Not before 1970-01-02: so are zero dates written, `0000-00-00` of MySQL and what connectors make of it (years -1 to
    2, and 1970-01-01, as Debezium has it), 1753, 1899 and 1900 of other databases and spreadsheets. Not more than a
    day ahead, which leaves room for zones and clocks: 9999-12-31 of slowly changing dimensions, and what is planned.
    From then to 2001-01-01 it is not plain: some software counts from 1980, 2000 or 2001 and so writes its zero, and
    a time in milliseconds that was read as seconds lies in 1970.
    """
    moment = _aware(moment)
    if moment < _NO_DELETION_BEFORE or moment > now + _AHEAD:
        return False
    return True if moment >= _PLAIN_FROM else None
