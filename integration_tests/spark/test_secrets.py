"""The key stands nowhere but in the configuration: not in plans, event logs, Spark's pages, and exceptions."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.spark import CleverPushDataSource, write
from integration_tests.simulator.process import Simulator
from integration_tests.spark.conftest import KEY, config_of, started_spark

PLAIN = KEY.encode()
FORMS = (PLAIN, base64.b64encode(PLAIN)[:-4], ", ".join(map(str, PLAIN)).encode(), ",".join(map(str, PLAIN)).encode())
SAFE = {"assume_partitioned": "true", "tasks_at_once": "2"}


@contextmanager
def logged(folder: Path, mode: str) -> Iterator[Any]:
    """A session that shows its plans in this mode; its event log is whole when it has ended."""
    settings = {
        "spark.ui.enabled": "true",
        "spark.ui.port": "0",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.sql.ui.explainMode": mode,
        "spark.sql.maxPlanStringLength": "10000000",
        "spark.sql.debug.maxToStringFields": "1000",
    }
    with started_spark("local[2]", **settings) as session:
        session.dataSource.register(CleverPushDataSource)
        yield session


def content(folder: Path) -> bytes:
    """All that the files of a folder hold."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def shown(spark: Any) -> bytes:
    """What Spark's pages and their data say of the application, its plans and jobs."""
    context = spark.sparkContext
    api = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}"
    queries = json.loads(_read(f"{api}/sql?details=true&planDescription=true&length=1000"))
    pages = ["/SQL/", "/environment/", "/jobs/", *(f"/SQL/execution/?id={query['id']}" for query in queries)]
    assert queries
    return b"".join([json.dumps(queries).encode(), *(_read(context.uiWebUrl + page) for page in pages)])


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:
        return bytes(response.read())


def bare(df: Any, **options: str) -> Any:
    return df.write.format("cleverpush").options(**SAFE, **options).mode("append")


def people(spark: Any) -> Any:
    return spark.range(20).selectExpr("concat('u', id) AS subscription_id", "concat('+49', id) AS phone")


def test_the_key_is_shown_nowhere(simulator: Simulator, tmp_path: Path) -> None:
    config = config_of(simulator)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "log").mkdir()
    told: list[str] = []

    def fails(action: Callable[[], object]) -> None:
        with pytest.raises(Exception) as failed:  # noqa: PT011 - of Spark or our own
            action()
        told.append(f"{failed.value!s} {failed.value!r}")

    with logged(tmp_path / "log", "extended") as spark:
        df = people(spark)
        write(df, key="subscription_id", config=config)
        write(df, key="subscription_id", config=str(tmp_path / "config.json"))
        bare(df, config=str(tmp_path / "config.json")).save()
        bare(df, secret_config=json.dumps(config)).save()
        bare(df, config=json.dumps(config)).save()
        stream = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 5).load()
        stream = stream.selectExpr("concat('u', value) AS subscription_id", "concat('+49', value) AS phone").writeStream
        options = {
            "assume_partitioned": "true",
            "tasks_at_once": "2",
            "stream": "canary",
            "secret_config": json.dumps(config),
        }
        query = (
            stream.format("cleverpush").options(**options).option("checkpointLocation", str(tmp_path / "checkpoint"))
        )
        started = query.start()
        while not started.lastProgress:
            assert started.exception() is None
            time.sleep(0.1)
        started.stop()
        told.append(json.dumps(started.lastProgress, default=str))
        # Spark also hides what names a URL: without one, only the name of the option does it.
        silent = {**config, "advanced": {}}
        fails(bare(df, secret_config=json.dumps(silent).replace("}", ",}", 1)).save)
        fails(bare(df, secret_config=json.dumps({**silent, "channel_id": 1})).save)
        fails(bare(df, secret_config=json.dumps(silent), api_key="x").save)
        fails(lambda: write(df, key="subscription_id", config={**silent, "object_type": KEY}))
        simulator.set_faults(rules=[{"kind": "status", "status": 401}])
        fails(lambda: write(df, key="subscription_id", config=config))
        told.append(shown(spark).decode())
    logs = content(tmp_path / "log")
    assert logs.count(b"secret_config=*********(redacted)") > 3
    everything = logs + "".join(told).encode()
    assert [form for form in FORMS if form in everything] == []
    assert [
        file for file in (tmp_path / "checkpoint").rglob("*") if file.is_file() and PLAIN in file.read_bytes()
    ] == []


def test_a_configuration_as_text_in_the_wrong_option_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    config = {**config_of(simulator), "advanced": {}}
    (tmp_path / "log").mkdir()
    with logged(tmp_path / "log", "formatted") as spark:
        with pytest.raises(Exception, match="which Spark may show in plans") as failed:
            bare(people(spark), config=json.dumps(config)).save()
        pages = shown(spark)
    assert PLAIN not in content(tmp_path / "log") + pages + str(failed.value).encode()
