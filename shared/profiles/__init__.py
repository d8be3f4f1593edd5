"""Own fields of users, by the JSON Schema in PROFILE_SCHEMA."""
