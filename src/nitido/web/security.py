"""What stands between the network and the page: names, passwords, other sites, and what is served.

All of it is middleware, so it holds for every path: page, uploads, downloads and the API.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import re
import secrets
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
POLICY_HEADER = b"content-security-policy"
UPLOADS = "/api/pieces"  # where files are sent
HEALTH = "/health"  # open to everybody: it tells nothing
BODY_MAX_BYTES = 2**20  # of what is asked, files apart
PATIENCE_SECONDS = 30.0  # until the next bytes of what is sent must be there
SHOWN = ("/", "/generate", "/compare", "/docs")  # pages, to which another site may link
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
NO_NAME = (
    "is no name of this server; use its address, or start it with --name and what it is called."
)
PORTS = {"http": "80", "https": "443"}  # which a browser does not say
# Names that nobody can own on the internet, and so none that an attacker's page could have.
PRIVATE = (".local", ".localhost", ".lan", ".internal", ".home.arpa")
# A browser that shows the page asks no other host, and runs no script but the page's own.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'nonce-{nonce}'",
        "style-src 'nonce-{nonce}'",
        "img-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
# A report has a policy inside that lets only its own script and style run; it is shut off besides.
REPORT_POLICY = (
    "sandbox allow-scripts allow-modals; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
LATER = (b"retry-after", b"60")
HEADERS = (
    (b"cross-origin-opener-policy", b"same-origin"),
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
        elif scope["method"] not in METHODS:
            await refuse(send, 405, "This page is read and written to, and nothing else.")
        else:
            await self._let_in(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with a nonce for its page; what it asks is read and bounded before."""
        scope = {**scope, "nonce": (nonce := secrets.token_urlsafe(16))}
        if scope["path"] == UPLOADS:  # files are streamed to the disk, and bounded there
            receive = patient(receive)
        else:
            body = await _body(patient(receive))
            if body is None:
                await refuse(send, 408, "What was asked has not come to its end.")
                return
            if len(body) > BODY_MAX_BYTES:
                text = f"A request may have {BODY_MAX_BYTES} bytes; files are uploaded."
                await refuse(send, 413, text)
                return
            receive = _again(body, receive)
        await self._app(scope, receive, _with_headers(send, nonce))

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
    reads = scope["method"] in ("GET", "HEAD") and scope["path"] in SHOWN
    kind = (said.get("sec-fetch-mode"), said.get("sec-fetch-dest"))
    link = reads and kind == ("navigate", "document")
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


def patient(receive: Receive) -> Receive:
    """Wait for what is sent, but not for ever."""

    async def receive_in_time() -> MutableMapping[str, Any]:
        try:
            return await asyncio.wait_for(receive(), PATIENCE_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}

    return receive_in_time


async def _body(receive: Receive) -> bytes | None:
    """Return what is asked, up to a little more than is allowed; None if its end does not come."""
    body, more = b"", True
    while more and len(body) <= BODY_MAX_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read already, then waits for the end of the connection."""
    unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_read() -> MutableMapping[str, Any]:
        return unread.pop() if unread else await receive()

    return receive_read


def _with_headers(send: Send, nonce: str = "") -> Send:
    """Add what a browser is told."""

    async def send_more(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            if not any(name.lower() == POLICY_HEADER for name, _ in given):
                given.append((POLICY_HEADER, POLICY.format(nonce=nonce).encode("ascii")))
            message = {**message, "headers": [*given, *HEADERS]}
        await send(message)

    return send_more


async def refuse(
    send: Send, status: int, text: str, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer a request that goes no further."""
    plain = (b"content-type", b"text/plain; charset=utf-8")
    policy = (POLICY_HEADER, b"default-src 'none'")
    headers = [plain, policy, *HEADERS, *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
