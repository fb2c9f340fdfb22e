"""The dry run makes reads and look-ups, and no other call."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from destination_cleverpush.api.client import WITNESS, Client
from destination_cleverpush.api.rehearsal import FIRST_CALLS, Rehearsal
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.words import DELIVERED, Action, Operation, Verdict
from unit_tests.api.calls import CHANNEL, EITHER_SYNC, TAG, UNTAG, settings
from unit_tests.server import Server, said

LOOK_UP = Operation(Action("look_up", {"plain": "GET /subscription"}), {"attributeId": "user_id"})


def test_no_writing_call_is_made_and_the_first_of_each_kind_are_kept() -> None:
    with Server(said(200, {})) as server:
        rehearsal = Rehearsal(Client(settings(server.url)))
        answers = [rehearsal.send(operation) for operation in [*[TAG] * 9, EITHER_SYNC, UNTAG]]
        assert server.asked == []
    assert answers == [DELIVERED] * 11
    assert {action.name: len(calls) for action, calls in rehearsal.first.items()} == {
        "add_tag": FIRST_CALLS, "sync": 1, "remove_tag": 1,
    }  # fmt: skip
    assert rehearsal.first[TAG.action][0] == (
        "/subscription/tag/add",
        {"channelId": CHANNEL, "subscriptionId": "s1", "tagId": "t1"},
    )


def test_the_route_is_the_one_that_the_form_names() -> None:
    with Server(said(200, {})) as server:
        rehearsal = Rehearsal(Client(settings(server.url, tag_endpoints="tag_untag")))
        rehearsal.send(UNTAG)
    assert rehearsal.first[UNTAG.action][0].path == "/subscription/untag"


def test_reads_and_look_ups_are_made() -> None:
    with Server(said(200, {"subscription": {"_id": "native"}})) as server:
        rehearsal = Rehearsal(Client(settings(server.url)))
        assert rehearsal.send(LOOK_UP).ids == ("native",)
        assert rehearsal.send(Operation(WITNESS, {})) == DELIVERED
        assert [asked.method for asked in server.asked] == ["GET", "GET"]
    assert rehearsal.first == {}


def test_the_plan_has_every_call_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    plan = tmp_path / "plan.jsonl"
    plan.write_text("old")
    plan.chmod(0o644)
    with Server(said(200, {})) as server:
        rehearsal = Rehearsal(Client(settings(server.url)), plan)
        for _ in range(7):
            rehearsal.send(TAG)
        rehearsal.close()
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    body = {"channelId": CHANNEL, "subscriptionId": "s1", "tagId": "t1"}
    assert lines == [{"method": "POST", "path": "/subscription/tag/add", "body": body}] * 7
    assert stat.S_IMODE(plan.stat().st_mode) == 0o600


def test_a_plan_that_cannot_be_begun_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be written: No such file or directory") as failure:
        Rehearsal(Client(settings("http://127.0.0.1:9")), tmp_path / "no" / "plan")
    assert failure.value.kind is FailureKind.CONFIG


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux")  # noqa: PTH110
def test_a_plan_that_has_no_room_ends_the_sync() -> None:
    rehearsal = Rehearsal(Client(settings("http://127.0.0.1:9")), Path("/dev/full"))
    answers = [rehearsal.send(TAG).verdict for _ in range(1_000)]
    assert Verdict.FATAL in answers
    with pytest.raises(Failure, match="No space left"):
        rehearsal.close()
