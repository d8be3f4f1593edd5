"""Reading what the page's forms send."""

from typing import Any

from flask import request
from marshmallow import Schema

from operator_console.web.schemas import ReasonSchema
from shared.web.bodies import loaded

CSRF = "csrf"


def read_form(schema: Schema) -> Any:
    """Return what the schema makes of the form. Raises ValidationFailedError."""
    values = {name: value for name, value in request.form.items() if name != CSRF}
    return loaded(schema, values)


def read_reason() -> str:
    """Return why somebody does what the form is for."""
    reason: str = read_form(ReasonSchema())["reason"]
    return reason
