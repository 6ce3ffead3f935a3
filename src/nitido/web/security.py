"""What stands between the network and the page: names, passwords, other sites, and what is served.

All of it is middleware, so it holds for every path: page, uploads, downloads and the API.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

GUESSES_MAX, GUESS_SECONDS = 10, 60.0  # wrong passwords of one client, within
CLIENTS_MAX = 10_000  # whose guesses are remembered
OPEN_MAX, OPEN_PER_CLIENT = 512, 64  # requests that are being answered; an open page is two
HEALTH = "/health"  # open to everybody: it tells nothing
# What the page and gradio_client ask for; nothing else that Gradio would answer is answered.
_READ = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/(assets|static)/[\w./-]+|/pieces/.+"
    r"|/gradio_api/(app_id|info|upload_progress|queue/data|heartbeat/[\w-]{1,64}|file=.+)"
)
_WRITE = re.compile(r"/gradio_api/(upload|queue/join|run/predict|cancel|reset)")
SERVED = {"GET": _READ, "HEAD": _READ, "POST": _WRITE}
NO_NAME = (
    "is no name of this server; use its address, or start it with --name and what it is called."
)
PORTS = {"http": "80", "https": "443"}  # which a browser does not say
# Names that nobody can own on the internet, and so none that an attacker's page could have.
PRIVATE = (".local", ".localhost", ".lan", ".internal", ".home.arpa")
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
LATER = (b"retry-after", b"60")
HEADERS = (
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Security:
    """Middleware that lets through who knows the password and comes from the page itself.

    A page of another site must not use this one through the browser of its visitor: not by a
    script or a form, and not under a name of its own that it lets point here (DNS rebinding).
    """

    def __init__(
        self,
        app: App,
        *,
        auth: tuple[str, str] | None = None,
        host: str = "127.0.0.1",
        names: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember what the server is.

        Args:
            app: that is guarded.
            auth: user name and password that are asked for; None asks for none.
            host: address that the server listens on.
            names: by which it is called besides, by a proxy or in its network.
            clock: in seconds.
        """
        self._app = app
        self._auth = auth
        self._clock = clock
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._open: Counter[str] = Counter()
        self._loopback = _is_loopback(host)
        own = (host, socket.gethostname(), *names) if not self._loopback else names
        self._names = {_name(name) for name in own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused; pass the others on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["path"] == HEALTH and scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, _with_headers(send))
            return
        client = client_of(scope)
        if self._open[client] >= OPEN_PER_CLIENT or self._open.total() >= OPEN_MAX:
            await refuse(send, 503, "Too much is asked at once; come again in a while.", [LATER])
            return
        self._open[client] += 1
        try:
            await self._answer(scope, receive, send, client)
        finally:
            self._open[client] -= 1
            self._open += Counter()  # forgets who asks for nothing

    async def _answer(self, scope: Scope, receive: Receive, send: Send, client: str) -> None:
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        served = SERVED.get(scope["method"])
        given = headers.get("authorization", b"")
        if not self._is_called(name := _name(headers.get("host", b"").decode("latin-1"))):
            await refuse(send, 403, f"{name or 'No name'} {NO_NAME}")
        elif _from_elsewhere(scope, headers):
            await refuse(send, 403, "Another site may not use this page.")
        elif self._guesses(client):
            await refuse(send, 429, "Too many wrong passwords; wait for a minute.", [LATER])
        elif not self._knows(given):
            if given:
                self._wrong.setdefault(client, []).append(self._clock())
                while len(self._wrong) > CLIENTS_MAX:
                    self._wrong.popitem(last=False)
            ask = [(b"www-authenticate", b'Basic realm="nitido", charset="UTF-8"')]
            await refuse(send, 401, "This page asks for a user name and a password.", ask)
        elif served is None:
            await refuse(send, 405, "This page is read and written to, and nothing else.")
        elif not served.fullmatch(scope["path"]):
            await refuse(send, 404, "There is nothing here.")
        else:
            await self._app(scope, receive, _with_headers(send))

    def _is_called(self, name: str) -> bool:
        """Return whether a request may call the server so.

        An address is never a name of somebody else's. Where a password is asked for, a foreign name
        leads nowhere: the browser knows the password by the name of the page that it was given to.
        """
        if name in self._names or _is_loopback(name):
            return True
        if self._loopback or not name:
            return False
        try:
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return self._auth is not None or "." not in name or name.endswith(PRIVATE)

    def _guesses(self, client: str) -> bool:
        """Return whether a client has guessed so often that it has to wait."""
        since = self._clock() - GUESS_SECONDS
        recent = [then for then in self._wrong.pop(client, ()) if then > since]
        if recent:
            self._wrong[client] = recent
        return len(recent) >= GUESSES_MAX

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


def client_of(scope: Scope) -> str:
    """Return the address that a request comes from; one network of IPv6 is one client."""
    host = str((scope.get("client") or ("",))[0])
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(host: str) -> str:
    """Return the name in a Host header, without its port; empty if that is none.

    >>> _name("Music.test:8000"), _name("[::1]:8000"), _name("a@b")
    ('music.test', '::1', '')
    """
    found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([\w.-]+?)\.?)(?::\d+)?", host.strip().lower())
    return (found[1] or found[2]) if found else ""


def _from_elsewhere(scope: Scope, headers: dict[str, bytes]) -> bool:
    """Return whether another site sent the request; its links may lead here, and nothing more.

    What the browser says of the site it says only where there is TLS, or on the same computer;
    without it, only what writes is known to come from elsewhere.
    """
    said = {name: value.decode("latin-1") for name, value in headers.items()}
    reads = scope["method"] in ("GET", "HEAD")
    shown = scope["path"] == "/" or scope["path"].startswith("/pieces/")
    link = (
        reads
        and shown
        and (said.get("sec-fetch-mode"), said.get("sec-fetch-dest"))
        == (
            "navigate",
            "document",
        )
    )
    if said.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return not link
    origin = said.get("origin")
    if origin is None:
        return False
    # A proxy tells what it is called; a page cannot, unless its own origin has let it already.
    scheme = _first(said.get("x-forwarded-proto")) or scope.get("scheme", "http")
    hosts = (said.get("host"), _first(said.get("x-forwarded-host")))
    own = {_origin(f"{scheme}://{host}") for host in hosts if host}
    return _origin(origin) not in own


def _first(values: str | None) -> str:
    """Return the first of several values of a header: what the outermost proxy has said."""
    return (values or "").split(",")[0].strip()


def _origin(origin: str) -> str:
    """Return an origin without what need not be said.

    >>> _origin("HTTPS://Music.test:443"), _origin("http://music.test:443")
    ('https://music.test', 'http://music.test:443')
    """
    scheme, _, host = origin.lower().partition("://")
    return f"{scheme}://{host.removesuffix(f':{PORTS.get(scheme)}')}"


def _with_headers(send: Send) -> Send:
    """Add what a browser is told; Gradio allows other origins, which is taken out."""

    async def send_more(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers", ())
            kept = [(n, v) for n, v in given if not n.lower().startswith(b"access-control-")]
            message = {**message, "headers": [*kept, *HEADERS]}
        await send(message)

    return send_more


async def refuse(
    send: Send, status: int, text: str, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer a request that goes no further."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS, *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
