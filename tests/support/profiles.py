"""A schema of own fields with all features, and a profile that follows it."""

from typing import Any

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.org/profile.json",
    "type": "object",
    "properties": {
        "first_name": {"type": "string", "minLength": 1, "maxLength": 100},
        "last_name": {"type": "string", "maxLength": 100},
        "affiliate_id": {"type": "string", "pattern": "^A-[0-9]{4}$"},
        "born_on": {"type": "string", "format": "date"},
        "children": {"type": "integer", "minimum": 0},
        "size": {"type": "number"},
        "contact": {"enum": ["email", "phone"]},
        "either": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        "address": {"$ref": "#/$defs/address"},
        "notes": {"type": "array"},
        "plan": {"type": "string", "x-signpost": {"claim": True}},
        "role": {"enum": ["member", "manager"], "x-signpost": {"claim": True, "set_by": "operators"}},
    },
    "patternProperties": {"^note_[0-9]$": {"type": "string"}},
    "required": ["first_name"],
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            "additionalProperties": False,
        }
    },
}
GIVEN = {
    "first_name": "Ada",
    "affiliate_id": "A-1843",
    "address": {"street": "12 St. James's Square", "city": "London"},
    "plan": "free",
}
