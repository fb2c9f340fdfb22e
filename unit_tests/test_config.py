"""Given what the user fills in, this is the configuration, or the sentence that says what to mend."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from destination_cleverpush.api.settings import Settings as ApiSettings
from destination_cleverpush.config import load_spec, parse_config, unknown_keys
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.objects.settings import AudienceMode, FieldMapping, SubscriptionIdKind
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.storage.settings import LocalSettings
from unit_tests.configurations import CHANNEL, KEY, make_config, mapped, raw_config
from unit_tests.strategies import JSON_VALUES

LEAST = {"channel_id": CHANNEL, "api_key": KEY, "object_type": "subscriptions"}
SCHEMA = load_spec()["connectionSpecification"]


def complaint(raw: dict[str, Any]) -> str:
    """The message for a configuration that cannot work."""
    with pytest.raises(Failure) as failed:
        parse_config(raw)
    assert failed.value.kind is FailureKind.CONFIG
    assert KEY not in repr(failed.value)
    return failed.value.message


# --- what is filled in


def test_the_spec_is_a_schema_and_its_defaults_fit_it() -> None:
    Draft7Validator.check_schema(SCHEMA)
    for prop in [*SCHEMA["properties"].values(), *SCHEMA["properties"]["advanced"]["properties"].values()]:
        if "default" in prop:
            Draft7Validator(prop).validate(prop["default"])


def test_the_form_shows_few_fields_until_something_is_opened() -> None:
    """Airbyte's form (airbyte-platform, `useGroupsAndSections`) folds what is optional, but for choices of `oneOf`."""
    shown = {
        name
        for name, prop in SCHEMA["properties"].items()
        if name in SCHEMA["required"] or prop.get("always_show") or "oneOf" in prop
    }
    assert shown == {"channel_id", "api_key", "object_type", "audience_mode", "change_tracking", "rejected_records"}
    groups = [prop["group"] for prop in SCHEMA["properties"].values()]
    assert [*dict.fromkeys(groups)] == [group["id"] for group in SCHEMA["groups"]]


@pytest.mark.parametrize(
    "properties",
    [
        SCHEMA["properties"],
        SCHEMA["properties"]["advanced"]["properties"],
        *(option["properties"] for option in SCHEMA["properties"]["rejected_records"]["oneOf"]),
        *(option["properties"] for option in SCHEMA["properties"]["change_tracking"]["oneOf"]),
    ],
)
def test_the_form_names_its_fields_in_the_order_in_which_it_shows_them(properties: dict[str, Any]) -> None:
    assert [prop["order"] for prop in properties.values()] == list(range(len(properties)))


def test_descriptions_are_short() -> None:
    """They stand in a small box beside the field; the page says the rest."""
    long = [name for name, prop in SCHEMA["properties"].items() if len(prop["description"]) > 280]
    assert long == []


def test_the_objects_of_the_table_are_the_choices_of_the_form() -> None:
    choice = SCHEMA["properties"]["object_type"]
    assert dict(zip(choice["enum"], choice["enumNames"], strict=True)) == {
        name: found.title for name, found in OBJECTS.items()
    }


def test_what_is_left_out_has_the_defaults_of_the_form() -> None:
    config = parse_config(LEAST)
    assert config.objects.object_type == "subscriptions"
    assert config.objects.audience_mode is AudienceMode.UPSERT
    assert config.objects.removed_field == "_ab_cdc_deleted_at"
    assert config.objects.field_mapping == ()
    assert config.objects.unmapped_fields == "known"
    assert config.objects.email_opt_in_form_id is None
    assert config.api == ApiSettings(
        base_url="https://api.cleverpush.com",
        channel_id=CHANNEL,
        api_key=KEY,
        request_timeout_seconds=30,
        connections=32,
        endpoints={"tag_endpoints": "auto", "sync_endpoint": "auto"},
    )
    assert config.rejected_records is None
    assert config.on_rejected == "continue"
    assert config.max_rejected_ratio is None
    assert config.max_concurrency == 32
    assert config.max_requests_per_second is None
    assert config.progress_interval_seconds > 0


def test_what_is_filled_in_is_taken() -> None:
    config = parse_config(
        {
            **LEAST,
            "object_type": "tags",
            "audience_mode": "mirror",
            "removed_field": "gone",
            "field_mapping": mapped(subscription_id="id"),
            "unmapped_fields": "ignore",
            "email_opt_in_form_id": "form1",
            "rejected_records": {"storage_type": "local", "destination_path": "/rejected"},
            "on_rejected": "fail",
            "max_rejected_ratio": 0.05,
            "advanced": {
                "base_url": "http://localhost:8080/api/",
                "max_concurrency": 4.0,
                "max_requests_per_second": 2.5,
                "request_timeout_seconds": 7,
                "progress_interval_seconds": 0,
                "tag_endpoints": "tag_untag",
            },
        }
    )
    assert config.objects.object_type == "tags"
    assert config.objects.audience_mode is AudienceMode.MIRROR
    assert config.objects.removed_field == "gone"
    assert config.objects.field_mapping == (FieldMapping("id", "subscription_id"),)
    assert config.objects.unmapped_fields == "ignore"
    assert config.objects.email_opt_in_form_id == "form1"
    assert config.api.base_url == "http://localhost:8080/api"
    assert config.api.endpoints["tag_endpoints"] == "tag_untag"
    assert config.api.request_timeout_seconds == 7
    assert config.api.connections == 4
    assert config.rejected_records == LocalSettings("/rejected")
    assert config.on_rejected == "fail"
    assert config.max_rejected_ratio == 0.05
    assert config.max_concurrency == 4
    assert isinstance(config.max_concurrency, int)
    assert config.max_requests_per_second == 2.5
    assert config.progress_interval_seconds == 0


def test_blanks_around_pasted_values_are_dropped_and_null_means_left_out() -> None:
    config = parse_config(
        {**LEAST, "api_key": f" {KEY}\n", "channel_id": f"{CHANNEL} ", "audience_mode": None, "advanced": None,
         "email_opt_in_form_id": " "}
    )  # fmt: skip
    assert config.api.api_key == KEY
    assert config.api.channel_id == CHANNEL
    assert config.objects.audience_mode is AudienceMode.UPSERT
    assert config.max_concurrency == 32
    assert config.objects.email_opt_in_form_id is None


def test_optional_fields_that_were_emptied_in_the_form_are_not_set() -> None:
    emptied = {"removed_field": "", "max_removal_ratio": "", "max_rejected_ratio": "", "removed_values": []}
    advanced = {"max_requests_per_second": "", "base_url": "", "max_concurrency": ""}
    config = parse_config({**LEAST, **emptied, "advanced": advanced})
    assert config == parse_config(LEAST)
    assert config.objects.max_removal_ratio == 0.5
    assert config.objects.removed_values is None


def test_what_removes_is_taken_from_the_form() -> None:
    objects = parse_config({**LEAST, "max_removal_ratio": 1, "removed_values": ["gone", "2"]}).objects
    assert (objects.max_removal_ratio, objects.removed_values) == (1.0, ("gone", "2"))


def test_fields_of_a_newer_form_are_passed_over() -> None:
    assert parse_config({**LEAST, "from_the_future": [1]}).api.channel_id == CHANNEL


def test_a_configuration_is_frozen_and_never_shows_the_key() -> None:
    config = make_config()
    assert KEY not in f"{config!r} {config!s}"
    with pytest.raises(FrozenInstanceError):
        config.api.api_key = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "url",
    ["https://api.cleverpush.com", "https://proxy.example:8443/cleverpush/v1", "http://localhost:8080",
     "http://127.0.0.1:5000", "http://[::1]:5000", "https://127.0.0.1:65535"],
)  # fmt: skip
def test_addresses_that_may_be_called(url: str) -> None:
    assert make_config(url).api.base_url == url


# --- what cannot work


@pytest.mark.parametrize(
    "url",
    ["http://api.cleverpush.com", "ftp://api.cleverpush.com", "api.cleverpush.com", "https://", "https://user:pw@host",
     "http://localhost.evil.example", "http://127.0.0.1.evil.example", "https://host/?q=1", "https://host/#a",
     "https://host name", "https://host:port"],
)  # fmt: skip
def test_addresses_that_would_send_the_key_in_the_clear_or_nowhere(url: str) -> None:
    assert complaint(raw_config(url)) == (
        "The configuration field 'advanced.base_url' (API Address) must be https://host, or http://localhost:port."
    )


@pytest.mark.parametrize("field", ["channel_id", "api_key", "object_type"])
@pytest.mark.parametrize("missing", [{}, {"value": None}])
def test_a_required_field_that_is_missing_is_named(field: str, missing: dict[str, Any]) -> None:
    raw = {name: value for name, value in LEAST.items() if name != field} | dict.fromkeys(
        [field] if missing else [], missing.get("value")
    )
    assert complaint(raw) == f"The configuration field '{field}' is missing."


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channel_id": "a b"}, "'channel_id' (Channel ID) must be the ID as CleverPush shows it: letters and"),
        ({"channel_id": ""}, "'channel_id' (Channel ID) must be the ID as CleverPush shows it"),
        ({"channel_id": 5}, "'channel_id' (Channel ID) must be of type string."),
        ({"api_key": ""}, "'api_key' (Private API Key) must be the key as CleverPush shows it"),
        ({"object_type": "users"}, "'object_type' (Object Type) must be one of: subscriptions, tags."),
        ({"audience_mode": True}, "'audience_mode' (Audience Sync Mode) must be"),
        ({"field_mapping": {}}, "'field_mapping' (Field Mapping) must be of type array."),
        ({"field_mapping": [None]}, "'field_mapping.0' (Mapping) must be of type object."),
        ({"field_mapping": [{"source": "a"}]}, "'field_mapping.0.destination' is missing."),
        ({"field_mapping": [{"source": "", "destination": "a"}]}, "'field_mapping.0.source' (Source Column) must"),
        ({"max_rejected_ratio": 5}, "'max_rejected_ratio' (Highest Share of Rejected Rows) must be at most 1."),
        ({"max_rejected_ratio": -1}, "'max_rejected_ratio' (Highest Share of Rejected Rows) must be at least 0."),
        ({"max_rejected_ratio": float("nan")}, "(Highest Share of Rejected Rows) must be of type number."),
        ({"advanced": []}, "'advanced' (Advanced) must be of type object."),
    ],
)  # fmt: skip
def test_a_value_that_the_form_forbids_is_named_by_its_field(fields: dict[str, Any], message: str) -> None:
    assert message in complaint({**LEAST, **fields})


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("max_concurrency", 0, "(Requests in Flight at Most) must be at least"),
        ("max_concurrency", 257, "(Requests in Flight at Most) must be at most 256."),
        ("max_concurrency", 1.5, "(Requests in Flight at Most) must be of type integer."),
        ("max_concurrency", True, "(Requests in Flight at Most) must be of type integer."),
        ("max_requests_per_second", 0, "(Requests per Second at Most) must be at least 0.01."),
        ("max_requests_per_second", float("inf"), "(Requests per Second at Most) must be of type number"),
        ("request_timeout_seconds", 0, "(Request Time-out (Seconds)) must be more than 0."),
        ("request_timeout_seconds", float("nan"), "(Request Time-out (Seconds)) must be of type number."),
        ("progress_interval_seconds", float("inf"), "(Progress Interval (Seconds)) must be"),
        ("progress_interval_seconds", 1e300, "(Progress Interval (Seconds)) must be at most"),
    ],
)
def test_an_advanced_setting_that_the_form_forbids(setting: str, value: Any, message: str) -> None:
    assert message in complaint({**LEAST, "advanced": {setting: value}})


@pytest.mark.parametrize(
    "url",
    [*("https://host:99999", "https://host:0", "https://a..b", "https://."), f"https://{'a' * 64}.example"],
)
def test_an_address_that_cannot_exist(url: str) -> None:
    assert complaint(raw_config(url)) == (
        "The configuration field 'advanced.base_url' (API Address) names a host or a port that cannot exist."
    )


@pytest.mark.parametrize("raw", [[], "text", 5])
def test_a_configuration_that_is_no_object(raw: Any) -> None:
    assert complaint(raw) == "The configuration is not a JSON object."


def test_missing_fields_are_told_before_wrong_ones() -> None:
    assert complaint({"channel_id": 5}) == "The configuration field 'api_key' is missing."


def test_two_columns_for_one_field() -> None:
    mapping = [{"source": "a", "destination": "email"}, {"source": "b", "destination": " email"}]
    assert complaint({**LEAST, "field_mapping": mapping}) == (
        "The configuration field 'field_mapping.1.destination' names the same CleverPush field as "
        "'field_mapping.0.destination'. Map one column to each field."
    )


def test_a_user_id_of_its_own_is_allowed_where_the_subscription_id_is_cleverpushs() -> None:
    config = parse_config({**LEAST, "field_mapping": mapped(user_id="id"), "subscription_id_kind": "native"})
    assert config.objects.subscription_id_kind is SubscriptionIdKind.NATIVE
    assert parse_config(LEAST).objects.subscription_id_kind is SubscriptionIdKind.BY_CALL


def test_user_id_is_filled_by_subscription_id() -> None:
    assert "Map the column to 'subscription_id' instead" in complaint({**LEAST, "field_mapping": mapped(user_id="id")})


def test_a_configuration_nested_beyond_all_limits() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested" in complaint({**LEAST, "odd": deep})


# --- secrets


@pytest.mark.parametrize(
    "key", [f"{KEY} {KEY}", f"{KEY}\n{KEY}", f"{KEY}\u00e4", f"\u201c{KEY}\u201d", [KEY], {"key": KEY}]
)
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(key: Any) -> None:
    assert complaint({**LEAST, "api_key": key}).startswith(
        "The configuration field 'api_key' (Private API Key) must be "
    )


def _spread(value: Any) -> list[dict[str, Any]]:
    """A configuration for each field that can hold a value: with this one in it."""
    top = [{**LEAST, name: value} for name in SCHEMA["properties"]]
    nested = [{**LEAST, "advanced": {name: value}} for name in SCHEMA["properties"]["advanced"]["properties"]]
    mappings = [
        {**LEAST, "field_mapping": [{"source": value, "destination": value}] * 2},
        {**LEAST, "field_mapping": value},
        {**LEAST, "field_mapping": [value]},
    ]
    return [*top, *nested, *mappings]


@pytest.mark.parametrize("value", [KEY, f"{KEY} {KEY}", [KEY], {KEY: KEY}])
def test_a_key_in_a_wrong_field_is_never_shown(value: Any) -> None:
    for raw in _spread(value):
        try:
            config = parse_config(raw)
        except Failure as error:
            said = f"{error.message}{error.internal}{error!r}{error.__cause__!r}"
        else:
            said = "" if config.api.api_key == KEY and raw["api_key"] == KEY else repr(config)
        assert KEY not in said


# --- whatever is filled in


@given(
    st.dictionaries(st.sampled_from([*SCHEMA["properties"], "odd"]), JSON_VALUES, max_size=4),
    st.dictionaries(st.sampled_from([*SCHEMA["properties"]["advanced"]["properties"]]), JSON_VALUES, max_size=3),
)
def test_a_configuration_is_taken_or_refused_in_a_sentence(fields: dict[str, Any], advanced: dict[str, Any]) -> None:
    raw = {**LEAST, "advanced": advanced, **fields}
    try:
        config = parse_config(raw)
    except Failure as error:
        _judge(error)
    else:
        assert parse_config(raw) == config


def _judge(error: Failure) -> None:
    assert error.kind is FailureKind.CONFIG
    assert error.message.startswith("The configuration ")
    assert error.message.endswith(".")


def test_keys_that_the_form_does_not_have_are_named_with_the_nearest_that_it_has() -> None:
    raw = raw_config(audience_mod="mirror", zzz=1, rejected_records={"storage_type": "s3", "s3_bucket": "b"})
    raw["advanced"]["max_concurency"] = 3
    raw["field_mapping"] = [{"source": "a", "destination": "email", "sorce": "b"}]
    ignored = "which the form does not have: it is ignored."
    assert unknown_keys(raw) == [
        f"The configuration has a key 'advanced.max_concurency', {ignored} Did you mean 'advanced.max_concurrency'?",
        f"The configuration has a key 'audience_mod', {ignored} Did you mean 'audience_mode'?",
        f"The configuration has a key 'zzz', {ignored}",
        (
            f"The configuration has a key 'rejected_records.s3_bucket', {ignored} Did you mean "
            "'rejected_records.s3_bucket_name'?"
        ),
        f"The configuration has a key 'field_mapping.0.sorce', {ignored} Did you mean 'field_mapping.0.source'?",
    ]
    assert unknown_keys(raw_config()) == []
