"""Reading what a script or a page asks for in its query."""

from typing import Any

from flask import request
from marshmallow import Schema

from operator_console.web.errors import FaultCode
from shared.web.bodies import loaded
from shared.web.refusals import Fault, ValidationFailedError


def asked() -> dict[str, str]:
    """Return what the query asks for, but for where its list goes on: what links within the list carry along."""
    return {name: value for name, value in request.args.items() if value and name != "cursor"}


def read_query(schema: Schema) -> Any:
    """Return what the schema makes of the query; a field that stands there twice is refused."""
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise ValidationFailedError([Fault(name, FaultCode.INVALID_TYPE) for name in twice])
    return loaded(schema, request.args.to_dict())
