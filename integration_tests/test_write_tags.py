"""Tags: rows in, calls at CleverPush, lines out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from integration_tests.conftest import MODES, Calls
from integration_tests.messages import Row, catalog, records, stream_state
from integration_tests.platform_double import WriteResult, run_write
from integration_tests.simulator.process import Simulator

ADD, REMOVE = "/subscription/tag/add", "/subscription/tag/remove"


def test_rows_in_the_four_audience_modes(simulator: Simulator, calls: Calls) -> None:
    def write(mode: str) -> WriteResult:
        config = simulator.connector_config("tags", audience_mode=mode, channel_id=f"for-{mode}")
        rows: list[Row] = [
            {"subscription_id": "sub-1", "tags": "vip, news"},
            {"subscription_id": "sub-2", "tags": ["churn"], "_ab_cdc_deleted_at": "2026-01-31T10:00:00Z"},
        ]
        return run_write(config, catalog(), [*records(*rows), stream_state(2)])

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(write, MODES))

    def tags(path: str, *pairs: tuple[str, str]) -> list[tuple[str, dict[str, str], int]]:
        return [(path, {"subscriptionId": subscription, "tagId": tag}, 200) for subscription, tag in pairs]

    one = ("sub-1", "vip"), ("sub-1", "news")
    two = ("sub-2", "churn")
    assert calls("for-upsert") == tags(ADD, *one)
    assert calls("for-add") == tags(ADD, *one)
    assert calls("for-remove") == tags(REMOVE, *one, two)
    assert calls("for-mirror") == tags(ADD, *one) + tags(REMOVE, two)
    assert [(result.exit_code, result.counts, result.warnings) for result in results] == [(0, [(2.0, 0.0)], [])] * 4


def test_tags_in_every_form_through_the_other_endpoints(simulator: Simulator, calls: Calls) -> None:
    simulator.behave(routes="cleverpush")
    rows: list[Row] = [
        {"device": {"id": 42}, "labels": " vip ,,news,vip", "tags": "not mapped"},
        {"device": {"id": "sub-1"}, "labels": ["vip", 7, 7.0, None, " "]},
        {"device": {"id": "sub-1"}, "labels": '["vip"]', "_ab_cdc_deleted_at": 1},
        {"device": {"id": "sub-2"}, "labels": 7},
    ]
    config = simulator.connector_config(
        "tags",
        audience_mode="mirror",
        field_mapping=[
            {"source": "device.id", "destination": "subscription_id"},
            {"source": "labels", "destination": "tags"},
        ],
        advanced={"tag_endpoints": "tag_untag"},
    )
    result = run_write(config, catalog(), [*records(*rows), stream_state(4)])

    assert [(path, body["subscriptionId"], body["tagId"], status) for path, body, status in calls()] == [
        ("/subscription/tag", "42", "vip", 200),
        ("/subscription/tag", "42", "news", 200),
        ("/subscription/tag", "sub-1", "vip", 200),
        ("/subscription/tag", "sub-1", "7", 200),
        ("/subscription/untag", "sub-1", "vip", 200),
        ("/subscription/tag", "sub-2", "7", 200),
    ]
    assert result.counts == [(4.0, 0.0)]
    held = simulator.state("Channel-1")["subscriptions"]
    assert {s["id"]: s["tags"] for s in held} == {"sub-1": ["7"], "sub-2": ["7"], "sub-3": [], "42": ["news", "vip"]}
