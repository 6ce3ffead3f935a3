"""What stands between the network and the page: passwords, other sites, and where a browser goes.

All of it is middleware, so it holds for every path: page, uploads, downloads and the API.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from nitido.web.names import App, Receive, Scope, Send

HEALTH = "/health"  # open to everybody: it tells nothing
# A browser that shows the page asks no other host, whatever a script in it may try.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Gradio's templates are compiled
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Guard:
    """Middleware that lets through who knows the password and comes from the page itself."""

    def __init__(self, app: App, *, auth: tuple[str, str] | None = None) -> None:
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused; pass the others on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        if _from_elsewhere(headers):
            await _refuse(send, 403, "Another site may not use this page.")
        elif scope["path"] != HEALTH and not self._knows(headers.get("authorization", b"")):
            ask = [(b"www-authenticate", b'Basic realm="nitido", charset="UTF-8"')]
            await _refuse(send, 401, "This page asks for a user name and a password.", ask)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _knows(self, authorization: bytes) -> bool:
        """Return whether name and password are right; takes as long whichever is wrong."""
        if self._auth is None:
            return True
        kind, _, coded = authorization.partition(b" ")
        try:
            given = base64.b64decode(coded, validate=True) if kind.lower() == b"basic" else b""
        except binascii.Error:
            given = b""
        user, _, password = given.partition(b":")
        right_user = hmac.compare_digest(user, self._auth[0].encode())
        right_password = hmac.compare_digest(password, self._auth[1].encode())
        return right_user & right_password


def _from_elsewhere(headers: dict[str, bytes]) -> bool:
    """Return whether another site sent the request by a script or a form; links may be used."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == b"cross-site" and headers.get("sec-fetch-mode") != b"navigate"
    origin = headers.get("origin")  # browsers send the other header only where there is TLS
    if origin is None:
        return False
    own = {headers.get("host", b""), headers.get("x-forwarded-host", b"")}
    return urlsplit(origin.decode("latin-1")).netloc.encode("latin-1") not in own


def _with_headers(send: Send) -> Send:
    async def send_more(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    return send_more


async def _refuse(
    send: Send, status: int, text: str, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS, *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
