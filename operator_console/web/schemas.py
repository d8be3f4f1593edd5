"""What may be asked for, and how it is written: in a query, in JSON, in a form."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema

from operator_console.acting import HIGHEST_PER_MINUTE, Action
from operator_console.filters import MessageFilter
from operator_console.reasons import LONGEST_REASON, is_showable
from operator_console.web.errors import FaultCode
from shared.vocabulary import CHANNELS, TEMPLATES, DeadReason, Locale, Status, Verdict

DEFAULT_LIMIT, HIGHEST_LIMIT = 50, 200
LONGEST_TEXT = 300
CODES: dict[str, Any] = {
    "required": FaultCode.REQUIRED,
    "null": FaultCode.INVALID_TYPE,
    "invalid": FaultCode.INVALID_TYPE,
    "validator_failed": FaultCode.INVALID_TYPE,
    "type": FaultCode.INVALID_TYPE,
    "too_large": FaultCode.OUT_OF_RANGE,
}


class Strict(Schema):
    """Knows each field by name, and says by codes what is wrong."""

    error_messages = {"unknown": FaultCode.UNKNOWN_FIELD, "type": FaultCode.INVALID_TYPE}  # noqa: RUF012 - marshmallow's way


class Words(fields.String):
    """Some text, which may be bounded in length; white space around it is none of it."""

    def __init__(self, longest: int = LONGEST_TEXT, **options: Any) -> None:
        super().__init__(error_messages=CODES, **options)
        self.longest = longest

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        text = str(super()._deserialize(value, *rest, **more)).strip()
        if not text and self.required:
            raise ValidationError(FaultCode.REQUIRED)
        if len(text) > self.longest:
            raise ValidationError(FaultCode.TOO_LONG)
        if not is_showable(text):
            raise ValidationError(FaultCode.INVALID_TYPE)
        return text


class OneOf(fields.String):
    """A word of a closed set."""

    def __init__(self, members: Iterable[StrEnum], **options: Any) -> None:
        super().__init__(error_messages=CODES, **options)
        self.members = {word.value: word for word in members}

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        try:
            return self.members[super()._deserialize(value, *rest, **more)]
        except KeyError:
            raise ValidationError(FaultCode.INVALID_CHOICE) from None


class Moment(fields.String):
    """A time with its offset; a form's has none, and means UTC."""

    def __init__(self, *, is_of_form: bool = False) -> None:
        super().__init__(error_messages=CODES)
        self.is_of_form = is_of_form

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        try:
            moment = datetime.fromisoformat(super()._deserialize(value, *rest, **more))
        except ValueError:
            raise ValidationError(FaultCode.INVALID_TIME) from None
        if moment.tzinfo is None and self.is_of_form:
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is None or not _has_utc(moment):
            raise ValidationError(FaultCode.INVALID_TIME)
        return moment


def _has_utc(moment: datetime) -> bool:
    """Tell whether it is in one of the years 1 to 9999 in UTC, too: beyond them no moment can be written."""
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


class Number(fields.Integer):
    """A whole number from 1 to ``highest``; in JSON it is no text."""

    def __init__(self, highest: int, *, strict: bool, **options: Any) -> None:
        super().__init__(strict=strict, error_messages=CODES, **options)
        self.highest = highest
        self.is_of_json = strict

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        if self.is_of_json and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValidationError(FaultCode.INVALID_TYPE)
        number = super()._deserialize(value, *rest, **more)
        if number is not None and not 1 <= number <= self.highest:
            raise ValidationError(FaultCode.OUT_OF_RANGE)
        return number


class Switch(fields.Boolean):
    """True or false, and nothing that merely looks like it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(error_messages=CODES, **options)

    def _deserialize(self, value: Any, *_rest: Any, **_more: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(FaultCode.INVALID_TYPE)
        return value


class FilterSchema(Strict):
    """Which messages are meant. What is empty does not matter."""

    status = OneOf(Status)
    dead_reason = OneOf(DeadReason)
    channel = OneOf(CHANNELS)
    template = OneOf(TEMPLATES)
    provider = Words()
    recipient = Words()
    created_after = Moment()
    created_before = Moment()
    cause = Words()

    @pre_load
    def _without_empty(self, values: Any, **_more: Any) -> Any:
        is_object = isinstance(values, Mapping)
        return {name: value for name, value in values.items() if value != ""} if is_object else values

    @post_load
    def _as_filter(self, values: dict[str, Any], **_more: Any) -> Any:
        return self.made_of(values)

    def made_of(self, values: dict[str, Any]) -> Any:
        """Return what the checked values make."""
        return MessageFilter.of(**values)


class MessagesQuery(FilterSchema):
    """A page of messages, of a list that goes on at the cursor."""

    limit = Number(HIGHEST_LIMIT, strict=False, load_default=DEFAULT_LIMIT)
    cursor = fields.UUID(error_messages={"invalid_uuid": FaultCode.INVALID_CURSOR})

    def made_of(self, values: dict[str, Any]) -> Any:
        """Return the filter, the limit and the cursor."""
        limit, cursor = values.pop("limit"), values.pop("cursor", None)
        return MessageFilter.of(**values), limit, cursor


class PageQuery(MessagesQuery):
    """The same as a form asks for it."""

    created_after = Moment(is_of_form=True)
    created_before = Moment(is_of_form=True)


class OrganizationsQuery(Strict):
    """A page of organizations, those whose databases were found so."""

    health = OneOf(Verdict)
    limit = Number(HIGHEST_LIMIT, strict=False, load_default=DEFAULT_LIMIT)
    cursor = fields.UUID(error_messages={"invalid_uuid": FaultCode.INVALID_CURSOR})

    @pre_load
    def _without_empty(self, values: Any, **_more: Any) -> Any:
        return {name: value for name, value in values.items() if value != ""}


class ReasonSchema(Strict):
    """Why something is done; it is kept with the act."""

    reason = Words(LONGEST_REASON, required=True)


class RequeueSchema(ReasonSchema):
    """The same, and what to correct on the way."""

    recipient = Words()
    locale = OneOf(Locale)


class RequeueForm(RequeueSchema):
    """The same as the page's form writes it: what is empty stays as it is."""

    @pre_load
    def _without_empty(self, values: Mapping[str, str], **_more: Any) -> dict[str, str]:
        return {name: value for name, value in values.items() if value.strip()}


class BulkSchema(ReasonSchema):
    """An act on all that a filter lets through; that this is everything that is dead has to be said."""

    wanted = fields.Nested(FilterSchema, required=True, data_key="filter", error_messages=CODES)
    dry_run = Switch(load_default=False)
    per_minute = Number(HIGHEST_PER_MINUTE, strict=True, load_default=None, allow_none=True)
    all = Switch(load_default=False)

    @validates_schema
    def _is_about_the_dead(self, values: dict[str, Any], **_more: Any) -> None:
        if values["wanted"].status not in (None, Status.DEAD):
            raise ValidationError({"filter": {"status": [FaultCode.ONLY_THE_DEAD]}})


class BulkForm(PageQuery):
    """The same as the page's form writes it: the filter's fields beside the others."""

    reason = Words(LONGEST_REASON, required=True)
    action = OneOf((Action.REQUEUE, Action.DISCARD), required=True)
    per_minute = Number(HIGHEST_PER_MINUTE, strict=False, load_default=None)
    all = Words(load_default="")

    @validates_schema
    def _is_about_the_dead(self, values: dict[str, Any], **_more: Any) -> None:
        if values.get("status") not in (None, Status.DEAD):
            raise ValidationError(FaultCode.ONLY_THE_DEAD, "status")

    def made_of(self, values: dict[str, Any]) -> Any:
        """Return the filter beside the other values."""
        others = {name: values.pop(name) for name in ("reason", "action", "per_minute", "all")}
        wanted, _, _ = super().made_of(values)
        return others | {"wanted": wanted}


class AuditQuery(Strict):
    """A page of the audit, whose cursor is an audit row's id."""

    limit = Number(HIGHEST_LIMIT, strict=False, load_default=DEFAULT_LIMIT)
    cursor = Number(2**63 - 1, strict=False, load_default=None)

    @post_load
    def _as_pair(self, values: dict[str, Any], **_more: Any) -> tuple[int, int | None]:
        return values["limit"], values["cursor"]
