"""The object `change_tracking` of the form."""

from __future__ import annotations

import subprocess
import sys

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import LocalSettings
from destination_cleverpush.tracking.settings import Settings, parse

LOCAL = {"storage_type": "local", "destination_path": "/data"}


@pytest.mark.parametrize("raw", [{}, {"storage_type": "none"}, {"storage_type": "none", "name": ""}])
def test_none_is_no_tracking(raw: dict[str, object]) -> None:
    assert parse(raw, "change_tracking") is None


def test_defaults() -> None:
    expected = Settings(LocalSettings("/data"), "default", "changes", 30, "keep")
    assert parse(LOCAL, "change_tracking") == expected
    assert parse({**LOCAL, "name": "", "send": ""}, "change_tracking") == expected


def test_all_fields() -> None:
    raw = {**LOCAL, "name": " crm ", "send": "everything", "resend_after_days": 0}
    assert parse(raw, "change_tracking", null_values="clear") == Settings(
        LocalSettings("/data"), "crm", "everything", 0, "clear"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a\nSECRET"),
        ("name", "SECRET" * 100),
        ("resend_after_days", -1),
        ("resend_after_days", True),
        ("send", "SECRET"),
    ],
)
def test_what_cannot_work_names_the_field_and_not_the_value(field: str, value: object) -> None:
    with pytest.raises(Failure) as error:
        parse({**LOCAL, field: value}, "change_tracking")
    assert error.value.kind is FailureKind.CONFIG
    assert f"'change_tracking.{field}'" in error.value.message
    assert "SECRET" not in error.value.message


def test_the_settings_load_neither_sqlite_nor_obstore() -> None:
    code = "import sys, destination_cleverpush.tracking.settings; print({'sqlite3', 'obstore'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
