"""Hypothesis strategies for requests: any JSON, with a preference for valid members, and headers."""

from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.support.api import PASSWORD

NAMES = (
    "email", "phone", "password", "full_name", "locale", "channel", "token", "registration_id", "code",
    "old_password", "new_password", "refresh_token",
)  # fmt: skip

texts = st.text(st.characters(codec=None), max_size=60)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
near = st.sampled_from(
    [
        "ada@example.org",
        "+33612345678",
        PASSWORD,
        "en",
        "email",
        "123456",
        str(UUID(int=1)),
        "",
        "\0",
        "\ud800",
        "\u202e",
    ]
)
bodies = st.dictionaries(st.sampled_from(NAMES) | texts, near | values, max_size=6)
headers = st.dictionaries(
    st.sampled_from(
        ["Prefer", "Idempotency-Key", "Accept-Language", "X-Forwarded-For", "Origin", "X-Request-Id", "Content-Type",
         "Content-Encoding", "Accept", "Cookie", "Authorization", "Range"]
    ),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60),
    max_size=3,
)  # fmt: skip
many = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
