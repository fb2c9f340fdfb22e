"""Given a name and the columns that there are, this is the column that is meant."""

from __future__ import annotations

import pytest

from destination_cleverpush.objects.columns import Columns, Place, lacking


@pytest.mark.parametrize(
    ("name", "columns", "found"),
    [
        ("Email", ["Email", "email", "Email "], "Email"),
        ("Email", ["Email ", "EMAIL"], "Email "),
        ("Email ", ["Email", "email"], "Email"),
        ("email", ["EMAIL"], "EMAIL"),
        (" email", ["E-Mail", "Email "], "Email "),
        ("straße", ["STRASSE"], "STRASSE"),
        ("id", ["\ufeffid"], "\ufeffid"),  # the byte order mark of a CSV file
        ("email", ["EMAIL", "Email"], None),
        ("email", ["email ", " email"], None),
        ("email", ["mail"], None),
        ("email", [], None),
    ],
)
def test_exactly_else_without_blanks_else_without_case_where_one_alone_fits(
    name: str, columns: list[str], found: str | None
) -> None:
    assert Columns(columns).find(name) == found


@pytest.mark.parametrize(
    ("name", "columns", "place"),
    [
        ("a.b", ["a.b", "a"], Place("a.b")),
        ("a.b", ["a", "A.B"], Place("a", ("b",))),
        ("a.b.c", ["A", "A.B.C"], Place("A.B.C")),
        ("a.b.c", ["A"], Place("A", ("b", "c"))),
        ("a.b", ["b"], None),
    ],
)
def test_a_column_with_dots_goes_before_a_path_and_what_is_exact_before_what_is_not(
    name: str, columns: list[str], place: Place | None
) -> None:
    assert Columns(columns).place(name) == place


def test_columns_that_come_later_count_too() -> None:
    columns = Columns(["EMAIL"])
    assert not columns.add(["EMAIL"])
    assert columns.add(["EMAIL", "email"])
    assert columns.find("email") == "email"
    assert columns.find("Email") is None


def test_so_many_columns_are_remembered_and_beyond_them_those_that_are_looked_for() -> None:
    columns = Columns([], ["email", "profile.city"])
    assert columns.add(map(str, range(20_000)))
    assert not columns.add(["further"])
    assert columns.add(["EMAIL", "Profile"])
    assert len(columns.names) == 10_002
    assert columns.find("email") == "EMAIL"
    assert columns.place("profile.city") == Place("Profile", ("city",))


def test_the_nearest_columns() -> None:
    columns = Columns(["USER_ID", "email", "uid", "zip"])
    assert columns.nearest("user_uid") == ["USER_ID", "uid"]
    assert columns.nearest("E-Mail.work") == ["email"]
    assert columns.nearest("???") == ["USER_ID", "email", "uid"]


def test_what_a_nested_schema_lacks() -> None:
    schema = {"properties": {"home": {"properties": {"city": {}}}, "any": {}, "odd": True}}
    assert lacking(schema, ["home", "city"]) is None
    assert lacking(schema, ["home", "ctiy"]) == ("ctiy", ["city"])
    assert lacking(schema, ["any", "thing"]) is None
    assert lacking(schema, ["odd", "thing"]) is None
    assert lacking({}, ["thing"]) is None
