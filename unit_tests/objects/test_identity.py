"""Whom a row means, by what `subscription_id` is said to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from destination_cleverpush.errors import Failure
from destination_cleverpush.objects.identity import Who, mixed_ids, required_fields, shown, whom
from destination_cleverpush.objects.plan import check_mapping, plan_streams
from destination_cleverpush.objects.reasons import INVALID_SUBSCRIPTION_ID, MISSING_SUBSCRIPTION_ID
from destination_cleverpush.objects.settings import SubscriptionIdKind
from destination_cleverpush.objects.shape import IdKind
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.words import RowRejected
from unit_tests.objects.examples import mapped, settings, stream

PUT, ACT = IdKind.EXTERNAL, IdKind.NATIVE
OWN, BOTH = {"subscription_id": "u1"}, {"subscription_id": "u1", "cleverpush_id": "n1"}
NATIVE_ALONE = {"cleverpush_id": "n1"}
MISSING = MISSING_SUBSCRIPTION_ID.code


def found(
    fields: Mapping[str, Any], kind: str, call: IdKind, *, gives_both: bool = False, names_user: bool = False
) -> Who | str:
    try:
        return whom(fields, SubscriptionIdKind(kind), call, gives_both=gives_both, names_user=names_user)
    except RowRejected as rejected:
        return rejected.reason.code


@pytest.mark.parametrize(
    ("kind", "call", "alone", "both", "native_alone"),
    [
        ("by_call", PUT, Who("u1", None), Who("u1", "n1"), MISSING),
        ("by_call", ACT, Who(None, "u1", guessed=True), Who("u1", "n1"), Who(None, "n1")),
        ("external", PUT, Who("u1", None), Who("u1", "n1"), MISSING),
        ("external", ACT, Who("u1", None), Who("u1", "n1"), Who(None, "n1")),
        ("native", PUT, Who(None, "u1"), Who("u1", "n1"), Who(None, "n1")),
        ("native", ACT, Who(None, "u1"), Who("u1", "n1"), Who(None, "n1")),
    ],
)
def test_whom_a_row_means(kind: str, call: IdKind, alone: Who, both: Who, native_alone: Who | str) -> None:
    assert found(OWN, kind, call) == alone
    assert found(BOTH, kind, call, gives_both=True) == both
    assert found(NATIVE_ALONE, kind, call, gives_both=True) == native_alone
    assert found({"cleverpush_id": "null", "subscription_id": " "}, kind, call) == MISSING


def test_where_there_is_a_column_for_cleverpushs_id_the_other_one_is_the_users_also_where_it_is_empty() -> None:
    assert found(OWN, "by_call", ACT, gives_both=True) == Who("u1", None)


def test_a_user_id_of_its_own_counts_only_where_a_column_is_mapped_to_it() -> None:
    fields = {"subscription_id": "n1", "user_id": 42}
    assert found(fields, "native", PUT, names_user=True) == Who("42", "n1")
    assert found(fields, "native", PUT) == Who(None, "n1")


def test_rows_of_one_person_share_a_lane_whichever_id_their_calls_take() -> None:
    assert [Who("u1", None).lane, Who("u1", "n1").lane, Who(None, "n1").lane] == ["u1", "u1", "n1"]


def test_an_id_that_is_no_plain_value_rejects_the_row() -> None:
    with pytest.raises(RowRejected) as rejected:
        whom(
            {"cleverpush_id": ["n1"], "subscription_id": "u1"},
            SubscriptionIdKind.BY_CALL,
            ACT,
            gives_both=True,
            names_user=False,
        )
    assert rejected.value.reason == INVALID_SUBSCRIPTION_ID
    assert shown({"cleverpush_id": ["n1"]}) is None
    assert (shown(BOTH), shown(NATIVE_ALONE), shown({})) == ("u1", "n1", None)


@pytest.mark.parametrize(
    ("object_type", "mode", "kind", "enough"),
    [
        ("tags", "upsert", "by_call", True),
        ("tags", "mirror", "external", True),
        ("subscriptions", "remove", "by_call", True),
        ("subscriptions", "upsert", "native", True),
        ("subscriptions", "upsert", "by_call", False),
        ("subscriptions", "mirror", "external", False),
    ],
)
def test_where_cleverpushs_own_id_alone_is_enough(object_type: str, mode: str, kind: str, enough: bool) -> None:
    chosen = settings(
        object_type,
        audience_mode=mode,
        kind=kind,
        field_mapping=mapped(cleverpush_id="n", tags="t"),
        unmapped_fields="ignore",
    )
    assert ("subscription_id" in required_fields(chosen, OBJECTS[object_type])) is not enough
    if enough:
        check_mapping(chosen)
    else:
        with pytest.raises(Failure, match="fills no 'subscription_id'"):
            check_mapping(chosen)


@pytest.mark.parametrize(
    ("object_type", "mode", "kind", "both", "warned"),
    [
        ("subscriptions", "mirror", "by_call", False, True),
        ("subscriptions", "mirror", "by_call", True, False),
        ("subscriptions", "mirror", "external", False, False),
        ("subscriptions", "mirror", "native", False, False),
        ("subscriptions", "upsert", "by_call", False, False),
        ("subscriptions", "remove", "by_call", False, False),
        ("tags", "mirror", "by_call", False, False),
    ],
)
def test_mirror_with_one_text_for_two_kinds_of_id_is_warned_of(
    object_type: str, mode: str, kind: str, both: bool, warned: bool
) -> None:
    chosen = settings(object_type, audience_mode=mode, kind=kind)
    assert (mixed_ids(chosen, OBJECTS[object_type], gives_both=both) is not None) is warned


def test_the_warning_comes_once_in_check_and_in_write_and_names_both_ways_out() -> None:
    chosen = settings(audience_mode="mirror")
    in_check: list[str] = []
    in_write: list[str] = []
    check_mapping(chosen, lambda _level, sentence: in_check.append(sentence))
    plan_streams(chosen, [stream("a"), stream("b")], lambda _level, sentence: in_write.append(sentence))
    assert in_check == in_write
    (sentence,) = in_check
    assert "external" in sentence
    assert "cleverpush_id" in sentence
    columns: dict[str, Any] = {
        "properties": {name: {} for name in ("subscription_id", "CleverPush_ID", "_ab_cdc_deleted_at")}
    }
    told: list[str] = []
    plan_streams(chosen, [stream(schema=columns)], lambda _level, sentence: told.append(sentence))
    assert [sentence for sentence in told if sentence.startswith("Mirror")] == []
