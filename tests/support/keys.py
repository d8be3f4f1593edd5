"""The server's keys in tests, and its issuer name in access tokens."""

import base64

from shared.secrets import SecretKeys

KEY_ID = "test"
KEY = bytes(range(32))
KEYS = SecretKeys({KEY_ID: KEY})
SECRET_KEYS = f"{KEY_ID}:{base64.b64encode(KEY).decode()}"
PUBLIC_URL = "https://signpost.example"
