#!/usr/bin/env bash
# A DuckDB table to CleverPush through a plain pipe. Each run sends the rows that changed since what the last one confirmed.
#
#     WAREHOUSE=warehouse.duckdb CONFIG=config.json bash duckdb_pipe.sh
#
# Needs the commands `duckdb` and `destination-cleverpush`. The table: users(subscription_id, email, plan, updated_at).
# STATE (default state.jsonl) keeps the last confirmed state; remove the file to send every row again.
set -euo pipefail

state=${STATE:-state.jsonl}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cat > "$scratch/catalog.json" <<'JSON'
{"streams": [{"stream": {"name": "users", "json_schema": {}, "supported_sync_modes": ["incremental"]},
              "sync_mode": "incremental", "destination_sync_mode": "append_dedup"}]}
JSON

cursor=$(sed -n 's/.*"updated_at":"\([^"]*\)".*/\1/p' "$state" 2>/dev/null || true)

# One line per row, oldest first, and a state after the last row of each updated_at: rows that share one are not split.
export_rows() {
  duckdb -readonly -bail -noheader -list "$WAREHOUSE" <<SQL
SET TimeZone = 'UTC';
WITH changed AS (
  SELECT *, lead(updated_at) OVER oldest_first AS next_updated_at, row_number() OVER oldest_first AS number
  FROM users
  WHERE updated_at > TIMESTAMP '${cursor:-1970-01-01 00:00:00}'
  WINDOW oldest_first AS (ORDER BY updated_at, subscription_id)
), lines AS (
  SELECT number, 1 AS part, json_object('type', 'RECORD', 'record', json_object(
    'stream', 'users', 'emitted_at', epoch_ms(now()),
    'data', json_object('subscription_id', subscription_id, 'email', email, 'plan', plan))) AS line
  FROM changed
  UNION ALL
  SELECT number, 2, json_object('type', 'STATE', 'state', json_object('type', 'STREAM', 'stream', json_object(
    'stream_descriptor', json_object('name', 'users'),
    'stream_state', json_object('updated_at', updated_at::VARCHAR))))
  FROM changed
  WHERE next_updated_at IS DISTINCT FROM updated_at
)
SELECT line FROM lines ORDER BY number, part;
SQL
}

failed=0
export_rows | destination-cleverpush write --config "$CONFIG" --catalog "$scratch/catalog.json" |
  tee "$scratch/output" || failed=$?

# What came out before a failure is confirmed, too.
if grep '"type":"STATE"' "$scratch/output" | tail -n 1 > "$scratch/state" && [ -s "$scratch/state" ]; then
  mv "$scratch/state" "$state"
fi
exit "$failed"
