"""The body that a generic gateway posts to its ``callback_url``."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from receiver.callbacks.problems import ViolationCode
from shared.reports.receipts import DELAYED, DELIVERED, FAILED, REFUSED_CONTENT, REFUSED_NUMBER, Verdict

LONGEST_CODE, LONGEST_DETAIL = 40, 1000
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""A time outside is a gateway's mistake. PostgreSQL also accepts times that Python cannot read."""
_TEXT: dict[str, Any] = {"invalid": ViolationCode.INVALID_TYPE, "null": ViolationCode.INVALID_TYPE}

_FAILED_BY_CODE = {"invalid_recipient": REFUSED_NUMBER, "invalid_content": REFUSED_CONTENT}


class ReceiptSchema(Schema):
    """A receipt. Gateways may send further fields."""

    class Meta:
        """Ignore them."""

        unknown = EXCLUDE

    error_messages = {"type": ViolationCode.INVALID_TYPE}  # noqa: RUF012 - marshmallow's way

    status = fields.String(
        required=True,
        validate=validate.OneOf(["delivered", "failed", "delayed"], error=ViolationCode.INVALID_CHOICE),
        error_messages={"required": ViolationCode.REQUIRED, **_TEXT},
    )
    code = fields.String(
        load_default=None,
        validate=validate.Length(max=LONGEST_CODE, error=ViolationCode.TOO_LONG),
        error_messages=_TEXT,
    )
    detail = fields.String(
        load_default=None,
        validate=validate.Length(max=LONGEST_DETAIL, error=ViolationCode.TOO_LONG),
        error_messages=_TEXT,
    )
    at = fields.AwareDateTime(
        format="iso",
        load_default=None,
        validate=validate.Range(EARLIEST, LATEST, error=ViolationCode.INVALID_TIME),
        error_messages={
            "invalid": ViolationCode.INVALID_TIME,
            "invalid_awareness": ViolationCode.INVALID_TIME,
            "null": ViolationCode.INVALID_TIME,
        },
    )


def verdict_of(receipt: dict[str, Any]) -> Verdict:
    """Return the meaning of a receipt."""
    match receipt["status"]:
        case "delivered":
            return DELIVERED
        case "delayed":
            return DELAYED
        case _:
            return _FAILED_BY_CODE.get(receipt["code"] or "", FAILED)


def occurred_at(receipt: dict[str, Any]) -> datetime | None:
    """Return the gateway's time."""
    found: datetime | None = receipt["at"]
    return found
