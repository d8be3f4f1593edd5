"""The contents of queries, JSON bodies and forms, and how requests are read."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema

from operator_console.actions.audit import MAX_REASON_LENGTH, Action, is_showable
from operator_console.actions.bulk import MAX_PER_MINUTE
from operator_console.actions.pauses import MAX_PAUSE_MINUTES
from operator_console.actions.suppressions import LONGEST_DAYS
from operator_console.filters import MessageFilter
from operator_console.web.errors import ViolationCode
from shared.reports.report import ReportKind
from shared.templates import TEMPLATES_AND_WORK
from shared.vocabulary import CHANNELS, DeadReason, HealthStatus, Locale, PauseKind, Status
from shared.web.problems import ValidationFailedError, Violation
from shared.web.requests import loaded

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
MAX_TEXT_LENGTH = 300
MAX_BIGINT = 2**63 - 1
CODES: dict[str, Any] = {
    "required": ViolationCode.REQUIRED,
    "null": ViolationCode.INVALID_TYPE,
    "invalid": ViolationCode.INVALID_TYPE,
    "validator_failed": ViolationCode.INVALID_TYPE,
    "type": ViolationCode.INVALID_TYPE,
    "too_large": ViolationCode.OUT_OF_RANGE,
}


def read_query(schema: Schema) -> Any:
    """Return the query, without empty fields, as the schema loads it.

    Raises ValidationFailedError, also for repeated fields.
    """
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise ValidationFailedError([Violation(name, ViolationCode.INVALID_TYPE) for name in repeated])
    return loaded(schema, {name: value for name, value in request.args.items() if value})


def read_form(schema: Schema) -> Any:
    """Return the form, without empty fields, as the schema loads it. Raises ValidationFailedError."""
    return loaded(schema, {name: value for name, value in request.form.items() if value.strip() and name != "csrf"})


def read_form_reason() -> str:
    """Return the reason from a form that has only this field."""
    reason: str = read_form(ReasonSchema())["reason"]
    return reason


def query_without_cursor() -> dict[str, str]:
    """Return the query's non-empty fields for links to other pages of the same list."""
    return {name: value for name, value in request.args.items() if value and name != "cursor"}


class StrictSchema(Schema):
    """Rejects unknown fields, and reports violations by code."""

    error_messages = {"unknown": ViolationCode.UNKNOWN_FIELD, "type": ViolationCode.INVALID_TYPE}  # noqa: RUF012 - marshmallow's way


class Text(fields.String):
    """Text of limited length, without surrounding white space."""

    def __init__(self, max_length: int = MAX_TEXT_LENGTH, **options: Any) -> None:
        super().__init__(error_messages=CODES, **options)
        self.max_length = max_length

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        text = str(super()._deserialize(value, *rest, **more)).strip()
        if not text and self.required:
            raise ValidationError(ViolationCode.REQUIRED)
        if len(text) > self.max_length:
            raise ValidationError(ViolationCode.TOO_LONG)
        if not is_showable(text):
            raise ValidationError(ViolationCode.INVALID_TYPE)
        return text


class Choice(fields.String):
    """A member of an enum."""

    def __init__(self, members: Iterable[str], **options: Any) -> None:
        super().__init__(error_messages=CODES, **options)
        self.members = {str(member): member for member in members}

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        try:
            return self.members[super()._deserialize(value, *rest, **more)]
        except KeyError:
            raise ValidationError(ViolationCode.INVALID_CHOICE) from None


class Timestamp(fields.String):
    """A time with its offset. Forms send times in UTC without an offset."""

    def __init__(self, *, is_form: bool = False) -> None:
        super().__init__(error_messages=CODES)
        self.is_form = is_form

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        text = super()._deserialize(value, *rest, **more)
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None and self.is_form:
                moment = moment.replace(tzinfo=UTC)
            moment.astimezone(UTC)  # fails outside the years 1 to 9999
        except (ValueError, OverflowError):
            raise ValidationError(ViolationCode.INVALID_TIME) from None
        if moment.tzinfo is None:
            raise ValidationError(ViolationCode.INVALID_TIME)
        return moment


class PositiveInteger(fields.Integer):
    """An integer from 1 to ``maximum``; JSON must have it as a number."""

    def __init__(self, maximum: int, *, strict: bool, **options: Any) -> None:
        super().__init__(strict=strict, error_messages=CODES, **options)
        self.maximum = maximum
        self.is_json = strict

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        if self.is_json and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValidationError(ViolationCode.INVALID_TYPE)
        number = super()._deserialize(value, *rest, **more)
        if number is not None and not 1 <= number <= self.maximum:
            raise ValidationError(ViolationCode.OUT_OF_RANGE)
        return number


class StrictBoolean(fields.Boolean):
    """True or false, without the strings and numbers that marshmallow accepts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(error_messages=CODES, **options)

    def _deserialize(self, value: Any, *_rest: Any, **_more: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(ViolationCode.INVALID_TYPE)
        return value


class FilterSchema(StrictSchema):
    """A filter for messages; empty fields are ignored."""

    status = Choice(Status)
    dead_reason = Choice(DeadReason)
    channel = Choice(CHANNELS)
    template = Choice(TEMPLATES_AND_WORK)
    provider = Text()
    recipient = Text()
    created_after = Timestamp()
    created_before = Timestamp()
    cause = Text()

    @pre_load
    def _without_empty(self, values: Any, **_more: Any) -> Any:
        is_object = isinstance(values, Mapping)
        return {name: value for name, value in values.items() if value != ""} if is_object else values

    @post_load
    def _build(self, values: dict[str, Any], **_more: Any) -> Any:
        return self.build(values)

    def build(self, values: dict[str, Any]) -> Any:
        """Return the result for validated values."""
        return MessageFilter.of(**values)


class MessagesQuery(FilterSchema):
    """A page of a list of messages; the result is the filter, the limit and the cursor."""

    delivery_state = Choice(ReportKind)
    bounce_cause = Text()
    limit = PositiveInteger(MAX_LIMIT, strict=False, load_default=DEFAULT_LIMIT)
    cursor = fields.UUID(error_messages={"invalid_uuid": ViolationCode.INVALID_CURSOR})

    def build(self, values: dict[str, Any]) -> Any:
        """Return the result for validated values."""
        limit, cursor = values.pop("limit"), values.pop("cursor", None)
        return MessageFilter.of(**values), limit, cursor


class MessagesFormQuery(MessagesQuery):
    """The same from the page's form."""

    created_after = Timestamp(is_form=True)
    created_before = Timestamp(is_form=True)


class OrganizationsQuery(StrictSchema):
    """A page of a list of organizations."""

    health = Choice(HealthStatus)
    limit = PositiveInteger(MAX_LIMIT, strict=False, load_default=DEFAULT_LIMIT)
    cursor = fields.UUID(error_messages={"invalid_uuid": ViolationCode.INVALID_CURSOR})


class ReasonSchema(StrictSchema):
    """The reason of an action."""

    reason = Text(MAX_REASON_LENGTH, required=True)


class PauseForm(ReasonSchema):
    """The reason and the length of a pause, from a page's form; without ``minutes`` it has no end."""

    minutes = PositiveInteger(MAX_PAUSE_MINUTES, strict=False, load_default=None)


class TargetSchema(ReasonSchema):
    """What to resume, and the reason."""

    kind = Choice(PauseKind, required=True)
    name = Text(required=True)


class PauseSchema(TargetSchema):
    """What to pause, the reason and the length; without ``minutes`` it has no end."""

    minutes = PositiveInteger(MAX_PAUSE_MINUTES, strict=True, load_default=None, allow_none=True)
    dry_run = StrictBoolean(load_default=False)


class ProbeSchema(ReasonSchema):
    """The name of a provider, and the reason."""

    name = Text(required=True)


class SuppressionsQuery(StrictSchema):
    """A look-up of an address in the suppression list, or a list of its newest entries."""

    address = Text(load_default=None)
    limit = PositiveInteger(MAX_LIMIT, strict=False, load_default=DEFAULT_LIMIT)


class SuppressionsFormQuery(SuppressionsQuery):
    """The same from the page, which also looks up a message's recipient."""

    message_id = fields.UUID(load_default=None, error_messages={"invalid_uuid": ViolationCode.INVALID_TYPE})


class AddressSchema(ReasonSchema):
    """An address of the suppression list, and the reason of the action."""

    address = Text(required=True)


class SuppressionSchema(AddressSchema):
    """An address to suppress, for how long, and the reason."""

    days = PositiveInteger(LONGEST_DAYS, strict=True, load_default=30)


class SuppressionForm(AddressSchema):
    """The same from the page's form."""

    days = PositiveInteger(LONGEST_DAYS, strict=False, load_default=30)


class RequeueSchema(ReasonSchema):
    """The reason of a requeue, and corrections."""

    recipient = Text()
    locale = Choice(Locale)


class BulkSchema(ReasonSchema):
    """A bulk action; an empty filter needs ``all``."""

    wanted = fields.Nested(FilterSchema, required=True, data_key="filter", error_messages=CODES)
    dry_run = StrictBoolean(load_default=False)
    per_minute = PositiveInteger(MAX_PER_MINUTE, strict=True, load_default=None, allow_none=True)
    all = StrictBoolean(load_default=False)

    @validates_schema
    def _only_dead(self, values: dict[str, Any], **_more: Any) -> None:
        if values["wanted"].status not in (None, Status.DEAD):
            raise ValidationError({"filter": {"status": [ViolationCode.ONLY_DEAD]}})


class BulkForm(MessagesFormQuery):
    """The same from the page's form, in which the filter's fields are not nested."""

    reason = Text(MAX_REASON_LENGTH, required=True)
    action = Choice((Action.REQUEUE, Action.DISCARD), required=True)
    per_minute = PositiveInteger(MAX_PER_MINUTE, strict=False, load_default=None)
    all = Text(load_default="")

    @validates_schema
    def _only_dead(self, values: dict[str, Any], **_more: Any) -> None:
        if values.get("status") not in (None, Status.DEAD):
            raise ValidationError(ViolationCode.ONLY_DEAD, "status")

    def build(self, values: dict[str, Any]) -> Any:
        """Return the result for validated values."""
        others = {name: values.pop(name) for name in ("reason", "action", "per_minute", "all")}
        wanted, _, _ = super().build(values)
        return others | {"wanted": wanted}


class AuditQuery(StrictSchema):
    """A page of the audit; the cursor is an audit row's id."""

    limit = PositiveInteger(MAX_LIMIT, strict=False, load_default=DEFAULT_LIMIT)
    cursor = PositiveInteger(MAX_BIGINT, strict=False, load_default=None)
