"""Rows of Spark at CleverPush, in local mode."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.errors import Failure
from destination_cleverpush.spark import CleverPushDataSource, write
from integration_tests.simulator.process import Simulator
from integration_tests.spark.conftest import CHANNELS, CONNECTOR, ROOT, config_of, held, send_file

PAGE = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8")


def people(spark: Any, rows: int, versions: int = 1) -> Any:
    """People with rising versions, in no order."""
    return spark.range(rows * versions).selectExpr(
        f"concat('u', id % {rows}) AS subscription_id",
        "concat('+49', id) AS phone",
        f"CAST(id DIV {rows} AS INT) AS version",
    )


def refusal(action: Callable[[], object]) -> str:
    """What an action says that fails, on one line."""
    with pytest.raises(Exception) as failed:  # noqa: PT011 - of Spark or our own
        action()
    return " ".join(str(failed.value).split())


def bare(df: Any, **options: str) -> Any:
    df.sparkSession.dataSource.register(CleverPushDataSource)
    return df.write.format("cleverpush").options(**options).mode("append")


# --- the docs


def test_the_lines_of_the_docs_run(spark: Any, simulator: Simulator, tmp_path: Path) -> None:
    lines = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    (path,) = re.findall(r'"(/[^"]+\.json)"', lines)
    mapping = [{"source": "id", "destination": "subscription_id"}]
    (tmp_path / "config.json").write_text(json.dumps(config_of(simulator, field_mapping=mapping)))
    table = people(spark, 50, versions=3).selectExpr(
        "subscription_id AS id", "phone", "version", "version AS updated_at"
    )
    table.createOrReplaceTempView("people")
    exec(lines.replace(path, str(tmp_path / "config.json")), {"spark": spark})  # noqa: S102
    found = held(simulator)
    assert set(found) == {f"u{n}" for n in range(50)}
    assert {row["customAttributes"]["version"] for row in found.values()} == {2}


# --- values


def test_values_are_those_of_json_lines(spark: Any, simulator: Simulator, tmp_path: Path) -> None:
    from pyspark.sql.types import (
        ArrayType,
        BinaryType,
        ByteType,
        DateType,
        DecimalType,
        FloatType,
        IntegerType,
        LongType,
        MapType,
        NullType,
        StringType,
        StructField,
        StructType,
        TimestampNTZType,
        TimestampType,
    )

    inner = StructType([StructField("a", DecimalType(10, 2)), StructField("b", StringType())])
    kinds = {
        "subscription_id": LongType(),
        "phone": StringType(),
        "topics": ArrayType(StringType()),
        "a_byte": ByteType(),
        "a_float": FloatType(),
        "a_decimal": DecimalType(10, 2),
        "a_whole_decimal": DecimalType(38, 0),
        "a_date": DateType(),
        "a_time": TimestampType(),
        "a_time_without_zone": TimestampNTZType(),
        "some_bytes": BinaryType(),
        "a_list": ArrayType(DecimalType(10, 2)),
        "a_struct": inner,
        "a_map": MapType(StringType(), IntegerType()),
        "deep": MapType(IntegerType(), ArrayType(StructType([StructField("x", FloatType())]))),
        "nothing": NullType(),
    }
    schema = StructType([StructField(name, kind) for name, kind in kinds.items()])
    big = Decimal(12345678901234567890123456789012345678)
    moment = datetime(2026, 7, 1, 8, 30, 0, 250_000)  # noqa: DTZ001 - in the zone of the session
    full = (
        *(2**60, "+49151", ["news", "sports"], 7, 0.1, Decimal("19.90"), big, date(2026, 11, 26), moment, moment),
        *(bytearray(b"\xff\x00"), [Decimal("1.50"), None], (Decimal("5.00"), None), {"k": 1, "n": None}),
        *({1: [(0.1,), (None,)], 2: []}, None),
    )
    empty: tuple[Any, ...] = (1, "+49152", [], *(None for _ in range(len(kinds) - 3)))
    few = (2, "+49153", *(None for _ in range(len(kinds) - 2)))
    # Cells that Python would read in its own zone come from SQL.
    df = spark.createDataFrame([full, empty, few], schema).withColumns(
        {"a_time": _sql("a_date IS NULL", "NULL", "TIMESTAMP '2026-01-01 08:30:00.250 Europe/Berlin'")}
    )
    df.coalesce(1).write.json(str(tmp_path / "rows"))
    (file,) = (tmp_path / "rows").glob("*.json")
    send_file(simulator, file.rename(tmp_path / "rows.json"))
    write(df, key="subscription_id", config=config_of(simulator))
    by_command = held(simulator, CHANNELS[1])
    assert set(by_command) == {str(2**60), "1", "2"}
    assert by_command[str(2**60)]["customAttributes"]["a_time"] == "2026-01-01T08:30:00.250+01:00"
    assert held(simulator) == by_command


def _sql(condition: str, this: str, that: str) -> Any:
    from pyspark.sql.functions import expr

    return expr(f"IF({condition}, {this}, {that})")


# --- what is refused


def test_a_bare_write_is_refused_with_advice(spark: Any, simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of(simulator)))
    path = str(tmp_path / "config.json")
    df = people(spark, 10).repartition(2, "subscription_id")
    told = refusal(bare(df, config=path).save)
    assert "Use destination_cleverpush.spark.write(df, key=..., config=..., order_by=...)" in told
    assert simulator.stats()["calls"] == 0
    bare(df, config=path, assume_partitioned="true", tasks_at_once="2", stream="people").save()
    assert len(held(simulator)) == 10
    bare(df, config=json.dumps(config_of(simulator)), assume_partitioned="true").save()
    assert simulator.stats()["most_in_flight"] <= 2


def test_what_cannot_be_right_is_refused(spark: Any, simulator: Simulator) -> None:
    config, df = config_of(simulator), people(spark, 10)
    told = refusal(bare(df, secret_config=json.dumps(config)).mode("overwrite").save)
    assert "Nothing that is absent from the rows is removed" in told
    tracked = {**config, "change_tracking": {"storage_type": "local"}}
    with pytest.raises(Failure, match="Change Tracking"):
        write(df, key="subscription_id", config=tracked)
    spark.conf.set("spark.sql.ansi.enabled", "true")
    told = refusal(lambda: write(df.selectExpr("*", "INTERVAL 1 DAY AS x"), key="subscription_id", config=config))
    assert "The column 'x' is of the type interval day" in told
    assert simulator.stats()["calls"] == 0


# --- results


def test_too_many_rejected_rows_fail_the_job_as_a_whole(spark: Any, simulator: Simulator) -> None:
    """However they are spread over the tasks."""
    df = people(spark, 100).selectExpr(
        "IF(version = 0 AND phone < '+494', '', subscription_id) AS subscription_id", "phone"
    )
    rejected = df.filter("subscription_id = ''").count()
    config = config_of(simulator, max_rejected_ratio=rejected / 100)
    write(df, key="phone", config=config)
    config["max_rejected_ratio"] -= 0.001
    told = refusal(lambda: write(df, key="phone", config=config))
    assert f"{rejected} of 100 rows were rejected, more than the highest share" in told


def test_every_row_rejected_fails_the_job(spark: Any, simulator: Simulator) -> None:
    df = people(spark, 30).selectExpr("'' AS subscription_id", "phone")
    told = refusal(lambda: write(df, key="phone", config=config_of(simulator), stream="people"))
    assert "Every row of stream 'people' was rejected (30 in all), 30 as missing_subscription_id" in told


def test_rejected_rows_are_kept_by_task_and_attempt_and_can_be_replayed(
    spark: Any, simulator: Simulator, tmp_path: Path
) -> None:
    store = {"storage_type": "local", "destination_path": str(tmp_path)}
    df = people(spark, 100).selectExpr("IF(phone < '+495', '', subscription_id) AS subscription_id", "phone")
    write(df, key="phone", config=config_of(simulator, rejected_records=store), partitions=4, stream="people")
    folders = sorted(file.parent.name for file in tmp_path.rglob("*.jsonl.gz"))
    assert [re.sub(r"spark-\d{8}T\d{6}Z-[0-9a-f]{8}", "job", name) for name in folders] == [
        f"job-task-{number}-attempt-0" for number in range(4)
    ]
    command = [CONNECTOR, "replay", "--from", str(tmp_path)]
    replayed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    phones = {json.loads(line)["record"]["data"]["phone"] for line in replayed}
    assert phones == {row["phone"] for row in df.filter("subscription_id = ''").collect()}
    assert len(replayed) == len(phones)


# --- limits


def test_the_cap_holds_for_the_whole_job(spark: Any, simulator: Simulator) -> None:
    limits = {"max_requests_per_second": 40, "max_concurrency": 5}
    simulator.set_faults(latency=0.1)
    write(people(spark, 200), key="subscription_id", config=config_of(simulator, advanced=limits), partitions=2)
    arrived = sorted(call["arrived"] for call in simulator.calls() if call["method"] == "POST")
    assert len(arrived) == 200
    # As many as the cap in any second, and what starts late may catch up by a fiftieth of a second.
    assert max(sum(start <= other < start + 1 for other in arrived) for start in arrived) <= 44
    assert simulator.stats()["most_in_flight"] <= 5


def test_a_server_with_a_rate_limit_takes_all_rows(spark: Any, simulator: Simulator) -> None:
    simulator.set_faults(rate_limit={"rate": 100, "burst": 20, "retry_after": 1})
    write(people(spark, 1_500), key="subscription_id", config=config_of(simulator), partitions=2)
    assert len(held(simulator)) == 1_500
    refused = sum(call["status"] == 429 for call in simulator.calls())
    assert 0 < refused < 150


# --- a process of its own, for what the driver prints

SCRIPT = """
import json, sys
from pyspark.sql import SparkSession
from destination_cleverpush.spark import write

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
df = spark.range(100).selectExpr("IF(id < 3, '', concat('u', id)) AS subscription_id", "concat('+49', id) AS phone")
write(df, key="phone", config=json.load(open(sys.argv[1])), stream="people")
"""


@pytest.mark.parametrize("key", ["right", "wrong-key-in-plain-sight"])
def test_the_driver_tells_what_became_of_the_rows(simulator: Simulator, tmp_path: Path, key: str) -> None:
    config = config_of(simulator)
    if key != "right":
        config["api_key"] = key
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "config.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    told = " ".join((done.stdout + done.stderr).split())
    assert config["api_key"] not in told
    if key == "right":
        assert done.returncode == 0, told
        assert "Stream 'people': 3 rows rejected as missing_subscription_id. Map a column" in told
        assert "100 rows read, 97 delivered, 3 rejected" in told
    else:
        assert "Authentication failed: invalid API key" in told
        assert "The write failed. 0 of " in told
