"""What the comparison with peers counts, keeps and chooses; how fast anybody is, is not tested."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tools.bench import work
from tools.bench.target import Behaviour, Request
from tools.peers import meter
from tools.peers.__main__ import RESULTS
from tools.peers.contenders import ALL, drt_template
from tools.peers.parts import CHANGED, PARTS, SIZES, UNTRACKED, Case
from tools.peers.results import Part, Run, Spread, fill, merge, ratios, read, tally, timeline
from tools.peers.tables import BEGIN, FINISH, cpu, put_into, tables

ORDER = list(PARTS)


def request(row: int, *, at: float = 0.0, seconds: float = 0.05, status: int = 200) -> Request:
    return Request(1000 + at, 1000 + at + seconds, status, 400, row)


def a_run(contender: str, rate: float = 100.0, number: int = 0, **other: object) -> Run:
    run = Run(contender, "", number, 100, rate, 100, 0, 0, 0, 0, 1, 0, 2.0, 1.5, 50_000_000)
    return replace(run, **other)  # type: ignore[arg-type]


def a_part(*runs: Run, date: str = "2026-11-26") -> Part:
    return Part(date, "2 x a processor", 0.1, {"dlt": "1.31.0"}, list(runs))


def test_each_row_once_is_nothing_missing_and_nothing_repeated() -> None:
    counted = tally([request(1), request(2, at=0.95), request(0, at=0.5, status=429)], 2)
    assert counted == (2.0, 2, 1, 0, 0, 0)


def test_a_row_that_failed_and_was_taken_then_is_neither_missing_nor_repeated() -> None:
    counted = tally([request(1, status=503), request(1)], 1)
    assert (counted.failed, counted.missing, counted.repeated) == (1, 0, 0)


def test_missing_and_repeated_rows_are_counted_apart() -> None:
    counted = tally([request(1), request(1), request(1), request(3, status=503)], 3)
    assert (counted.missing, counted.repeated) == (2, 2)


def test_who_has_no_rows_repeats_none() -> None:
    counted = tally([request(1), request(1)], 0)
    assert (counted.taken, counted.missing, counted.repeated) == (2, 0, 0)


def test_a_run_without_a_request_counts_as_nothing() -> None:
    assert tally([], 3) == (0.0, 0, 0, 0, 3, 0)


def test_a_timeline_counts_answers_by_half_seconds() -> None:
    notes = [request(1), request(2, at=0.1, status=429), request(2, at=1.2), request(3, at=0.2, status=503)]
    assert timeline(notes) == [[1, 1], [0, 0], [1, 0]]


def test_ratios_are_taken_within_a_round() -> None:
    part = a_part(a_run("ours", 100), a_run("dlt", 50), a_run("ours", 30, 1), a_run("dlt", 10, 1), a_run("ours", 5, 2))
    assert ratios(part, "ours", "dlt") == Spread(2.5, 2.0, 3.0)
    assert ratios(part, "dlt", "drt") is None


def test_a_run_that_lost_rows_gives_no_ratio() -> None:
    assert ratios(a_part(a_run("ours"), a_run("plain", missing=99)), "ours", "plain") is None


@pytest.mark.parametrize(
    ("needs", "budget", "given"),
    [
        ([10, 500, 500], 110, [10, 50, 50]),
        ([500, 10], 20, [10, 10]),
        ([1, 2], 100, [1, 2]),
        ([], 5, []),
    ],
)
def test_a_budget_is_shared_and_what_one_leaves_goes_to_others(
    needs: list[float], budget: float, given: list[float]
) -> None:
    assert fill(needs, budget) == given


def test_the_slow_get_fewer_rows_in_the_same_time() -> None:
    behaviour = Behaviour(latency=0.2)
    slow, fast = Case("plain", behaviour), Case("ours-64", behaviour)
    assert slow.rows_in(21) < 120
    assert fast.rows_in(21) > 5_000
    assert fast.rows_in(10_000) == 10_000
    assert slow.rows_in(0) == 50


def test_a_limit_at_the_server_bounds_the_guess() -> None:
    assert Case("ours", Behaviour(rate=200)).guess == 200


def test_a_part_takes_the_place_of_its_older_one_and_of_no_other(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    assert read(file) == {}
    older, newer, other = a_part(a_run("ours")), a_part(a_run("dlt"), date="2026-11-27"), a_part(a_run("drt"))
    merge(file, "20ms", older, ORDER)
    merge(file, "0ms", other, ORDER)
    merge(file, "20ms", newer, ORDER)
    assert list(read(file).items()) == [("0ms", other), ("20ms", newer)]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_run_is_one_line_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    merge(file, "0ms", a_part(a_run("ours"), a_run("dlt", timeline=[[1, 2]])), ORDER)
    assert len([line for line in file.read_text().splitlines() if '"contender"' in line]) == 2


def test_cpu_is_told_without_the_start() -> None:
    runs = [a_run("ours", rows=1_000, cpu_seconds=3.0), a_run("ours", rows=11_000, cpu_seconds=13.0)]
    assert cpu(runs) == (100.0, 2.0)
    assert cpu(runs[:1]) is None


def test_tables_hold_all_parts_ratios_first() -> None:
    parts = {
        "50ms": a_part(a_run("ours", 300), a_run("dlt", 200)),
        "limit": a_part(a_run("ours", 190, refused=1)),
        "failures": a_part(a_run("plain", missing=40, exit_code=1), a_run("drt", missing=3), a_run("ours")),
        "refresh": a_part(a_run("ours", case=CHANGED, taken=1), a_run("dlt", case=UNTRACKED)),
        "growth": a_part(*(a_run("ours", rows=size, cpu_seconds=size / 1000) for size in SIZES)),
    }
    found = tables(parts)
    assert "| dlt, 20 workers | 1.50 |" in found
    assert found.index("1.50") < found.index("| dlt, 20 workers | 200 |")
    assert "| this connector | 100 | 95.0 % | 0.99 % | 0 | 0 | well |" in found
    assert "| plain Python destination | 100 | 0 | 40 | 0 | 1 of 1 with an error |" in found
    assert "1 without a word of what is missing" in found
    assert "| this connector, tracking, 1 % changed | 100 | 10 | 100 |" in found
    assert "| this connector | 50 | 50 | 50 | 50 | 100 | 0.0 |" in found


def test_the_page_gets_the_tables_and_the_pictures_that_exist(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{FINISH}\n\nafter\n")
    (tmp_path / "benchmarks-limit.svg").touch()
    put_into(page, {"50ms": a_part(a_run("ours", 300))})
    found = page.read_text()
    assert found.startswith(f"before\n\n{BEGIN}\n")
    assert found.endswith(f"{FINISH}\n\nafter\n")
    assert "| this connector | 300 |" in found
    assert "old" not in found
    assert "(benchmarks-limit.svg)" in found
    assert "(benchmarks-rates.svg)" not in found


def test_the_page_of_benchmarks_has_a_place_for_the_tables() -> None:
    found = RESULTS.with_name("benchmarks.md").read_text()
    assert (found.count(BEGIN), found.count(FINISH)) == (1, 1)


def test_all_forms_of_the_work_hold_the_same_rows(tmp_path: Path) -> None:
    for kind in ("subscriptions", "tags"):
        rows = list(work.rows(kind, 5))
        lines = work.write_airbyte_lines(tmp_path / "lines", kind, 5, 2).read_text().splitlines()
        messages = [json.loads(line) for line in lines]
        assert [m["record"]["data"] for m in messages if m["type"] == "RECORD"] == rows
        assert [m["state"]["id"] for m in messages if m["type"] == "STATE"] == [2, 4, 5]
        assert [json.loads(line) for line in work.write_json_lines(tmp_path / "rows", kind, 5).open()] == rows
        with sqlite3.connect(work.write_sqlite(tmp_path / "database", kind, 5)) as database:
            database.row_factory = sqlite3.Row
            assert [dict(row) for row in database.execute("SELECT * FROM users")] == rows
        database.close()


def test_the_template_for_drt_makes_the_very_body() -> None:
    for kind in ("subscriptions", "tags"):
        first, *_, last = work.rows(kind, 3)
        template = drt_template(work.call(first)[1], first)
        for column, value in last.items():
            template = template.replace(f"{{{{ row.{column} | tojson_safe }}}}", json.dumps(value))
        assert json.loads(template) == work.call(last)[1]


def test_the_meter_tells_how_a_command_ended(tmp_path: Path) -> None:
    def metered(seconds: str, *command: str) -> dict[str, float | None]:
        file = tmp_path / "found"
        subprocess.run([sys.executable, "-I", "-S", meter.__file__, str(file), seconds, *command], check=True)
        found: dict[str, float | None] = json.loads(file.read_text())
        return found

    assert metered("9", "sh", "-c", "exit 3")["exit_code"] == 3
    assert metered("0", "sleep", "60")["exit_code"] is None


def test_every_contender_of_a_part_has_a_label() -> None:
    assert len({contender.label for contender in ALL.values()}) == len(ALL)
