"""The plan per stream: everything that is decided once before the first row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from destination_cleverpush.errors import config_error
from destination_cleverpush.objects.activation import stream_settings, tell_ignored
from destination_cleverpush.objects.attributes import AttributeNotices
from destination_cleverpush.objects.guard import RemovalGuard
from destination_cleverpush.objects.identity import Who, mixed_ids, required_fields, shown, whom
from destination_cleverpush.objects.known import Identities
from destination_cleverpush.objects.mapping import Layout, RowMapper
from destination_cleverpush.objects.marker import Clock, is_airbytes_marker, is_listed, listed_values, says_removed
from destination_cleverpush.objects.names import listed_fields
from destination_cleverpush.objects.notices import ColumnNotices, Tell
from destination_cleverpush.objects.reasons import (
    INVALID_VALUE,
    MISSING_SUBSCRIPTION_ID,
    MISSING_TAGS,
    UNCLEAR_REMOVED_MARKER,
)
from destination_cleverpush.objects.scripts import by_native_id, by_own_id
from destination_cleverpush.objects.settings import AudienceMode, Settings, SubscriptionIdKind
from destination_cleverpush.objects.shape import Fields, IdKind
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.words import (
    NOTHING_READ,
    Answer,
    Channel,
    Job,
    Operation,
    Row,
    RowRejected,
    Script,
    Stream,
    StreamId,
    Verdict,
)

_LONGEST_IDENTIFIER = 10_000
_ONLY_THE_KEY = (
    " The row is a delete of a CDC source, and these may carry only their primary key: have the database log whole "
    "rows (Postgres: REPLICA IDENTITY FULL, MySQL: binlog_row_image FULL)"
)


class Draft(NamedTuple):
    """What a row asks for.

    Attributes:
        refusal: why it cannot be sent, None where it can.
        who: whom it means; None where that is not known.
        operations: the calls that it asks for, without a subscription.
        removes: they remove.
        removed_by: the column that marks the row as removed.
        needs_call: False where it is marked as removed, in a mode that removes nobody.
    """

    row: Row
    refusal: Answer | None = None
    who: Who | None = None
    operations: Sequence[Operation] = ()
    removes: bool = False
    removed_by: str | None = None
    needs_call: bool = True


class StreamPlan:
    """What becomes of the rows of one stream.

    Args:
        tell: takes notices, each once per stream.
        now: the time, for markers that hold one.
        identities: what the sync knows of IDs.
        channel: what exists in the channel.

    Raises:
        Failure: `config_error`: the stream's schema lacks a column without which no row can be sent.
    """

    def __init__(
        self, settings: Settings, stream: Stream, tell: Tell, now: Clock, *, identities: Identities, channel: Channel
    ) -> None:
        self.stream = stream.id
        self.settings = settings
        self.object = OBJECTS[settings.object_type]
        lists = wanted_lists(settings)
        attributes = channel.attributes if "attributes" in lists else None
        self._mapper = RowMapper(settings, self.object.known_fields, stream.schema, attributes)
        self._listed_fields = [
            (field, listed)
            for field, listed in listed_fields(channel, by_name=settings.tags_are_names, tell=tell).items()
            if field in lists
        ]
        self._listed = listed_values(settings.removed_values)
        self._guard = RemovalGuard(stream.id, settings.max_removal_ratio)
        self._tell = tell
        self._now = now
        self._identities = identities
        # For every row: a look into an enumeration costs as much as a small function (Python before 3.12).
        self._mirrors = settings.audience_mode is AudienceMode.MIRROR
        self._removes_all = settings.audience_mode is AudienceMode.REMOVE
        self._native_ids = settings.subscription_id_kind is SubscriptionIdKind.NATIVE
        self._names_user = any(m.destination == "user_id" for m in settings.field_mapping)
        self._unclear_told = False
        required = required_fields(settings, self.object)
        self._notices = ColumnNotices(settings, stream, required, self._mapper.columns, tell)
        self._notices.taken(self._mapper.taken)
        self._missing = AttributeNotices(stream.id, settings, self.object.known_fields, attributes, tell)
        if self._mapper.columns.names:
            self._missing.begin(self._mapper.unmapped)

    @property
    def gives_both_ids(self) -> bool:
        """Whether the stream has a column for CleverPush's own ID beside that of `subscription_id`."""
        return "cleverpush_id" in self._mapper.filled

    def draft(self, row: Row) -> Draft:
        """What the row asks for, or why it cannot be sent."""
        removed_by = None
        who = None
        self._guard.rows += 1
        layout = self._mapper.layout(row.data)
        self._notices.row(self._mapper.taken)
        self._missing.row(self._mapper.unmapped)
        try:
            if not self._removes_all:
                removed_by = self._removed_by(layout, row.data)
            removes = removed_by is not None or self._removes_all
            call = self.object.remove_id if removes else self.object.put_id
            fields = layout.fields(row.data)
            if removed_by is not None and not self._mirrors:
                return Draft(row, who=self._seen(fields), removes=True, removed_by=removed_by, needs_call=False)
            who = self._whom(fields, call)
            for field, listed in self._listed_fields:
                if field in fields:
                    fields[field] = listed.ids(fields[field])
            operations = (self.object.remove if removes else self.object.put)(fields, self.settings)
        except RowRejected as rejected:
            sentence = self._explained(rejected, removed_by)
            refusal = Answer(Verdict.REJECTED, rejected.reason, sentence, named=rejected.named)
            return Draft(row, refusal=refusal, who=who or self._seen(layout.fields(row.data)), removed_by=removed_by)
        return Draft(row, None, who, operations, removes, removed_by)

    def job(self, row: Row) -> Job:
        """The row as a job: its calls, or none where it is removed and that costs no call, or the refusal."""
        draft = self.draft(row)
        if draft.who is None or draft.refusal is not None or not draft.needs_call:
            return Job(row.stream, "", None, row, row.size, draft.refusal, removed_by=draft.removed_by)
        script = self.script(draft)
        held = self.is_guarded(draft)
        return Job(
            row.stream,
            draft.who.lane,
            self.guarded(draft, script) if held else script,
            row,
            row.size,
            removed_by=draft.removed_by,
            held=held,
        )

    def is_guarded(self, draft: Draft) -> bool:
        """Whether the removal that the row asks for is to be judged before it is believed.

        The source itself says what it deleted: nothing in its own column can have been mistaken.
        """
        return draft.removed_by is not None and not is_airbytes_marker(draft.removed_by)

    def guarded(self, draft: Draft, script: Script) -> Script:
        """The script of a marked row, under the guard on removals."""
        self._guard.marked += 1
        return self._guard.watch(script, draft.removed_by or "")

    def identifiers(self, data: Mapping[str, Any]) -> tuple[str | None, list[str]]:
        """The row's subscription ID, None where it has none that can be used, and which texts of the row may be told.

        These are the names of its fields, and the values of those that hold IDs.
        """
        fields = self._mapper.fields(data)
        told = [str(fields[name])[:_LONGEST_IDENTIFIER] for name in self.object.told_fields if name in fields]
        return shown(fields), [*fields, *told]

    @property
    def population(self) -> tuple[str, str]:
        """What the rows' members are told by: the kind of their IDs, and the mapping that their IDs come from."""
        settings = self.settings
        source = next((m.source for m in settings.field_mapping if m.destination == "subscription_id"), "")
        kind = settings.subscription_id_kind
        own = kind is not SubscriptionIdKind.NATIVE and (
            self.object.put_id is IdKind.EXTERNAL or kind is SubscriptionIdKind.EXTERNAL or self.gives_both_ids
        )
        return "own" if own else "native", f"{kind.value} {source}".rstrip()

    def member_id(self, who: Who) -> str:
        """The ID by which the row's member is remembered, of the kind that :attr:`population` says."""
        if self._native_ids:
            return who.native or who.lane
        return who.lane

    def removal(self, tags: Sequence[str]) -> list[Operation]:
        """The calls that take a member away, or these of its tags where it is had in pairs."""
        if (pair := self.object.pair) is None:
            return self.object.remove({}, self.settings)
        return [Operation(self.object.actions[1], {pair: tag}) for tag in tags]

    def nulls(self, row: Row) -> set[str]:
        """The fields that a column fills and that are null in this row."""
        layout = self._mapper.layout(row.data)
        return {field for _, field, _ in layout.steps}.difference(layout.fields(row.data))

    @property
    def described(self) -> str:
        """What becomes of the stream's rows, in a sentence: object, mode, and which columns become what."""
        settings = self.settings
        mode = "update" if settings.only_existing else settings.audience_mode.value
        marker = "" if settings.audience_mode is AudienceMode.REMOVE else f"; removed by '{settings.removed_field}'"
        return f"Stream '{self.stream}' to {settings.object_type}, mode {mode}: {self._mapper.described}{marker}."

    def end(self) -> None:
        """Say what is to be said after the last row: which columns were missing in a stream of few rows."""
        self._notices.end()
        self._missing.end()

    def script(self, draft: Draft, operations: Sequence[Operation] | None = None, who: Who | None = None) -> Script:
        """The calls that a draft without a refusal asks for.

        Args:
            operations: some of the draft's, None for all.
            who: whom they mean, where that is known better than the row tells.
        """
        operations = draft.operations if operations is None else operations
        who = who or draft.who
        assert who is not None
        removes = draft.removes
        call = self.object.remove_id if removes else self.object.put_id
        if call is IdKind.EXTERNAL and (removes or not self.settings.only_existing):
            return by_own_id(operations, who, self._identities, self.stream)
        return by_native_id(
            operations,
            who,
            self._identities,
            self.stream,
            removes=removes,
            absent_is_removed=self.object.absent_is_removed,
        )

    def _seen(self, fields: Fields) -> Who | None:
        """Whom a row without a call means, None where nobody can tell."""
        try:
            return self._whom(fields, self.object.put_id)
        except RowRejected:
            return None

    def _whom(self, fields: Fields, call: IdKind) -> Who:
        return whom(
            fields,
            self.settings.subscription_id_kind,
            call,
            gives_both=self.gives_both_ids,
            names_user=self._names_user,
        )

    def _removed_by(self, layout: Layout, data: Mapping[str, Any]) -> str | None:
        """The column that marks the row as removed, None where it is not."""
        column, value = layout.marker, layout.mark(data)
        if column is None or value is None or value is False:
            return None
        if self._listed:
            return column if is_listed(value, self._listed) else None
        removed = says_removed(value, self._now, airbytes=is_airbytes_marker(column))
        if removed is None:
            if not self._unclear_told:
                self._unclear_told = True
                self._tell(
                    logging.WARNING,
                    f"Stream '{self.stream}': the removed marker '{column}' holds values that mean neither yes nor no. "
                    f"These rows are rejected, and nobody is removed by them. {UNCLEAR_REMOVED_MARKER.advice}",
                )
            raise RowRejected(
                UNCLEAR_REMOVED_MARKER, f"The removed marker '{column}' holds a value that means neither yes nor no."
            )
        return column if removed else None

    def _explained(self, rejected: RowRejected, removed_by: str | None) -> str:
        """What is wrong with the row, with what the user needs to know to find it."""
        sentence = rejected.sentence
        if rejected.reason in (MISSING_SUBSCRIPTION_ID, MISSING_TAGS) and removed_by and is_airbytes_marker(removed_by):
            or_key = ", or map the primary key to subscription_id" if rejected.reason is MISSING_SUBSCRIPTION_ID else ""
            return f"{sentence}{_ONLY_THE_KEY}{or_key}."
        if rejected.reason is INVALID_VALUE:
            for mapping in self.settings.field_mapping:
                if mapping.source != mapping.destination and sentence.startswith(f"{mapping.destination} "):
                    return f"{sentence} It is filled by the column '{mapping.source}'."
        return sentence


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _ignore(level: int, sentence: str) -> None:
    pass


def plan_streams(
    settings: Settings,
    streams: Sequence[Stream],
    tell: Tell = _ignore,
    now: Clock = _now,
    *,
    identities: Identities | None = None,
    channel: Channel = NOTHING_READ,
    remembers: bool = False,
) -> dict[StreamId, StreamPlan]:
    """One plan per stream.

    Args:
        tell: takes what the user should know, each once per stream: before the first row, or at the row that shows it.
        identities: what the sync knows of IDs, the same for all streams.
        channel: what exists in the channel, as far as :func:`wanted_lists` asks for it.
        remembers: change tracking knows which subscription is whose.

    Raises:
        Failure: `config_error`: the field mapping cannot work, or not with the stream's schema, or the object that the
            platform maps a stream to cannot.
    """
    if any(stream.object_name is None for stream in streams):
        _check_required(settings)
    tell_ignored(settings, streams, tell)
    identities = identities or Identities(settings.subscription_id_kind)
    plans = {
        stream.id: StreamPlan(
            stream_settings(settings, stream), stream, tell, now, identities=identities, channel=channel
        )
        for stream in streams
    }
    _tell_mixed_ids(settings, remembers or all(plan.gives_both_ids for plan in plans.values()), tell)
    return plans


def wanted_lists(settings: Settings) -> set[str]:
    """What the plans want to know of the channel: fields of :class:`destination_cleverpush.words.Channel`."""
    lists = set(OBJECTS[settings.object_type].lists)
    return lists if settings.audience_mode is not AudienceMode.REMOVE else lists & {"tags"}


def needed_lists(settings: Settings) -> set[str]:
    """Those of :func:`wanted_lists` without which no row can be planned: names are looked up in them."""
    return wanted_lists(settings) - {"attributes"} if settings.tags_are_names else set()


def lists_of_streams(settings: Settings, streams: Sequence[Stream]) -> tuple[set[str], set[str]]:
    """:func:`wanted_lists` and :func:`needed_lists` of all streams together.

    Raises:
        Failure: as :func:`plan_streams`.
    """
    if any(stream.object_name is None for stream in streams):
        _check_required(settings)
    found = [stream_settings(settings, stream) for stream in streams]
    return set().union(*map(wanted_lists, found)), set().union(*map(needed_lists, found))


def check_mapping(settings: Settings, tell: Tell = _ignore, *, remembers: bool = False) -> None:
    """Fail before the first row where no row could ever be complete, and tell what is likely to be wrong.

    Args:
        remembers: as in :func:`plan_streams`.

    Raises:
        Failure: `config_error` that names the missing destination field.
    """
    _check_required(settings)
    _tell_mixed_ids(settings, remembers or any(m.destination == "cleverpush_id" for m in settings.field_mapping), tell)


def _tell_mixed_ids(settings: Settings, gives_both: bool, tell: Tell) -> None:
    if warning := mixed_ids(settings, OBJECTS[settings.object_type], gives_both=gives_both):
        tell(logging.WARNING, warning)


def _check_required(settings: Settings) -> None:
    if not settings.field_mapping or settings.unmapped_fields != "ignore":
        return
    filled = {m.destination for m in settings.field_mapping}
    if missing := sorted(set(required_fields(settings, OBJECTS[settings.object_type])) - filled):
        raise config_error(
            f"The field mapping fills no '{missing[0]}', which {settings.object_type} need, and columns without a "
            "mapping are ignored. Add a mapping to this field under Field Mapping."
        )
