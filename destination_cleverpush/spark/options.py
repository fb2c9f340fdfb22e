"""What the options of a write say: the configuration, and how it is shared between the tasks. Pure."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from destination_cleverpush.config import Config, load_spec, parse_config, unknown_keys
from destination_cleverpush.errors import config_error
from destination_cleverpush.words import StreamId

CONFIG = "config"
SECRET_CONFIG = "secret_config"  # noqa: S105 - a name
"""The configuration as text. Spark hides the values of options with such a name in plans, event logs and its pages."""
ASSUME_PARTITIONED = "assume_partitioned"
TASKS_AT_ONCE = "tasks_at_once"
STREAM = "stream"
_HIDDEN = re.compile("(?i)url|secret|password|token|access[.]?key")
"""Spark hides a value in which one of these stands (its defaults of `spark.redaction.regex` and
`spark.sql.redaction.options.regex`, `Utils.redact`)."""
_OWN = (CONFIG, SECRET_CONFIG, ASSUME_PARTITIONED, TASKS_AT_ONCE, STREAM)
_SPARKS = ("path", "checkpointlocation")


@dataclass(frozen=True)
class WriteOptions:
    """How a job writes.

    Attributes:
        config: for the whole job.
        stream: what the rows are called in logs and in the dead letter store.
        tasks_at_once: tasks that run at the same time, at most.
    """

    config: Config
    stream: StreamId
    tasks_at_once: int

    def share(self) -> Config:
        """What one of the tasks may take of the requests in flight and per second.

        Its rejected rows are judged with those of all others.
        """
        concurrency = self.config.max_concurrency // self.tasks_at_once
        rate = self.config.max_requests_per_second
        return replace(
            self.config,
            api=replace(self.config.api, connections=concurrency),
            max_concurrency=concurrency,
            max_requests_per_second=None if rate is None else rate / self.tasks_at_once,
            max_rejected_ratio=None,
        )


def read_options(options: Mapping[str, str], logger: logging.Logger) -> WriteOptions:
    """The options of a write, with names in lower case. Those that are not of their own are fields of the form.

    Raises:
        Failure: `config_error`: they cannot work, or are not safe. No message quotes a value.
    """
    raw = read_config(options)
    for name, value in options.items():
        if name not in (*_OWN, *_SPARKS):
            _put(raw, name, value)
    if options.get(ASSUME_PARTITIONED, "").lower() != "true":
        raise config_error(
            "All rows of one subscription must be in one partition, in their order, and a data source cannot see "
            "whether they are. Use destination_cleverpush.spark.write(df, key=..., config=..., order_by=...), which "
            f"sees to it. If they are, and spark.speculation is off, set the option {ASSUME_PARTITIONED} to true."
        )
    for sentence in unknown_keys(raw):
        logger.warning(sentence)
    config = parse_spark_config(raw)
    return WriteOptions(config, StreamId(options.get(STREAM) or "rows"), _tasks_at_once(options, config))


def read_config(options: Mapping[str, str]) -> dict[str, Any]:
    """The configuration as it was given, unchecked.

    Raises:
        Failure: `config_error`: there is none, or it would be shown in plans.
    """
    where = SECRET_CONFIG if options.get(SECRET_CONFIG) else CONFIG
    text = options.get(where)
    if not text:
        raise config_error(f"The option {CONFIG} is missing: the path of the configuration, as JSON.")
    if text.lstrip().startswith("{"):
        if where == CONFIG and not _HIDDEN.search(text):
            raise config_error(
                f"The option {CONFIG} holds the configuration itself, which Spark may show in plans and event logs, "
                f"API key and all. Name the option {SECRET_CONFIG}, whose value Spark hides; or use "
                "destination_cleverpush.spark.write; or give the path of a file. If you keep plans in their extended "
                "form (spark.sql.ui.explainMode), this one has been shown: make a new key."
            )
    else:
        try:
            text = Path(text).read_text(encoding="utf-8-sig")
        except (OSError, ValueError):
            raise config_error(
                f"The configuration file that the option {where} names cannot be read on the driver."
            ) from None
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise config_error(f"The configuration of the option {where} is not a JSON object.")
    return raw


def parse_spark_config(raw: Mapping[str, Any]) -> Config:
    """A configuration that Spark can carry out.

    Raises:
        Failure: `config_error`.
    """
    tracking = raw.get("change_tracking")
    if isinstance(tracking, Mapping) and tracking.get("storage_type", "none") != "none":
        raise config_error(
            "Change Tracking (change_tracking) is not carried out on Spark: no task knows what the others have sent. "
            "Leave it out, or write with the command."
        )
    return parse_config(raw)


def _put(raw: dict[str, Any], name: str, value: str) -> None:
    """A field of the form by its dotted name; text, or JSON where the form wants something else."""
    *path, last = name.split(".")
    schema: Mapping[str, Any] = load_spec()["connectionSpecification"]
    for part in path:
        schema = _property(schema, part)
        inner = raw.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        raw = inner
    schema = _property(schema, last)
    if schema.get("airbyte_secret"):
        raise config_error(f"The option {name} is a secret, and Spark shows options: put it into the configuration.")
    raw[last] = value
    if schema.get("type", "string") != "string":
        with suppress(ValueError):  # the form says what it must be
            raw[last] = json.loads(value)


def _property(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    options = (schema, *schema.get("oneOf", ()))
    found: Mapping[str, Any] = next((p for o in options if (p := o.get("properties", {}).get(name))), {})
    return found


def _tasks_at_once(options: Mapping[str, str], config: Config) -> int:
    """How many tasks share the job's bounds; not said: as many as can share, so that the bounds hold in any case."""
    if not options.get(TASKS_AT_ONCE):
        return config.max_concurrency
    try:
        tasks = int(options[TASKS_AT_ONCE])
    except ValueError:
        tasks = 0
    if tasks < 1:
        raise config_error(
            f"The option {TASKS_AT_ONCE} is no whole number from 1: how many tasks of this write run at "
            "the same time at most. They share the requests that may be in flight and per second."
        )
    if tasks > config.max_concurrency:
        raise config_error(
            f"{tasks} tasks at once would share {config.max_concurrency} requests in flight: each needs at least one. "
            "Write with fewer partitions, or raise Requests in Flight at Most (advanced.max_concurrency)."
        )
    return tasks
