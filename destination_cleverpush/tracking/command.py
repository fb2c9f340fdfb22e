"""The console command `tracking`: show what is remembered, forget a stream, export the IDs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import date, timedelta

from destination_cleverpush.errors import config_error
from destination_cleverpush.tracking.care import StreamReport, exists, export, forget, open_place, show
from destination_cleverpush.tracking.place import NAME, Place, Spared
from destination_cleverpush.tracking.settings import Settings
from destination_cleverpush.words import StreamId


def run(args: argparse.Namespace, settings: Settings | None, channel: str) -> Iterator[str]:
    """What the command prints, line by line.

    Raises:
        Failure: `config_error`: there is no memory that can be used, or no such stream in it; else as
            :func:`.care.open_place`.
    """
    if settings is None:
        raise config_error("The configuration keeps no memory: choose a store under Change Tracking (change_tracking).")
    if args.action == "forget" and not args.stream:
        raise config_error("Say which stream is to be forgotten: --stream NAME, as `tracking show` names it.")
    if not exists(settings, channel):
        raise config_error(f"{NAME}: nothing is remembered yet for the channel {channel} under '{settings.name}'.")
    try:
        place = open_place(settings, channel, spare=True)
    except Spared as spared:
        raise config_error(
            f"{spared.why} Use the version of the connector that wrote it; or run a sync, which sets it aside, sends "
            "everything again and removes nobody for being absent."
        ) from None
    try:
        yield from _lines(args, place)
    finally:
        place.close()


def _lines(args: argparse.Namespace, place: Place) -> Iterator[str]:
    if args.action == "show":
        reports = show(place)
        yield from map(_as_json, reports) if args.json else _as_text(reports, place)
    elif args.action == "export":
        for entry in export(place):
            yield json.dumps({**entry._asdict(), "stream": str(entry.stream)}, ensure_ascii=False)
    else:
        yield from _forget(args.stream, place)


def _forget(name: str, place: Place) -> Iterator[str]:
    known: dict[str, StreamId] = {str(report.stream): report.stream for report in show(place)}
    if name not in known:
        raise config_error(
            f"{NAME} knows no stream '{name}'. It knows: {', '.join(sorted(known)) or 'none'}.",
        )
    count = forget(place, known[name])
    yield (
        f"Forgotten: stream '{name}', {count:,} entries. Nothing was removed from CleverPush; the next sync sends "
        "every row of it, and takes nobody for absent."
    )


def _as_json(report: StreamReport) -> str:
    about = report.about
    last = about.last
    return json.dumps(
        {
            "stream": str(report.stream),
            "object": about.object_name,
            "members": report.members,
            "in_doubt": report.doubtful,
            "removed": report.removed,
            "owed": report.owed,
            "set_aside": report.set_aside,
            "last_day": _day(about.day),
            "last_sync": about.sync,
            "last_pass": None
            if last is None
            else {"generation": last.generation, "sync": last.sync, "ended": last.ended, "rows": last.rows},
        },
        ensure_ascii=False,
    )


def _as_text(reports: list[StreamReport], place: Place) -> Iterator[str]:
    for report in reports:
        about, last = report.about, report.about.last
        unit = "pairs of subscription and tag" if about.object_name == "tags" else "members"
        yield f"Stream '{report.stream}', {about.object_name}"
        yield f"  {report.members:,} {unit}, {report.doubtful:,} of them in doubt: sent again when they come"
        yield f"  {report.removed:,} removed, since their rows say so"
        yield f"  {report.owed:,} still to be removed, {report.set_aside:,} set aside by a changed mapping"
        ids = "" if about.sync is None else f", sync {about.sync}"
        yield f"  last stored on {_day(about.day)}{ids}"
        if last is not None:
            whole = "read whole" if last.ended else "not read whole yet"
            ids = "" if last.generation is None else f" (generation {last.generation}, sync {last.sync})"
            yield f"  last pass{ids}: {last.rows:,} rows, {whole}"
    yield f"{place.size / 1e6:,.1f} MB stored."


def _day(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
