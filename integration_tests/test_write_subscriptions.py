"""Subscriptions (Attributes): rows in, calls at CleverPush, lines out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from integration_tests.conftest import MODES, Calls
from integration_tests.messages import Row, catalog, records, stream, stream_state
from integration_tests.platform_double import PIPE, WriteResult, run_write
from integration_tests.simulator.process import Simulator

SYNC, UNSUBSCRIBE = "/subscription/sync", "/subscription/unsubscribe"


def test_rows_in_the_four_audience_modes(simulator: Simulator, calls: Calls) -> None:
    def write(mode: str) -> WriteResult:
        config = simulator.connector_config(audience_mode=mode, channel_id=f"for-{mode}")
        rows: list[Row] = [
            {"subscription_id": "sub-1", "email": "ada@example.com"},
            {"subscription_id": "sub-2", "email": "bob@example.com", "_ab_cdc_deleted_at": "2026-01-31T10:00:00Z"},
            {"subscription_id": "sub-3", "email": "cid@example.com", "_ab_cdc_deleted_at": None},
        ]
        messages = [*records(*rows), stream_state(3)]
        return run_write(config, catalog(stream(mode="overwrite")), messages, caller=PIPE)

    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(MODES, pool.map(write, MODES), strict=True))

    ada = (SYNC, {"emailAddress": "ada@example.com", "customAttributes": {"user_id": "sub-1"}}, 200)
    cid = (SYNC, {"emailAddress": "cid@example.com", "customAttributes": {"user_id": "sub-3"}}, 200)
    leave = [(UNSUBSCRIBE, {"subscriptionId": f"sub-{n}"}, 200) for n in (1, 2, 3)]
    assert calls("for-upsert") == [ada, cid]
    assert calls("for-add") == [ada, cid]
    assert calls("for-remove") == leave
    assert calls("for-mirror") == [ada, leave[1], cid]  # sub-1, sub-2, sub-3
    for mode, result in results.items():
        assert result.exit_code == 0
        assert result.counts == [(3.0, 0.0)]
        # Only mirror can remove anything; in the other modes, overwrite does not do what its name says.
        (warning,) = result.warnings
        told = ("two kinds of ID", "cleverpush_id") if mode == "mirror" else ("overwrite", "removed")
        assert all(word in warning for word in told)


def test_columns_keep_their_names_and_values_their_types(simulator: Simulator, calls: Calls) -> None:
    schema = {"properties": {"signup": {"type": "string", "format": "date-time"}}}
    rows: list[Row] = [
        {
            "subscription_id": 42,
            "email": " ada@example.com ",
            "phone": 4915112345678,
            "topics": " news, sports,,news ",
            "country": "DE",
            "language": "de",
            "city": "Köln 🏙",
            "visits": 12,
            "score": 0.5,
            "active": True,
            "signup": "2026-01-31 10:00:00+00:00",
            "profile": {"pets": ["cat", {"age": 3}]},
            "loyalty_tier": None,
            "_airbyte_raw_id": "x",
            "_ab_cdc_lsn": 99,
        },
        {"subscription_id": 42.0, "email": "ada@example.org", "topics": ["sports", 12, 12.0, None, ""], "visits": 0},
        {"subscription_id": "42", "topics": [], "active": False},
    ]
    config = simulator.connector_config()
    result = run_write(config, catalog(stream(schema=schema)), [*records(*rows), stream_state(3)])

    created = simulator.by_user()["42"]["id"]
    assert calls() == [
        (
            SYNC,
            {
                "emailAddress": "ada@example.com",
                "phoneNumber": "4915112345678",
                "topics": ["news", "sports"],
                "country": "DE",
                "language": "de",
                "customAttributes": {
                    "user_id": "42",
                    "city": "Köln 🏙",
                    "visits": 12,
                    "score": 0.5,
                    "active": True,
                    "signup": "2026-01-31T10:00:00+00:00",
                    "profile": '{"pets":["cat",{"age":3}]}',
                },
            },
            200,
        ),
        (
            SYNC,
            {
                "emailAddress": "ada@example.org",
                "topics": ["sports", "12"],
                "customAttributes": {"user_id": "42", "visits": 0},
            },
            200,
        ),
        (
            SYNC,  # the second one has found what the first one made, so that the third names it
            {"subscriptionId": created, "topics": [], "customAttributes": {"user_id": "42", "active": False}},
            200,
        ),
    ]
    assert result.counts == [(3.0, 0.0)]
    (ada,) = (s for s in simulator.state("Channel-1")["subscriptions"] if s["customAttributes"])  # one, not three
    assert (ada["emailAddress"], ada["topics"], ada["customAttributes"]["active"]) == ("ada@example.org", [], False)


def test_field_mapping_with_nested_columns_and_a_removed_column_of_its_own(simulator: Simulator, calls: Calls) -> None:
    mapping = {"id": "subscription_id", "contact.mail": "email", "home.city": "city", "a.b": "loyalty_tier"}
    rows: list[Row] = [
        {"id": "u1", "contact": {"mail": "ada@example.com", "fax": "1"}, "home": {"city": "Bonn"}, "visits": 3},
        {"id": "u1", "a.b": "gold", "home": "none", "contact": None, "gone": "false"},
        {"id": "sub-2", "contact": {"mail": "bob@example.com"}, "gone": 1},
    ]
    config = simulator.connector_config(
        audience_mode="mirror",
        field_mapping=[{"source": source, "destination": name} for source, name in mapping.items()],
        unmapped_fields="ignore",
        removed_field="gone",
        email_opt_in_form_id="form-1",
    )
    result = run_write(config, catalog(), [*records(*rows), stream_state(3)])

    assert calls() == [
        (UNSUBSCRIBE, {"subscriptionId": "sub-2"}, 200),
        (
            SYNC,
            {
                "emailAddress": "ada@example.com",
                "emailOptInFormId": "form-1",
                "customAttributes": {"user_id": "u1", "city": "Bonn"},
            },
            200,
        ),
        (SYNC, {"customAttributes": {"user_id": "u1", "loyalty_tier": "gold"}}, 200),
    ]
    assert result.counts == [(3.0, 0.0)]
