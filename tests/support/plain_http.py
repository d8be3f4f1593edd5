"""Single requests to the servers of tests, which speak plain HTTP.

For each request outside a client, httpx loads all certificate authorities, and that takes 25 ms of CPU. These do not.
"""

import ssl
from functools import partial

import httpx

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

get = partial(httpx.get, verify=_NO_AUTHORITIES)
post = partial(httpx.post, verify=_NO_AUTHORITIES)
request = partial(httpx.request, verify=_NO_AUTHORITIES)
