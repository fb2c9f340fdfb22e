"""Given a date with a time in somebody's form, this is it in ISO 8601."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.objects.moments import as_iso


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("2026-11-23 08:00:00 UTC", "2026-11-23T08:00:00Z"),
        ("2026-11-23 08:00:00.123456789 utc", "2026-11-23T08:00:00.123456789Z"),
        ("2026-11-23 08:00:00Z", "2026-11-23T08:00:00Z"),
        ("2026-11-23t08:00:00z", "2026-11-23T08:00:00Z"),
        ("2026-11-23 08:00:00 GMT", "2026-11-23T08:00:00Z"),
        ("2026-11-23 08:00:00 Etc/UTC", "2026-11-23T08:00:00Z"),
        ("2026-11-23 08:00:00+02", "2026-11-23T08:00:00+02:00"),
        ("2026-11-23T08:00:00+0200", "2026-11-23T08:00:00+02:00"),
        ("2026-11-23 08:00:00.000 -0330", "2026-11-23T08:00:00.000-03:30"),
        ("2026-11-23 08:00:00,5+02:00", "2026-11-23T08:00:00.5+02:00"),
        ("2026-11-23 08:00", "2026-11-23T08:00"),
        ("2026-11-23 08:00:00 Europe/Berlin", "2026-11-23T08:00:00+01:00"),
        ("2026-07-23 08:00:00.25 EUROPE/BERLIN", "2026-07-23T08:00:00.25+02:00"),
        ("2026-07-23 08:00 America/New_York", "2026-07-23T08:00-04:00"),
        ("2026-11-23 08:00:00 CET", "2026-11-23T08:00:00+01:00"),
        ("2026-10-25 02:30:00 Europe/Berlin", "2026-10-25T02:30:00+02:00"),  # this hour occurs twice
        ("2026-11-23 08:00:00 +0100 CET", "2026-11-23T08:00:00+01:00"),  # as Go and Ruby print it
        ("2026-11-23T08:00:00+01:00[Europe/Berlin]", "2026-11-23T08:00:00+01:00"),  # as Java does
        ("2026-11-23 08:00:00 +0000 UTC", "2026-11-23T08:00:00+00:00"),
    ],
)
def test_a_time_is_sent_as_iso_8601(text: str, sent: str) -> None:
    assert as_iso(text) == sent
    assert as_iso(sent) == sent


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2026-11-23", "08:00:00"),
        *("2026-11-23 8:00:00", "2026-11-23 08:00:00 PM", "23.11.2026 08:00"),
        *("2026-11-23 08:00:00 PST", "2026-11-23 08:00:00 Mars/Base"),
        *("2026-11-23 08:00:00 UTC+2", "2026-11-23 08:00:00 ../x"),
        *("2026-13-45 08:00:00 UTC", "2026-02-30 08:00:00", "2026-11-23 25:00:00"),
        *("0000-00-00 00:00:00", "2026-11-23 08:60"),
        *("2026-11-23 08:00:00+99", "2026-11-23 08:00:00+02:75"),
        *("2026-11-23 08:00:00 UTC, or so", "1850-01-01 08:00 Europe/Berlin"),
        *("2026-11-23 08:00:00+05:53:28", "12026-11-23 08:00:00", "0044-03-15 08:00:00 BC"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_sent_as_it_came(text: str) -> None:
    assert as_iso(text) == text


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?")


@given(
    st.datetimes(),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from(["", "Z", "UTC", "+02", "-0330", "CET", "x", "/", "+2"]),
)
def test_a_text_is_a_whole_time_or_as_it_came(moment: object, blank: str, zone: str) -> None:
    text = f"{moment}{blank}{zone}"
    found = as_iso(text)
    assert found == text or _TIME.fullmatch(found)
    assert as_iso(found) == found
