"""The configuration as frozen, typed dataclasses.

`spec.json` is the only description of the form: :func:`parse_config` validates against it, fills in its defaults, and
adds only the rules that JSON Schema cannot express. Messages name the field and never quote its value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft7Validator, ValidationError
from jsonschema.validators import extend

from destination_cleverpush.api.settings import Settings as ApiSettings
from destination_cleverpush.errors import config_error
from destination_cleverpush.objects.settings import AudienceMode, FieldMapping, SubscriptionIdKind
from destination_cleverpush.objects.settings import Settings as ObjectSettings
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.storage.settings import Settings as StorageSettings
from destination_cleverpush.storage.settings import parse as parse_storage
from destination_cleverpush.tracking.settings import Settings as TrackingSettings
from destination_cleverpush.tracking.settings import parse as parse_tracking


@dataclass(frozen=True)
class Config:
    """A configuration that the spec allows, each room's settings apart. `repr` never shows a secret.

    Attributes:
        api: address, channel, key and time-out.
        objects: what rows become.
        rejected_records: where rejected rows are kept; None: nowhere.
        on_rejected: `continue` or `fail`.
        max_rejected_ratio: the highest share of rejected rows; None: any.
        max_concurrency: requests in flight at most.
        max_requests_per_second: None for no cap.
        progress_interval_seconds: 0 for no progress lines.
        dry_run: nothing is written, and no state leaves.
        change_tracking: what is remembered, and where; None: nothing.
    """

    api: ApiSettings
    objects: ObjectSettings
    rejected_records: StorageSettings | None
    on_rejected: str
    max_rejected_ratio: float | None
    max_concurrency: int
    max_requests_per_second: float | None
    progress_interval_seconds: float
    dry_run: bool = False
    change_tracking: TrackingSettings | None = None


def load_spec() -> dict[str, Any]:
    """`spec.json` as it is shipped in the package.

    The objects of the table become the choices of the object type; the stores of rejected rows become those of change
    tracking, each with the fields that it has besides.
    """
    spec: dict[str, Any] = json.loads(files(__package__).joinpath("spec.json").read_text(encoding="utf-8"))
    properties = spec["connectionSpecification"]["properties"]
    choice = properties["object_type"]
    tracking = properties["change_tracking"]
    besides = tracking.pop("every_store")
    for store in properties["rejected_records"]["oneOf"][1:]:
        fields = store["properties"]
        added = {name: {**prop, "order": len(fields) + number} for number, (name, prop) in enumerate(besides.items())}
        tracking["oneOf"].append({**store, "properties": {**fields, **added}})
    choice["enum"], choice["enumNames"] = list(OBJECTS), [each.title for each in OBJECTS.values()]
    return spec


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Validate a configuration and give it types.

    Raises:
        Failure: `config_error` that names the offending field, never its value.
    """
    schema = load_spec()["connectionSpecification"]
    try:
        raw = _without_emptied(schema, _tidy(raw))
    except RecursionError:
        raise config_error("The configuration is nested too deeply.") from None
    error = min(_Validator(schema).iter_errors(raw), key=_rank, default=None)
    if error is not None:
        raise config_error(_sentence(error))
    values = _with_defaults(schema, raw)
    advanced = values["advanced"]
    mapping = tuple(FieldMapping(m["source"], m["destination"]) for m in values["field_mapping"])
    kind = SubscriptionIdKind(values["subscription_id_kind"])
    _check_mapping(mapping, kind)
    if not _callable(advanced["base_url"]):
        raise config_error(
            "The configuration field 'advanced.base_url' (API Address) names a host or a port that cannot exist."
        )
    tracking = parse_tracking(values["change_tracking"], "change_tracking", null_values=values["null_values"])
    if tracking is None:
        _check_needs_tracking(values)
    concurrency = int(advanced["max_concurrency"])
    return Config(
        api=ApiSettings(
            base_url=advanced["base_url"].rstrip("/"),
            channel_id=values["channel_id"],
            api_key=values["api_key"],
            request_timeout_seconds=float(advanced["request_timeout_seconds"]),
            connections=concurrency,
            endpoints={option: advanced[option] for option in ("tag_endpoints", "sync_endpoint")},
        ),
        objects=ObjectSettings(
            object_type=values["object_type"],
            audience_mode=AudienceMode(values["audience_mode"]),
            removed_field=values["removed_field"],
            field_mapping=mapping,
            unmapped_fields=values["unmapped_fields"],
            tags_are_names=values["tags_are_names"],
            max_removal_ratio=float(values["max_removal_ratio"]),
            removed_values=tuple(values.get("removed_values") or ()) or None,
            subscription_id_kind=kind,
            email_opt_in_form_id=values.get("email_opt_in_form_id") or None,
            row_lists_all_tags=values["row_lists_all_tags"],
        ),
        rejected_records=parse_storage(values["rejected_records"], "rejected_records"),
        on_rejected=values["on_rejected"],
        max_rejected_ratio=values.get("max_rejected_ratio"),
        max_concurrency=concurrency,
        max_requests_per_second=advanced.get("max_requests_per_second"),
        progress_interval_seconds=float(advanced["progress_interval_seconds"]),
        dry_run=advanced["dry_run"],
        change_tracking=tracking,
    )


def unknown_keys(raw: Mapping[str, Any]) -> list[str]:
    """A sentence for each key of a configuration that the form does not have: it is not looked at."""
    return list(_unknown_keys(load_spec()["connectionSpecification"], raw, ""))


def _unknown_keys(schema: Mapping[str, Any], raw: Mapping[str, Any], prefix: str) -> Iterator[str]:
    options = [schema, *schema.get("oneOf", ())]
    properties: dict[str, Any] = {}
    for option in options:
        properties |= option.get("properties", {})
    for name, value in raw.items():
        if name not in properties:
            like = f" Did you mean '{prefix}{close[0]}'?" if (close := get_close_matches(name, properties, 1)) else ""
            yield f"The configuration has a key '{prefix}{name}', which the form does not have: it is ignored.{like}"
        elif isinstance(value, Mapping):
            yield from _unknown_keys(properties[name], value, f"{prefix}{name}.")
        elif isinstance(value, list) and "items" in properties[name]:
            for number, part in enumerate(value):
                if isinstance(part, Mapping):
                    yield from _unknown_keys(properties[name]["items"], part, f"{prefix}{name}.{number}.")


def _is_number(_checker: object, value: Any) -> bool:
    """Python reads NaN and Infinity as numbers, which no JSON number is."""
    return Draft7Validator.TYPE_CHECKER.is_type(value, "number") and not (
        isinstance(value, float) and not math.isfinite(value)
    )


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft7Validator, type_checker=Draft7Validator.TYPE_CHECKER.redefine("number", _is_number)
)


def _callable(address: str) -> bool:
    """Whether an address of the right form can be called: its port exists, and its host is a possible name."""
    try:
        parts = urlsplit(address)
        (parts.hostname or "").encode("idna")
        return parts.port != 0
    except ValueError:
        return False


def _tidy(value: Any) -> Any:
    """Blanks around pasted text and fields set to null mean nothing, and are dropped."""
    if isinstance(value, Mapping):
        return {name: _tidy(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_tidy(part) for part in value]
    return value.strip() if isinstance(value, str) else value


def _without_emptied(schema: Mapping[str, Any], raw: Any) -> Any:
    """A form leaves the blank text in an optional field that was emptied: it means not set."""
    if not isinstance(raw, Mapping):
        return raw
    schemas = [schema, *schema.get("oneOf", ())]
    required = {name for each in schemas for name in each.get("required", ())}
    properties = {name: prop for each in schemas for name, prop in each.get("properties", {}).items()}
    return {
        name: _without_emptied(properties.get(name, {}), part)
        for name, part in raw.items()
        if part != "" or name in required
    }


def _with_defaults(schema: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the spec's defaults where it is silent; objects are filled in recursively."""
    values = dict(raw)
    for name, prop in schema["properties"].items():
        if prop.get("type") == "object" and "properties" in prop:
            values[name] = _with_defaults(prop, values.get(name, {}))
        elif "default" in prop:
            values.setdefault(name, prop["default"])
    return values


def _check_mapping(mapping: tuple[FieldMapping, ...], kind: SubscriptionIdKind) -> None:
    destinations = [m.destination for m in mapping]
    for number, m in enumerate(mapping):
        place = f"The configuration field 'field_mapping.{number}.destination'"
        if (first := destinations.index(m.destination)) < number:
            raise config_error(
                f"{place} names the same CleverPush field as 'field_mapping.{first}.destination'. "
                "Map one column to each field."
            )
        if m.destination == "user_id" and kind is not SubscriptionIdKind.NATIVE:
            raise config_error(
                f"{place} is 'user_id', which CleverPush uses to find a subscription. Map the column to "
                "'subscription_id' instead; it is sent as user_id. Only where What the Subscription ID Is "
                "(subscription_id_kind) is native can user_id be filled by a column of its own."
            )


def _check_needs_tracking(values: Mapping[str, Any]) -> None:
    for field in ("row_lists_all_tags", "null_values"):
        if values[field] in (True, "clear"):
            raise config_error(
                f"The configuration field '{field}' needs Change Tracking, which knows what was sent before: choose a "
                "store under Change Tracking (change_tracking)."
            )


def _rank(error: ValidationError) -> tuple[int, str]:
    """Missing fields first, then the shallowest error: the one that a reader can act on."""
    return (0 if error.validator == "required" else 1 + len(error.path), ".".join(map(str, error.path)))


def _sentence(error: ValidationError) -> str:
    """A validation error in words, without the value that caused it (it may be the key)."""
    path = ".".join(str(part) for part in error.absolute_path)
    rule: Any = error.validator_value  # what the schema demands; its type depends on the kind of rule
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "required":
        instance: Any = error.instance
        missing = next(name for name in rule if name not in instance)
        return f"The configuration field '{f'{path}.' if path else ''}{missing}' is missing."
    if not path:
        return "The configuration is not a JSON object."
    if error.validator == "oneOf" and error.context:
        return _option_sentence(error)
    wishes = {
        "type": f"must be of type {rule}",
        "enum": f"must be one of: {', '.join(map(str, rule)) if isinstance(rule, list) else rule}",
        "const": f"must be {rule}",
        "pattern": f"must be {schema.get('pattern_descriptor', f'of the form {rule}')}",
        "minimum": f"must be at least {rule}",
        "exclusiveMinimum": f"must be more than {rule}",
        "maximum": f"must be at most {rule}",
        "minLength": "must not be empty",
    }
    wish = wishes.get(str(error.validator), f"breaks the rule '{error.validator}' of the form")
    title = f" ({schema['title']})" if "title" in schema else ""
    return f"The configuration field '{path}'{title} {wish}."


def _option_sentence(error: ValidationError) -> str:
    """What is wrong with the option that was chosen, where one was; else which options there are."""
    options: dict[int, list[ValidationError]] = {}
    for nested in error.context or ():
        options.setdefault(int(nested.schema_path[0]), []).append(nested)
    wrong = {number: e for number, found in options.items() for e in found if e.validator == "const"}
    chosen = next((found for number, found in options.items() if number not in wrong), None)
    if chosen:
        return _sentence(min(chosen, key=_rank))
    field = ".".join(map(str, next(iter(wrong.values())).absolute_path))
    kinds = ", ".join(str(e.validator_value) for e in wrong.values())
    return f"The configuration field '{field}' must be one of: {kinds}."
