"""One TLS context for all clients of this process: reading the certificates takes 50 ms each time."""

import ssl
from functools import lru_cache


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()
