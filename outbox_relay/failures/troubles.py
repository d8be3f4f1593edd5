"""What a provider's failures ask of operators, told by the words that the other tables put them into."""

import re
from enum import StrEnum


class Trouble(StrEnum):
    """``CERTIFICATE`` and ``CREDENTIALS`` end when a person does something; ``OTHER`` mostly by itself."""

    CERTIFICATE = "certificate"
    CREDENTIALS = "credentials"
    OTHER = "other"


# SMTP: RFC 4954 §6. HTTP: RFC 9110 §15.5.2 to §15.5.4, §15.5.8. SMPP 3.4 §5.1.3: RBINDFAIL, RINVPASWD, RINVSYSID.
_CERTIFICATE = re.compile(r"certificate not trusted|TLS failed|the server does not offer STARTTLS")
_CREDENTIALS = re.compile(
    r"AUTH: [45]|[A-Za-z]+: (?:432|530|534|535|538)\b|HTTP (?:401|402|403|407)\b"
    r"|the server offers neither AUTH|.*\bESME_R(?:BINDFAIL|INVPASWD|INVSYSID)\b"
)


def trouble_of(error: str) -> Trouble:
    """Sort the words of a failure of the provider's own."""
    if _CERTIFICATE.match(error):
        return Trouble.CERTIFICATE
    return Trouble.CREDENTIALS if _CREDENTIALS.match(error) else Trouble.OTHER
