"""What pages of ours have in common: one style sheet within, no script, and headers that allow nothing else."""

import base64
import hashlib
from importlib.resources import files


def style_named(name: str) -> str:
    """Return the style sheet of that name."""
    return files("api_service").joinpath(f"templates/{name}.css").read_text(encoding="utf-8")


def safe_headers(style: str, *, form_action: str = "'none'") -> dict[str, str]:
    """Return the headers of a page with that style sheet in it."""
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{style_hash}'; form-action {form_action};"
        " frame-ancestors 'none'; base-uri 'none'",
        "Referrer-Policy": "no-referrer",
    }
