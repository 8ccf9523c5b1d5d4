"""Who is calling: the `X-API-Key` header, compared in constant time.

Owns the check and the digest that stands for a key everywhere else. Refuses to keep or log the key itself.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from sir_convert_a_lot.domain.errors import AuthInvalidApiKey

OWNER_DIGITS = 32  # hex digits of the digest: enough to tell keys apart, useless for finding one

key_header = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)


class Access:
    """The one configured key, or None when the service runs without keys on loopback."""

    def __init__(self, api_key: str | None) -> None:
        self._digest = None if api_key is None else _digest(api_key.encode())
        self._owner = "" if self._digest is None else self._digest.hex()[:OWNER_DIGITS]

    def identify(self, given: str | None) -> str:
        """The caller's owner digest; "" without keys. Raises `AuthInvalidApiKey`."""
        if self._digest is None:
            return self._owner
        # A header's bytes arrive decoded as latin-1; the digest makes both sides of one length.
        if given is None or not hmac.compare_digest(_digest(given.encode("latin-1")), self._digest):
            raise AuthInvalidApiKey("the header X-API-Key is missing or its key is wrong")
        return self._owner


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


async def require_key(request: Request, given: Annotated[str | None, Security(key_header)]) -> str:
    """Dependency of every `/v1` route: the owner digest."""
    access: Access = request.app.state.context.access
    return access.identify(given)


Owner = Annotated[str, Depends(require_key)]
