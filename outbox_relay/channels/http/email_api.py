"""What the e-mail providers with an HTTP API have in common: their URLs, refusals, and the parts of an e-mail.

Each provider is one module with its requests and its error table. A provider that takes raw MIME gets the mail as it
was rendered. Any other composes the mail itself, from the parts that ``parts_of`` returns. It adds a DKIM signature of
its own, because one by the relay would not fit.
"""

import re
import ssl
from binascii import a2b_qp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.header import decode_header, make_header
from email.utils import parseaddr
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from outbox_relay.channels.http.session import HttpResponse, message_id_in
from outbox_relay.channels.urls import DeliveryContext, ProviderUrl, beside_urls, ssl_context
from outbox_relay.failures.http import HttpRule, http_rule_for
from outbox_relay.model import Failure, FailureClass, Sent
from shared.urls import host_and_port, is_loopback, is_web_url

_COMPOSED_BY_API = re.compile(
    r"from|to|subject|reply-to|date|mime-version|content-(?:type|transfer-encoding)|dkim-signature"
)
_BOUNDARY = re.compile(rb'boundary="([^"]+)"')
_FOLD = re.compile(rb"\r\n(?=[ \t])")


@dataclass(frozen=True)
class ApiAccount:
    """An account with an e-mail API, as its URL describes it. ``name`` and ``base_url`` hold no credentials."""

    name: str
    base_url: str
    key: str = field(repr=False)
    path: str
    options: Mapping[str, str]
    ssl_context: ssl.SSLContext


def api_account(url: ProviderUrl, context: DeliveryContext, *more_options: str, takes_path: bool = False) -> ApiAccount:
    """Read ``scheme://key@host?endpoint=…&key_file=…&ca=…``. Raises ValueError with a predicate."""
    options = url.options("ca", "endpoint", "key_file", *more_options)
    base_url = _base_url(url, options.get("endpoint"))
    account = ApiAccount(
        name=context.name(f"{url.scheme}:{urlsplit(base_url).netloc}"),
        base_url=base_url,
        key=_key(url, options.get("key_file")),
        path=url.path.strip("/"),
        options=options,
        ssl_context=ssl_context(options.get("ca")),
    )
    if account.path and not takes_path:
        raise ValueError(f"has a {url.scheme} URL with a path")
    return account


def _base_url(url: ProviderUrl, endpoint: str | None) -> str:
    if endpoint is None:
        return f"https://{host_and_port(url.host(), url.port)}"
    parts = urlsplit(endpoint) if is_web_url(endpoint) else None
    if parts is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"has a {url.scheme} URL whose endpoint is not an http or https URL of host, port and path")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"has a {url.scheme} URL whose endpoint is in clear on another machine: it would show its key")
    return endpoint.rstrip("/")


def _key(url: ProviderUrl, file: str | None) -> str:
    """Return what stands before the host, or in the file: a key, or two parts with a colon between."""
    given = unquote(url.netloc.rpartition("@")[0])
    if bool(given) == bool(file):
        raise ValueError(f"has a {url.scheme} URL without a key before its host or a key_file, or with both")
    try:
        key = beside_urls(file).read_text(encoding="utf-8").strip() if file else given
    except (OSError, UnicodeError):
        raise ValueError(f"has a {url.scheme} URL whose key_file cannot be read") from None
    if not (key and key.isascii() and key.isprintable()):
        raise ValueError(f"has a {url.scheme} URL with a key that cannot stand in a header")
    return key


def acceptance(api: str, response: HttpResponse, message_id: object) -> Sent | Failure:
    """Return the result of a 2xx. ``message_id`` is the value that the API promises to return.

    A wrong host or endpoint may respond to everything with 200 and a page. Its messages must not count as accepted.
    """
    found, content = message_id_in(message_id), response.content.strip()
    if found:
        return Sent(api, found)
    if content and not content.startswith(b"{"):
        return response.failure(
            api, FailureClass.PROVIDER, detail="not the API: check host and endpoint", is_about_message=False
        )
    if content and not response.json_object:
        return Sent(api)  # the body was cut off
    unknown = response.failure(api, FailureClass.TRANSIENT, detail="without a message id", is_about_message=False)
    return replace(unknown, maybe_accepted=True)


def refusal(
    api: str, rules: Sequence[HttpRule], response: HttpResponse, *, code: object = None, text: object = None
) -> Failure:
    """Return the failure that the table has for a response.

    ``code`` and ``text`` are what the API gives in its body, if anything. Without a text, the body is the text.
    Operators see both, after the meaning of the row.
    """
    given = str(code or ""), str(text or response.text)
    rule = http_rule_for(response.status, *given, rules=rules)
    detail = ": ".join(filter(None, (rule.meaning, *given)))
    return response.failure(api, rule.kind, detail=detail, is_about_message=rule.is_about_message)


def person(address: str, name: str = "") -> dict[str, str]:
    """Return an address as an object of JSON, in the form that several APIs share."""
    return {"email": address, "name": name} if name else {"email": address}


def objects_in(array: object) -> list[dict[str, Any]]:
    """Return the objects of an array of JSON; for any other value, an empty list."""
    return [each for each in array if isinstance(each, dict)] if isinstance(array, list) else []


@dataclass(frozen=True)
class MailParts:
    """The parts of a rendered e-mail. ``headers`` has the headers that the API does not compose."""

    sender_name: str
    sender: str
    reply_to: str
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]


def parts_of(content: bytes) -> MailParts:
    """Take a rendered e-mail apart. It has quoted-printable parts, or one text."""
    head, _, body = content.partition(b"\r\n\r\n")
    fields = [line.decode().partition(": ") for line in _FOLD.sub(b"", head).split(b"\r\n")]
    headers = {name.lower(): value for name, _, value in fields}
    sender_name, sender = _address(headers.get("from", ""))
    bodies = _bodies(head, body)
    return MailParts(
        sender_name=sender_name,
        sender=sender,
        reply_to=headers.get("reply-to", ""),
        subject=_decoded(headers.get("subject", "")),
        text=bodies[0],
        html=bodies[1] if len(bodies) > 1 else "",
        headers={name: value for name, _, value in fields if not _COMPOSED_BY_API.fullmatch(name.lower())},
    )


def _bodies(head: bytes, body: bytes) -> list[str]:
    boundary = _BOUNDARY.search(head)
    if boundary is None:
        return [body.decode()]
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1])[1:-1]
    return [a2b_qp(part.partition(b"\r\n\r\n")[2]).decode().replace("\r\n", "\n") for part in parts]


@lru_cache(maxsize=16)  # there is one sender
def _address(header: str) -> tuple[str, str]:
    name, address = parseaddr(header)
    return _decoded(name), address


@lru_cache(maxsize=256)  # one subject for each template and language
def _decoded(header: str) -> str:
    return str(make_header(decode_header(header)))
