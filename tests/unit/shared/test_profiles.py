"""A schema of own fields is checked completely when it is read, and profiles are checked within limits."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.profile_schema_checks import RESERVED_CLAIMS
from shared.profiles import (
    MAX_CLAIMS_BYTES,
    MAX_FILE_BYTES,
    MAX_PROFILE_BYTES,
    ProfileSchema,
    ProfileSchemaError,
    merge_patch,
    read_profile_schema,
)
from tests.support.profiles import GIVEN, SCHEMA


@cache
def any_fields() -> ProfileSchema:
    return ProfileSchema({"type": "object", "additionalProperties": True})


def with_field(field: Any, name: str = "field", **keywords: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: field}, **keywords}


def errors_of(schema: Any) -> list[str]:
    with pytest.raises(ProfileSchemaError) as problem:
        ProfileSchema(schema)
    return [*problem.value.args]


def broken(schema: ProfileSchema, profile: Any) -> list[tuple[str, str]]:
    return [(violation.pointer, str(violation.code)) for violation in schema.violations_in(profile)]


REFERENCE = "a reference names a schema in this file, such as #/$defs/address"
UNSUPPORTED = "this keyword does not exist or is not supported"
ONLY_OWN = "only the profile's own properties can be marked"
NO_MARK = 'it is not such as {"claim": true, "set_by": "operators"}'
CYCLE = "it refers to itself without an object or array between"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
STRICT = {"additionalProperties": False}
MARK = {"x-signpost": {"set_by": "operators"}}


@pytest.mark.parametrize(
    ("schema", "place", "error"),
    [
        (True, "#", 'a profile is an object: "type": "object" is missing'),
        ({}, "#", 'a profile is an object: "type": "object" is missing'),
        ([], "#", "[] is not of type 'object', 'boolean'"),
        ({"type": "object", "$schema": DRAFT_7}, "#/$schema", "it is not https://json-schema.org/draft/2020-12/schema"),
        (
            with_field({"type": "strng"}),
            "#/properties/field/type",
            "'strng' is not valid under any of the given schemas",
        ),
        (with_field({"minLength": "1"}), "#/properties/field/minLength", "'1' is not of type 'integer'"),
        (with_field({"pattern": "("}), "#/properties/field/pattern", "'(' is not a 'regex'"),
        ({"type": "object", "patternProperties": {"(": {}}}, "#/patternProperties", "'(' is not a 'regex'"),
        (with_field({"maxLenght": 9}), "#/properties/field/maxLenght", UNSUPPORTED),
        (with_field({"$anchor": "a"}), "#/properties/field/$anchor", UNSUPPORTED),
        (with_field({"$id": "https://a"}), "#/properties/field/$id", UNSUPPORTED),
        (with_field({"$dynamicRef": "#a"}), "#/properties/field/$dynamicRef", UNSUPPORTED),
        (with_field({"$ref": "https://example.org/a"}), "#/properties/field/$ref", REFERENCE),
        (with_field({"$ref": "other.json#/a"}), "#/properties/field/$ref", REFERENCE),
        (with_field({"$ref": "#/$defs/none"}), "#/properties/field/$ref", REFERENCE),
        (with_field({"$ref": "#/properties"}), "#/properties/field/$ref", REFERENCE),
        (with_field({"$ref": "#/properties/field"}), "#/properties/field", CYCLE),
        (with_field({}, allOf=[{"$ref": "#"}]), "#", CYCLE),
        (with_field({"x-signpost": {"set_by": "users"}}), "#/properties/field/x-signpost", NO_MARK),
        (with_field({"x-signpost": {"claim": "yes"}}), "#/properties/field/x-signpost", NO_MARK),
        (with_field({"x-signpost": {"claims": True}}), "#/properties/field/x-signpost", NO_MARK),
        (with_field({"x-signpost": {"claim": [True]}}), "#/properties/field/x-signpost", NO_MARK),
        (with_field({"x-signpost": []}), "#/properties/field/x-signpost", NO_MARK),
        ({"type": "object", **MARK}, "#/x-signpost", ONLY_OWN),
        (with_field({"properties": {"a": MARK}}), "#/properties/field/properties/a/x-signpost", ONLY_OWN),
        (with_field({}, allOf=[{"properties": {"a": MARK}}]), "#/allOf/0/properties/a/x-signpost", ONLY_OWN),
        (with_field({}, **{"$defs": {"a": MARK}}), "#/$defs/a/x-signpost", ONLY_OWN),
        (
            with_field(MARK, required=["field"]),
            "#/required",
            "operators set 'field' later, so a registration cannot have it",
        ),
    ],
)
def test_an_error_in_a_schema_names_its_place(schema: Any, place: str, error: str) -> None:
    found = errors_of(schema)
    assert f"is wrong at {place}: {error}" in found
    assert {line.split(": ")[0] for line in found} == {f"is wrong at {place}"}


@pytest.mark.parametrize("name", sorted(RESERVED_CLAIMS))
def test_reserved_claims_are_rejected(name: str) -> None:
    field = {"x-signpost": {"claim": True}}
    assert errors_of(with_field(field, name)) == [
        f"is wrong at #/properties/{name}/x-signpost: the claim '{name}' is reserved"
    ]
    ProfileSchema(with_field({"x-signpost": {"claim": False}}, name))


def test_all_errors_of_a_schema_are_reported() -> None:
    assert len(errors_of(with_field({"maxLenght": 9, "$ref": "other.json"}))) == 2


def test_a_long_error_is_shortened() -> None:
    [error] = errors_of(with_field({"minLength": "1" * 5000}))
    assert len(error) < 300


def test_a_file_is_read_within_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"

    def read(content: bytes) -> str:
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"^(is|has) ") as problem:
            read_profile_schema(file)
        return str(problem.value)

    whole = json.dumps(SCHEMA).encode()
    assert read(b" " * (MAX_FILE_BYTES + 1)) == "has more than 64 KiB"
    assert read(b"{").startswith("is not JSON: ")
    assert read(b"\xff").startswith("is not JSON: ")
    twice = b'{"type":"object","properties":{"role":{"x-signpost":{"set_by":"operators"}}},"properties":{"role":{}}}'
    assert read(twice) == "is not JSON: a name occurs twice"
    assert read(b'{"type":"object","maxProperties":NaN}') == "is not JSON: NaN is not JSON"
    assert read(b'{"not":' * 5000 + b"{}" + b"}" * 5000) == "is nested too deeply"
    assert "is wrong at #" in read(b"{}")
    file.write_bytes(whole + b" " * (MAX_FILE_BYTES - len(whole)))
    assert read_profile_schema(file).violations_in(GIVEN) == []
    file.unlink()
    with pytest.raises(ValueError, match="cannot be read: FileNotFoundError"):
        read_profile_schema(file)


def test_the_limits_are_exact() -> None:
    assert broken(any_fields(), {"a": "x" * (MAX_PROFILE_BYTES - len('{"a":""}'))}) == []
    assert broken(any_fields(), {"a": "x" * (MAX_PROFILE_BYTES - len('{"a":""}') + 1)}) == [("", "too_large")]
    assert broken(any_fields(), {"a": [[[[1]]]]}) == []
    assert broken(any_fields(), {"a": [[[[[]]]]]}) == [("/a/0/0/0/0", "too_deep")]
    assert broken(any_fields(), {"a": 2**53 - 1, "b": 1e-15, "c": 0.0, "d": "tab\tand\r\nlines"}) == []
    assert broken(any_fields(), {"a": -(2**53)}) == [("/a", "out_of_range")]
    for number in (float("nan"), float("inf"), 1e-16, 10**400):
        assert broken(any_fields(), {"a": number}) == [("/a", "out_of_range")]


def test_a_line_end_at_the_end_is_rejected_because_patterns_would_accept_it() -> None:
    code = with_field({"pattern": "^A-[0-9]{4}$"}, patternProperties={"^x-[a-z]$": {}})
    assert broken(ProfileSchema(code), {"field": "A-1843", "x-a": 1}) == []
    assert broken(ProfileSchema(code), {"field": "A-1843\n"}) == [("/field", "control_character")]
    assert broken(ProfileSchema(code), {"x-a\n": 1}) == [("", "control_character")]


def test_unlisted_fields_are_rejected_unless_the_schema_says_otherwise() -> None:
    assert broken(ProfileSchema({"type": "object"}), {"a": 1}) == [("/a", "unknown_field")]
    rest = {"type": "object", "additionalProperties": {"type": "string"}}
    assert broken(ProfileSchema(rest), {"a": 1, "b": ""}) == [("/a", "invalid_type")]
    whole = {"type": "object", "allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}
    assert broken(ProfileSchema(whole), {"a": 1}) == []
    assert broken(ProfileSchema(whole), {"b": 1}) == [("", "unknown_field")]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (False, 1, [("", "unknown_field")]),
        ({"format": "email"}, "ada@", [("/field", "invalid_format")]),
        ({"format": "email"}, 1, []),
        ({"format": "uuid"}, "1-2", [("/field", "invalid_format")]),
        ({"format": "ipv4"}, "1.2.3.400", [("/field", "invalid_format")]),
        ({"format": "ipv6"}, "::g", [("/field", "invalid_format")]),
        ({"format": "date-time"}, "not checked", []),
        ({"const": 1}, True, [("/field", "invalid_choice")]),
        ({"multipleOf": 0.5}, 0.7, [("/field", "out_of_range")]),
        ({"maxItems": 1, "uniqueItems": True}, [1, 1], [("/field", "too_long"), ("/field", "invalid_value")]),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, [("/field/b", "required")]),
        ({"required": ["a", "b"]}, {}, [("/field/a", "required"), ("/field/b", "required")]),
        ({"patternProperties": {"x": {}}, **STRICT}, {"x": 1, "y": 1}, [("/field/y", "unknown_field")]),
        ({"items": {"type": "string"}}, ["a", 1], [("/field/1", "invalid_type")]),
        ({"not": {}}, 1, [("/field", "invalid_value")]),
        ({"contains": {"const": 1}}, [], [("/field", "invalid_value")]),
    ],
)  # fmt: skip
def test_each_violation_has_a_place_and_a_code(field: Any, value: Any, expected: list[tuple[str, str]]) -> None:
    assert broken(ProfileSchema(with_field(field)), {"field": value}) == expected


def test_a_field_may_refer_to_the_whole_schema_through_an_object() -> None:
    tree = ProfileSchema(with_field({"$ref": "#"}))
    assert broken(tree, {"field": {"field": {}}}) == []
    assert broken(tree, {"field": {"field": 1}}) == [("/field/field", "invalid_type")]


def test_claims_have_a_size_of_their_own() -> None:
    schema = ProfileSchema(with_field({"x-signpost": {"claim": True}}, "plan", additionalProperties=True))
    fitting = {"plan": "x" * (MAX_CLAIMS_BYTES - len('{"plan":""}')), "note": "x" * 2000}
    assert broken(schema, fitting) == []
    assert schema.claims_of(fitting) == {"plan": fitting["plan"]}
    larger = {"plan": fitting["plan"] + "x"}
    assert broken(schema, larger) == [("", "too_large")]
    assert schema.claims_of(larger) == {}


def test_the_examples_of_rfc_7396_are_merged_as_there() -> None:
    examples: list[tuple[Any, Any, Any]] = [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ]
    assert [merge_patch(target, patch) for target, patch, _ in examples] == [result for _, _, result in examples]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
KEYWORDS = st.sampled_from(
    ["$ref", "$defs", "$id", "allOf", "not", "if", "items", "properties", "patternProperties", "required", "type",
     "minimum", "format", "x-signpost", "additionalProperties", "dependentSchemas", "enum", "pattern"]
)  # fmt: skip
KEYWORD_VALUES = st.sampled_from(["#", "#/$defs/a", "object", "string", "(", 0, True, "#/properties/a"])
SCHEMAS = st.recursive(
    KEYWORD_VALUES | JSON_VALUES,
    lambda inner: (
        st.dictionaries(KEYWORDS | st.sampled_from(["a", "b"]), inner, max_size=4) | st.lists(inner, max_size=2)
    ),
)


@given(schema=st.dictionaries(KEYWORDS, SCHEMAS, max_size=5), profile=st.dictionaries(st.text(), JSON_VALUES))
def test_any_schema_is_rejected_at_the_start_or_checks_any_profile(schema: Any, profile: Any) -> None:
    try:
        checked = ProfileSchema({"type": "object"} | schema)
    except ProfileSchemaError:
        return
    checked.violations_by_user(profile)
    for one in (profile, profile | {"a": {"a": {}}}):
        checked.violations_in(one)
        checked.claims_of(one)
