"""What happens around every request: what is observed of any, and headers that keep other sites out."""

from operator_console.web.metrics import REQUEST_DURATION
from shared.web.observing import Observer

OBSERVER = Observer(
    REQUEST_DURATION,
    methods=("GET", "HEAD", "POST", "OPTIONS"),
    headers={
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    },
)
