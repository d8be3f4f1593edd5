"""The HTTP side of the inbox: the SMS gateway and the pages, in one application."""

from flask import Flask, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from devstack.inbox.gallery import gallery, sample_shower
from devstack.inbox.gateway import gateway
from devstack.inbox.pages import pages
from devstack.inbox.refusals import Refusals
from devstack.inbox.store import Store
from devstack.ports import LOOPBACK

PAGE_POLICY = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"


def create_app(store: Store, refusals: Refusals, sms_token: str) -> Flask:
    """Return the application."""
    app = Flask(__name__)
    # DNS rebinding: another site could let its name resolve to loopback, and read codes from here.
    app.config["TRUSTED_HOSTS"] = [LOOPBACK, "localhost"]
    app.register_blueprint(gateway(store, refusals, sms_token))
    app.register_blueprint(pages(store, refusals))
    app.register_blueprint(gallery(sample_shower()))
    app.after_request(_with_security_headers)
    return app


def listen(app: Flask, port: int) -> BaseWSGIServer:
    """Listen on loopback with a thread for each connection; port 0 means any free port."""
    return make_server(LOOPBACK, port, app, threaded=True, request_handler=_QuietRequestHandler)


class _QuietRequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # clients of a gateway reuse connections

    def log_request(self, *_about: object) -> None:
        """Log no requests: their paths contain addresses."""


def _with_security_headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response
