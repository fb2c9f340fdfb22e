"""What the options of a write say, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.spark.options import WriteOptions, read_options
from unit_tests.configurations import CHANNEL, KEY, raw_config

LOGGER = logging.getLogger("airbyte.test")


def given(**options: str) -> dict[str, str]:
    return {"secret_config": json.dumps(raw_config()), "assume_partitioned": "true", "tasks_at_once": "4", **options}


def read(**options: str) -> WriteOptions:
    return read_options(given(**options), LOGGER)


def refused(**options: str) -> str:
    with pytest.raises(Failure) as failed:
        read_options({name: value for name, value in given(**options).items() if value}, LOGGER)
    assert failed.value.kind is FailureKind.CONFIG
    assert failed.value.__cause__ is None
    assert KEY not in failed.value.message
    return failed.value.message


def test_the_limits_are_shared_evenly() -> None:
    options = read(**{"advanced.max_requests_per_second": "50"})
    assert (options.config.max_concurrency, options.config.max_requests_per_second) == (32, 50)
    share = options.share()
    assert (share.max_concurrency, share.api.connections, share.max_requests_per_second) == (8, 8, 12.5)
    assert (read(tasks_at_once="32").share().max_concurrency, read().share().max_requests_per_second) == (1, None)


def test_more_tasks_than_requests_in_flight_are_refused() -> None:
    assert refused(tasks_at_once="33").startswith("33 tasks at once would share 32 requests in flight")


def test_rejected_rows_are_judged_for_the_whole_job_alone() -> None:
    options = read(max_rejected_ratio="0.1")
    assert (options.config.max_rejected_ratio, options.share().max_rejected_ratio) == (0.1, None)


@pytest.mark.parametrize("tasks", ["0", "-1", "many"])
def test_how_many_tasks_share_is_a_number(tasks: str) -> None:
    assert "The option tasks_at_once is no whole number" in refused(tasks_at_once=tasks)


def test_where_nobody_says_how_many_tasks_share_the_bounds_hold_for_as_many_as_can() -> None:
    options = {"advanced.max_concurrency": "8", "advanced.max_requests_per_second": "16"}
    share = read(tasks_at_once="", **options).share()
    assert (share.max_concurrency, share.max_requests_per_second) == (1, 2.0)


@pytest.mark.parametrize("value", ["", "false", "yes"])
def test_rows_must_be_said_to_be_partitioned(value: str) -> None:
    assert "Use destination_cleverpush.spark.write(df, key=" in refused(assume_partitioned=value)


def test_a_configuration_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(raw_config()))
    options = read_options(given(config=str(file), secret_config="", stream="people"), LOGGER)
    assert (options.config.api.channel_id, options.stream.name) == (CHANNEL, "people")


def test_text_that_spark_hides_is_taken() -> None:
    text = json.dumps(raw_config("https://api.example.com"))
    assert read_options(given(config=text, secret_config=""), LOGGER).config.api.base_url == "https://api.example.com"


def test_text_that_spark_would_show_is_refused() -> None:
    assert "which Spark may show in plans" in refused(config=json.dumps(raw_config()), secret_config="")
    assert "api_key is a secret" in refused(api_key=KEY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The option config is missing"),
        (f'{{"api_key": "{KEY}",}}', "The configuration of the option secret_config is not a JSON object."),
        (f'"api_key": "{KEY}"', "The configuration file that the option secret_config names cannot be read"),
        ("\0" + KEY, "The configuration file that the option secret_config names cannot be read"),
        ("{}", "The configuration field 'channel_id' is missing."),
    ],
)
def test_a_configuration_that_cannot_be_read_is_not_quoted(text: str, message: str) -> None:
    assert message in refused(secret_config=text)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("audience_mode", "mirror", "mirror"),
        ("tags_are_names", "true", True),
        ("advanced.max_concurrency", "64", 64),
        ("removed_values", '["gone"]', ["gone"]),
        ("rejected_records.storage_type", "none", "none"),
    ],
)
def test_other_options_are_fields_of_the_form(name: str, value: str, found: Any) -> None:
    by_option = read(**{name: value})
    raw: dict[str, Any] = {}
    for part in reversed(name.split(".")):
        raw = {part: raw or found}
    advanced = {**raw_config()["advanced"], **raw.pop("advanced", {})}
    assert by_option == read(secret_config=json.dumps({**raw_config(), **raw, "advanced": advanced}))


def test_a_field_that_breaks_the_form_is_told_as_ever() -> None:
    assert "'advanced.max_concurrency' (Requests in Flight at Most) must be of type integer" in refused(
        **{"advanced.max_concurrency": "many"}
    )


def test_unknown_options_are_told_and_those_of_spark_are_not(caplog: pytest.LogCaptureFixture) -> None:
    read(audiencemode="mirror", checkpointlocation="x", path="y")
    (told,) = [record.getMessage() for record in caplog.records]
    assert "a key 'audiencemode', which the form does not have: it is ignored" in told


def test_tracking_is_refused() -> None:
    tracked = {**raw_config(), "change_tracking": {"storage_type": "local"}}
    assert "Change Tracking (change_tracking) is not carried out on Spark" in refused(secret_config=json.dumps(tracked))
    read(secret_config=json.dumps({**tracked, "change_tracking": {"storage_type": "none"}}))
