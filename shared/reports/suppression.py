"""The suppression list: addresses that get no messages for a while, known only by keyed hashes."""

from collections.abc import Mapping
from enum import StrEnum
from hashlib import blake2b

from shared.secrets import SecretKeys


class SuppressionReason(StrEnum):
    """Why an address is suppressed. A complaint does not suppress codes to an address that was proven."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPERATOR = "operator"


def suppression_hashes(canonical: str, keys: SecretKeys) -> Mapping[str, bytes]:
    """Return the hash of a canonical address under each of FEEDBACK_KEYS, by the key's id, newest first.

    An entry made with an older key is found as long as that key is in the setting.
    """
    return {
        key_id: blake2b(canonical.encode(), key=key, digest_size=16, person=b"signpost/suppres").digest()
        for key_id, key in keys.by_id.items()
    }
