"""An HTTPS server that takes raw e-mails for a ``MailSink``, as a provider with ``https+mime`` does."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.http_gateway import HttpGateway, Request, answer
from tests.support.mail_sink import MailSink


@contextmanager
def https_sink(mails: MailSink, tls: ssl.SSLContext) -> Iterator[HttpGateway]:
    """Run the server on the loop of ``mails``, where its mails arrive together with those over SMTP."""

    def take(request: Request) -> bytes:
        mails.take(request.headers["x-envelope-to"], request.content)
        return answer(202)

    gateway = HttpGateway(take, tls)
    asyncio.run_coroutine_threadsafe(gateway.__aenter__(), mails.loop).result(5)
    try:
        yield gateway
    finally:
        asyncio.run_coroutine_threadsafe(gateway.__aexit__(None, None, None), mails.loop).result(10)
