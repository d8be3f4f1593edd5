"""The headers and the style sheet of HTML pages: one inline style sheet, no scripts, nothing external."""

import base64
import hashlib
from importlib.resources import files


def style_named(name: str) -> str:
    """Return the style sheet with that name."""
    return files("api_service").joinpath(f"templates/{name}.css").read_text(encoding="utf-8")


def safe_headers(style: str, *, form_action: str = "'none'") -> dict[str, str]:
    """Return the headers of a page that contains that style sheet."""
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{style_hash}'; form-action {form_action};"
        " frame-ancestors 'none'; base-uri 'none'",
        "Referrer-Policy": "no-referrer",
    }
