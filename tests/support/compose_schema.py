"""A JSON schema for docker-compose.yml: only the part of the Compose specification that the file uses.

It is strict, so that a misspelled key fails here and not on the first machine with an engine.
https://github.com/compose-spec/compose-spec/blob/main/05-services.md
"""

from typing import Any

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "uniqueItems": True}
DURATION = {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$", "minLength": 2}
TEXTS_BY_NAME = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}


def exactly(*required: str, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


DEPENDENCY = exactly(
    "condition",
    condition={"enum": ["service_started", "service_healthy", "service_completed_successfully"]},
    required={"type": "boolean"},
)

HEALTHCHECK = exactly(
    "test",
    test={"type": "array", "prefixItems": [{"const": "CMD"}], "items": TEXT, "minItems": 2},
    interval=DURATION,
    timeout=DURATION,
    start_period=DURATION,
    retries={"type": "integer", "minimum": 1},
)

ENV_FILES = {"type": "array", "items": exactly("path", path=TEXT, required={"type": "boolean"}), "minItems": 1}

LOGGING = exactly("driver", driver=TEXT, options={"type": "object", "additionalProperties": TEXT})

SERVICE = exactly(
    "image",
    "restart",
    image=TEXT,
    build=TEXT,
    profiles=TEXTS,
    command=TEXTS,
    restart={"type": "string", "pattern": r"^(no|always|unless-stopped|on-failure(:\d+)?)$"},
    logging=LOGGING,
    user={"type": "string", "pattern": r"^[1-9]\d+:[1-9]\d+$"},
    read_only={"type": "boolean"},
    init={"type": "boolean"},
    tmpfs=TEXTS,
    cap_add=TEXTS,
    cap_drop=TEXTS,
    security_opt=TEXTS,
    env_file=ENV_FILES,
    environment=TEXTS_BY_NAME,
    secrets=TEXTS,
    volumes=TEXTS,
    ports=TEXTS,
    network_mode={"enum": ["host", "none"]},
    shm_size=TEXT,
    stop_grace_period=DURATION,
    depends_on={"type": "object", "additionalProperties": DEPENDENCY},
    healthcheck=HEALTHCHECK,
)

COMPOSE = exactly(
    "services",
    name={"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
    services={"type": "object", "additionalProperties": SERVICE},
    volumes={"type": "object", "additionalProperties": {"type": ["object", "null"]}},
    secrets={"type": "object", "additionalProperties": exactly("file", file=TEXT)},
) | {"patternProperties": {"^x-": {}}}
