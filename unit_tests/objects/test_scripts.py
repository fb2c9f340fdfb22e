"""Rows in, a CleverPush that answers as it likes, calls out: which subscription each is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from destination_cleverpush.errors import Failure, FailureKind, config_error
from destination_cleverpush.objects.known import ABSENT, GONE, REINSTALLED, Identities
from destination_cleverpush.objects.plan import StreamPlan, plan_streams
from destination_cleverpush.objects.reasons import AMBIGUOUS, NOT_IN_CHANNEL
from destination_cleverpush.objects.settings import SubscriptionIdKind
from destination_cleverpush.words import DELIVERED, Answer, Operation, Reason, RowRejected, StreamId, Verdict
from unit_tests.objects.examples import made, row, settings, stream

USERS = StreamId("users")
NO_SUCH = Reason("not_found", "")
LOST = Answer(Verdict.REJECTED, NO_SUCH, "answered 404", 404, gone=True)
CANNOT_TELL = Answer(Verdict.FATAL, failure=config_error("cannot tell"))
Call = tuple[str, dict[str, Any]]


def taken(*ids: str) -> Answer:
    return Answer(Verdict.DELIVERED, status=200, ids=ids)


class World:
    """One sync of one kind of object, with a CleverPush that knows these people.

    Args:
        people: own ID to CleverPush's.
        copies: a sync by `user_id` never finds anybody.
    """

    def __init__(self, people: dict[str, list[str]], object_type: str = "subscriptions", **form: Any) -> None:
        self.people = people
        self.copies = False
        self.look_ups: Callable[[str], Answer] = lambda own: taken(*self.people.get(own, ()))
        self.calls: list[Call] = []
        self.told: list[str] = []
        chosen = settings(object_type, unmapped_fields="send", **form)
        self.identities = Identities(chosen.subscription_id_kind, lambda _level, said: self.told.append(said))
        self.plan: StreamPlan = plan_streams(chosen, [stream()], identities=self.identities)[USERS]

    def send(self, **data: Any) -> list[Call]:
        """The calls for a row.

        Raises:
            RowRejected: by the script.
            Failure: of the sync.
        """
        before = len(self.calls)
        job = self.plan.job(row(data))
        assert job.refusal is None
        made(job.script, self.answer)
        return self.calls[before:]

    def answer(self, operation: Operation) -> Answer:
        action, payload = operation.action.name, operation.payload
        self.calls.append((action, payload))
        if action == "look_up":
            assert payload["attributeId"] == "user_id"
            return self.look_ups(payload["attribute_value"])
        native, own = payload.get("subscriptionId"), payload.get("customAttributes", {}).get("user_id")
        if native is not None:
            return taken(native) if any(native in natives for natives in self.people.values()) else LOST
        natives = self.people.setdefault(own, [])
        if not natives or self.copies:
            natives.append(f"{own}-{len(natives) + 1}")
        return taken(natives[-1])


def look_up(own: str) -> Call:
    return ("look_up", {"attributeId": "user_id", "attribute_value": own})


def unsubscribe(native: str) -> Call:
    return ("unsubscribe", {"subscriptionId": native})


def tagged(native: str, tag: str, what: str = "add_tag") -> Call:
    return (what, {"subscriptionId": native, "tagId": tag})


def sync(own: str | None, native: str | None = None, **attributes: Any) -> Call:
    named = {"subscriptionId": native} if native else {}
    attributes |= {"user_id": own} if own else {}
    return ("sync", {**named, **({"customAttributes": attributes} if attributes else {})})


# --- the three kinds


def test_by_call_takes_the_users_own_id_for_a_sync_and_cleverpushs_for_the_rest() -> None:
    assert World({"u1": ["n1"]}).send(subscription_id="u1", tier="gold")[0] == sync("u1", tier="gold")
    assert World({"u1": ["n1"]}, audience_mode="remove").send(subscription_id="n1") == [unsubscribe("n1")]
    assert World({"u1": ["n1"]}, "tags").send(subscription_id="n1", tags="t1,t2") == [
        tagged("n1", "t1"),
        tagged("n1", "t2"),
    ]


def test_native_names_the_subscription_and_creates_none() -> None:
    world = World({"u1": ["n1"]}, kind="native")
    assert world.send(subscription_id="n1", tier="gold", user_id="not mapped") == [sync(None, "n1", tier="gold")]
    assert world.send(subscription_id="n2") == [sync(None, "n2")]
    assert world.people == {"u1": ["n1"]}


def test_external_looks_up_once_and_acts_on_all_of_a_persons_subscriptions() -> None:
    world = World({"u1": ["n1", "n2"]}, "tags", kind="external", audience_mode="mirror", removed_field="gone")
    added = [tagged(native, tag) for native in ("n1", "n2") for tag in ("t1", "t2")]
    assert world.send(subscription_id="u1", tags="t1,t2") == [look_up("u1"), *added]
    removed = [tagged(native, "t1", "remove_tag") for native in ("n1", "n2")]
    assert world.send(subscription_id="u1", tags="t1", gone=True) == removed


def test_external_syncs_without_a_look_up_and_looks_up_before_it_unsubscribes() -> None:
    world = World({"u0": ["n0"], "u1": ["n1"]}, kind="external", audience_mode="mirror", removed_field="gone")
    world.send(subscription_id="u0", gone=False)
    assert world.send(subscription_id="u1", gone=False) == [sync("u1")]
    assert world.send(subscription_id="u1", gone=True) == [look_up("u1"), unsubscribe("n1")]
    assert world.send(subscription_id="u1", gone=False) == [sync("u1", "n1")]


@pytest.mark.parametrize("kind", ["by_call", "external", "native"])
def test_cleverpushs_own_id_is_used_where_it_is_given(kind: str) -> None:
    both = {"subscription_id": "u1", "cleverpush_id": "n1"}
    people = {"u1": ["n1", "n2"]}
    assert World(people, kind=kind).send(**both) == [sync("u1", "n1")]
    assert World(people, kind=kind, audience_mode="remove").send(**both) == [unsubscribe("n1")]
    assert World(people, "tags", kind=kind).send(cleverpush_id="n1", tags="t1") == [tagged("n1", "t1")]


def test_a_cleverpush_id_that_is_gone_is_left_out_once_but_not_where_nothing_may_be_created() -> None:
    world = World({"u1": ["n2"]})
    assert world.send(subscription_id="u1", cleverpush_id="n1") == [sync("u1", "n1"), sync("u1")]
    assert world.identities.besides == {(USERS, REINSTALLED): 1}
    assert World({"u1": ["n2"]}, kind="native").send(subscription_id="u1", cleverpush_id="n1") == [sync("u1", "n1")]


# --- there is none, or too many


def test_who_is_not_in_the_channel_is_unsubscribed_already_and_cannot_be_tagged() -> None:
    world = World({}, kind="external", audience_mode="remove")
    assert world.send(subscription_id="u1") == [look_up("u1")]
    assert world.send(subscription_id="u1") == []
    assert world.identities.besides == {(USERS, ABSENT): 2}
    for mode in ("upsert", "remove"):
        with pytest.raises(RowRejected) as rejected:
            World({}, "tags", kind="external", audience_mode=mode).send(subscription_id="u1", tags="t1")
        assert rejected.value.reason == NOT_IN_CHANNEL


@pytest.mark.parametrize(("number", "ambiguous"), [(20, False), (21, True)])
def test_more_subscriptions_than_a_person_can_have_are_ambiguous(number: int, ambiguous: bool) -> None:
    world = World({"u1": [f"n{n}" for n in range(number)]}, kind="external", audience_mode="remove")
    if not ambiguous:
        assert len(world.send(subscription_id="u1")) == 1 + number
        return
    with pytest.raises(RowRejected) as rejected:
        world.send(subscription_id="u1")
    assert rejected.value.reason == AMBIGUOUS
    assert world.calls == [look_up("u1")]


def test_a_look_up_that_was_refused_leads_to_no_call() -> None:
    world = World({"u1": ["n1"]}, kind="external", audience_mode="remove")
    world.look_ups = lambda _: Answer(Verdict.REJECTED, NO_SUCH, "answered 500 four times")
    assert world.send(subscription_id="u1") == [look_up("u1")]
    world.look_ups = lambda own: taken(*world.people[own])
    assert world.send(subscription_id="u1") == [look_up("u1"), unsubscribe("n1")]


# --- gone already


def test_what_is_gone_is_removed_and_nothing_more_is_tried_for_it() -> None:
    world = World({"u1": ["n1"]}, "tags", kind="native", audience_mode="remove")
    assert world.send(subscription_id="n2", tags="t1,t2") == [tagged("n2", "t1", "remove_tag")]
    assert world.identities.besides == {(USERS, GONE): 1}


def test_a_person_of_whose_subscriptions_one_is_left_was_not_gone() -> None:
    world = World({"u1": ["n1"]}, kind="external", audience_mode="remove")
    world.look_ups = lambda _: taken("n0", "n1")
    assert world.send(subscription_id="u1") == [look_up("u1"), unsubscribe("n0"), unsubscribe("n1")]
    assert world.identities.besides == {}
    assert world.send(subscription_id="u1") == [unsubscribe("n1")]


def test_a_tag_for_somebody_who_was_found_and_is_gone_is_rejected() -> None:
    world = World({}, "tags", kind="external")
    world.look_ups = lambda _: taken("n0")
    with pytest.raises(RowRejected) as rejected:
        world.send(subscription_id="u1", tags="t1")
    assert rejected.value.reason == NOT_IN_CHANNEL


def test_ids_of_the_users_own_given_for_cleverpushs_end_the_sync_and_are_named() -> None:
    world = World({"u1": ["n1"]}, audience_mode="remove")
    with pytest.raises(Failure) as failed:
        world.send(subscription_id="u1")
    assert world.calls == [unsubscribe("u1"), look_up("u1")]
    assert failed.value.kind is FailureKind.CONFIG
    assert "external" in failed.value.message
    assert "u1" not in failed.value.message


@pytest.mark.parametrize("answer", [taken(), CANNOT_TELL, LOST])
def test_five_that_are_gone_are_looked_up_and_prove_nothing_where_there_is_no_hit(answer: Answer) -> None:
    world = World({}, audience_mode="remove")
    world.look_ups = lambda _: answer
    calls = [call for number in range(7) for call in world.send(subscription_id=f"n{number}")]
    assert [name for name, _ in calls] == ["unsubscribe", "look_up"] * 5 + ["unsubscribe"] * 2
    assert world.identities.besides == {(USERS, GONE): 7}


@pytest.mark.parametrize(("kind", "data"), [("native", {}), ("by_call", {"cleverpush_id": "n9"})])
def test_ids_that_are_said_to_be_cleverpushs_are_not_doubted(kind: str, data: dict[str, str]) -> None:
    world = World({"u1": ["n1"]}, kind=kind, audience_mode="remove")
    assert len(world.send(subscription_id="u1", **data)) == 1


# --- copies


def test_the_second_sync_of_a_person_is_compared_and_then_the_subscription_is_named() -> None:
    world = World({"u0": ["n0"], "u1": ["n1"]})
    assert world.send(subscription_id="u0") == [sync("u0"), look_up("u0")]
    assert world.send(subscription_id="u1") == [sync("u1")]
    assert world.send(subscription_id="u1", tier="gold") == [sync("u1", tier="gold")]
    assert world.send(subscription_id="u1", tier="iron") == [sync("u1", "n1", tier="iron")]
    assert world.told == []


def test_a_second_subscription_beside_the_first_is_a_copy_and_the_tenth_ends_the_sync() -> None:
    world = World({})
    world.copies = True
    world.send(subscription_id="u0")
    assert world.send(subscription_id="u0", tier="gold") == [sync("u0", tier="gold"), sync("u0", "u0-1")]
    assert len(world.told) == 1
    for number in range(1, 9):
        world.send(subscription_id=f"u{number}")
        world.send(subscription_id=f"u{number}")
    world.send(subscription_id="u9")
    with pytest.raises(Failure, match="filling with copies"):
        world.send(subscription_id="u9")
    assert len(world.told) == 1


def test_another_subscription_after_the_first_is_gone_is_no_copy() -> None:
    world = World({"u0": ["n0"]})
    world.send(subscription_id="u0")
    world.people["u0"] = ["n1"]
    assert world.send(subscription_id="u0") == [sync("u0"), sync("u0", "n0")]
    assert world.send(subscription_id="u0") == [sync("u0", "n1")]
    world.people["u0"] = ["n2"]
    assert world.send(subscription_id="u0") == [sync("u0", "n1"), sync("u0")]
    assert world.identities.besides == {(USERS, REINSTALLED): 2}
    assert world.told == []


@pytest.mark.parametrize(
    ("found", "copied"),
    [(taken("u1-1"), True), (taken("u1-1", "u1-2"), False), (taken(), False), (CANNOT_TELL, False), (LOST, False)],
)
def test_the_first_that_is_synced_is_looked_up_too(found: Answer, copied: bool) -> None:
    world = World({"u1": ["u1-1"]})
    world.copies = True
    world.look_ups = lambda _: found
    assert world.send(subscription_id="u1") == [sync("u1"), look_up("u1")]
    assert len(world.told) == copied


def test_answers_that_name_no_subscription_are_not_compared() -> None:
    world = World({})
    job = world.plan.job(row({"subscription_id": "u1"}))
    assert len(made(job.script, lambda _: DELIVERED)) == 1
    assert world.identities.known.one("u1") is None


def test_all_streams_of_a_sync_share_what_is_known() -> None:
    shared = Identities(SubscriptionIdKind.EXTERNAL)
    chosen = settings("tags", kind="external")
    plans = plan_streams(chosen, [stream("a"), stream("b")], identities=shared)
    data = {"subscription_id": "u1", "tags": "t1"}
    calls = [len(made(plan.job(row(data)).script, lambda _: taken("n1"))) for plan in plans.values()]
    assert calls == [2, 1]
