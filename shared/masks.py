"""What is shown of an address; apart from ``addresses``, whose libraries are slow to import and of no use for it."""


def masked(address: str) -> str:
    """Return enough of an address to recognise one's own, and too little to write to anyone else's.

    ``ada@example.org`` becomes ``a…@example.org``, ``+33612345678`` becomes ``+33…78``.
    """
    local, at, domain = address.partition("@")
    if at:
        return f"{local[:1]}…@{domain}"
    return f"{address[:3]}…{address[-2:]}"
