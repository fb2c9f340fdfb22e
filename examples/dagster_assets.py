"""A Dagster asset that keeps CleverPush's subscriptions in step with a DuckDB table.

    WAREHOUSE=warehouse.duckdb CLEVERPUSH_CONFIG=config.json dagster dev -f dagster_assets.py

The table is users(subscription_id, email, plan, updated_at). The connector's last state is kept as the asset's
metadata, also after a failed run, and each run sends what changed since then. The connector's log becomes Dagster's; a
failure that only a person can mend is not retried.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import dagster as dg
import duckdb

COMMAND = os.environ.get("CLEVERPUSH_COMMAND", "destination-cleverpush")
STREAM = {
    "stream": {"name": "users", "json_schema": {}, "supported_sync_modes": ["incremental"]},
    "sync_mode": "incremental",
    "destination_sync_mode": "append_dedup",
}
LEVELS = {"FATAL": "critical", "ERROR": "error", "WARN": "warning", "INFO": "info"}


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL))
def cleverpush_subscriptions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """One sync. Raises dagster.Failure with the connector's own message."""
    cursor = _cursor(context)
    result: dict[str, Any] = {"delivered": 0, "rejected": 0, "cursor": cursor}
    with TemporaryDirectory() as folder:
        catalog = Path(folder) / "catalog.json"
        catalog.write_text(json.dumps({"streams": [STREAM]}), encoding="utf-8")
        command = [COMMAND, "write", "--config", os.environ["CLEVERPUSH_CONFIG"], "--catalog", str(catalog)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as connector:
            assert connector.stdin is not None
            assert connector.stdout is not None
            broken: list[Exception] = []
            feeder = threading.Thread(target=_feed, args=(connector.stdin, cursor, broken))
            feeder.start()
            try:
                error = _follow(context, connector.stdout, result)
            except BaseException:  # the run is cancelled, for example
                connector.terminate()
                raise
            finally:
                # As an observation, so that what was confirmed before a failure is not sent again.
                metadata = {"cursor": result["cursor"]}
                context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=metadata))
                feeder.join()
    if connector.returncode != 0:
        mendable = error.get("failure_type") == "config_error"
        raise dg.Failure(error.get("message", "The connector ended without a message."), allow_retries=not mendable)
    if broken:
        raise broken[0]
    return dg.MaterializeResult(metadata=result)


def _feed(stdin: IO[str], cursor: str, broken: list[Exception]) -> None:
    """The rows, and a state after the last row of each updated_at. The pipe breaks where the connector has failed."""
    try:
        with suppress(BrokenPipeError), stdin:
            for message in _messages(cursor):
                stdin.write(json.dumps(message) + "\n")
    except duckdb.Error as error:
        broken.append(error)


def _messages(cursor: str) -> Iterator[dict[str, Any]]:
    query = "SELECT subscription_id, email, plan, updated_at FROM users WHERE updated_at > ? ORDER BY updated_at"
    with duckdb.connect(os.environ["WAREHOUSE"], read_only=True) as warehouse:
        rows = warehouse.execute(query, [datetime.fromisoformat(cursor)])
        last: datetime | None = None
        while batch := rows.fetchmany(1000):
            for subscription_id, email, plan, updated_at in batch:
                if last is not None and updated_at != last:
                    yield _state(last)
                last = updated_at
                data = {"subscription_id": subscription_id, "email": email, "plan": plan}
                emitted_at = int(updated_at.timestamp() * 1000)
                yield {"type": "RECORD", "record": {"stream": "users", "emitted_at": emitted_at, "data": data}}
        if last is not None:
            yield _state(last)


def _state(updated_at: datetime) -> dict[str, Any]:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"updated_at": updated_at.isoformat()}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": stream}}


def _follow(context: dg.AssetExecutionContext, stdout: IO[str], result: dict[str, Any]) -> dict[str, Any]:
    """Read what the connector says until it ends; returns its error, if any."""
    error: dict[str, Any] = {}
    for line in stdout:
        message = json.loads(line)
        if message["type"] == "LOG":
            log = message["log"]
            getattr(context.log, LEVELS.get(log["level"], "debug"))(log["message"])
        elif message["type"] == "STATE":
            state = message["state"]
            result["cursor"] = state["stream"]["stream_state"]["updated_at"]
            result["delivered"] += int(state["destinationStats"]["recordCount"])
            result["rejected"] += int(state["destinationStats"]["rejectedRecordCount"])
        elif message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
            error = message["trace"]["error"]
    return error


def _cursor(context: dg.AssetExecutionContext) -> str:
    found = context.instance.fetch_observations(context.asset_key, limit=1).records
    if not found or found[0].asset_observation is None:
        return "1970-01-01T00:00:00"
    return str(found[0].asset_observation.metadata["cursor"].value)


defs = dg.Definitions(assets=[cleverpush_subscriptions])
