"""What a server's certificate may do to whoever connects, beside not being trusted."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def readable_certificate() -> Iterator[None]:
    """Raise ConnectionAbortedError where a name in the certificate cannot be read.

    Python's ssl decodes the names once it trusts the certificate, and raises UnicodeDecodeError for one that is not
    UTF-8: no error of the network, and yet the server's.
    """
    try:
        yield
    except UnicodeError:
        raise ConnectionAbortedError("the server's certificate has a name that cannot be read") from None
