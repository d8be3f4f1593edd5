"""Masked addresses for people. Separate from ``addresses``, which is slow to import."""


def masked(address: str) -> str:
    """Return enough of an address to recognize one's own, and too little to use another's.

    ``ada@example.org`` becomes ``a…@example.org``, ``+33612345678`` becomes ``+33…78``.
    """
    local, at, domain = address.partition("@")
    if at:
        return f"{local[:1]}…@{domain}"
    return f"{address[:3]}…{address[-2:]}"
