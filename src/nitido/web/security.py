"""Middleware between the network and the page: names, passwords, other sites, sizes, headers.

It holds for every path: page, uploads, downloads and the API.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import re
import secrets
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GUESSES_MAX, GUESS_SECONDS = 10, 60.0  # wrong passwords of one client, within
CLIENTS_MAX = 10_000  # whose guesses are remembered
OPEN_MAX, OPEN_PER_CLIENT = 512, 64  # requests that are being answered; an open page is two
COOKIE = "nitido"  # who a visitor is
UPLOADS = "/api/pieces"  # where files are sent
HEALTH = "/health"  # open to everybody: it tells nothing
BODY_MAX_BYTES = 2**20  # of what is asked, files apart
PATIENCE_SECONDS = 30.0  # for all that is asked, and for the next bytes of a file
SHOWN = ("/", "/generate", "/compare", "/docs")  # pages, to which another site may link
READING, METHODS = ("GET", "HEAD"), ("GET", "HEAD", "POST", "PUT", "DELETE")
PORTS = {"http": "80", "https": "443"}  # which a browser does not say
# Names that nobody can own on the internet, and so none that an attacker's page could have.
PRIVATE = (".local", ".localhost", ".lan", ".internal", ".home.arpa")
# A browser that shows the page asks no other host, and runs no script but the page's own.
POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; img-src 'self'; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)
# A report has a policy inside that lets only its own script and style run; it is shut off besides.
REPORT_POLICY = (
    "sandbox allow-scripts allow-modals; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
LATER = {"Retry-After": "60"}
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Security:
    """Middleware that lets through who knows the password and comes from the page itself.

    A page of another site must not use this one through the browser of its visitor: not by a
    script or a form, and not under a name of its own that it lets point here (DNS rebinding).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        auth: tuple[str, str] | None = None,
        host: str = "127.0.0.1",
        names: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember what the server is; see `make_app`. The clock tells seconds."""
        self.app = app
        self._auth = auth
        self._clock = clock
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()  # guesses, by client
        self._open: Counter[str] = Counter()  # requests, by client
        self._loopback = _is_loopback(host)
        own = (host, socket.gethostname(), *names) if not self._loopback else names
        self._names = {_name(name) for name in own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused; pass the others on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        scope = {**scope, "nonce": secrets.token_urlsafe(16)}
        client = client_of(scope)
        full = self._open[client] >= OPEN_PER_CLIENT or self._open.total() >= OPEN_MAX
        self._open[client] += 1
        try:
            refusal: ASGIApp | None = None
            if scope["path"] != HEALTH or scope["method"] not in READING:
                refusal = self._full() if full else self._refused(scope, client)
            if scope["path"] == UPLOADS:  # files are streamed to the disk, and bounded there
                receive = _patient(receive)
            elif refusal is None:
                receive, refusal = await _read(scope, receive)
            await (refusal or self.app)(scope, receive, _with_headers(send, scope))
        finally:
            self._open[client] -= 1
            self._open += Counter()  # forgets who asks for nothing

    @staticmethod
    def _full() -> ASGIApp:
        return refuse(503, "Too much is asked at once; come again in a while.", **LATER)

    def _refused(self, scope: Scope, client: str) -> ASGIApp | None:
        """Return the answer to a request that goes no further."""
        headers = Headers(scope=scope)
        if not self._is_called(name := _name(headers.get("host", ""))):
            how = "use its address, or start it with --name and what it is called."
            return refuse(403, f"{name or 'No name'} is no name of this server; {how}")
        if _is_from_elsewhere(scope, headers):
            return refuse(403, "Another site may not use this page.")
        if self._guesses(client):
            return refuse(429, "Too many wrong passwords; wait for a minute.", **LATER)
        if not self._knows(given := headers.get("authorization", "")):
            if given:
                self._wrong.setdefault(client, []).append(self._clock())
                while len(self._wrong) > CLIENTS_MAX:
                    self._wrong.popitem(last=False)
            ask = {"WWW-Authenticate": 'Basic realm="nitido", charset="UTF-8"'}
            return refuse(401, "This page asks for a user name and a password.", **ask)
        if scope["method"] not in METHODS:
            return refuse(405, "This page is read and written to, and nothing else.")
        return None

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

    def _knows(self, authorization: str) -> bool:
        """Return whether name and password are right; takes as long whichever is wrong."""
        if self._auth is None:
            return True
        kind, _, coded = authorization.partition(" ")
        try:
            given = base64.b64decode(coded, validate=True) if kind.lower() == "basic" else b""
        except ValueError:
            given = b""
        user, _, password = given.partition(b":")
        right_user = hmac.compare_digest(user, self._auth[0].encode())
        right_password = hmac.compare_digest(password, self._auth[1].encode())
        return right_user & right_password


def refuse(status: int, text: str, **headers: str) -> PlainTextResponse:
    """Return the answer to a request that goes no further."""
    policy = {"Content-Security-Policy": "default-src 'none'"}
    return PlainTextResponse(text, status, {**policy, **headers})


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


def _is_from_elsewhere(scope: Scope, headers: Headers) -> bool:
    """Return whether another site sent the request; its links may lead here, and nothing more.

    What the browser says of the site it says only where there is TLS, or on the same computer;
    without it, only what writes is known to come from elsewhere.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        kind = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
        reads = scope["method"] in READING and scope["path"] in SHOWN
        return not (reads and kind == ("navigate", "document"))
    origin = headers.get("origin")
    if origin is None:
        return False
    # A proxy tells what it is called; a page cannot, unless its own origin has let it already.
    hosts = [headers.get(name, "").split(",")[0].strip() for name in ("host", "x-forwarded-host")]
    scheme = _scheme(scope, headers)
    return _origin(origin) not in {_origin(f"{scheme}://{host}") for host in hosts if host}


def _scheme(scope: Scope, headers: Headers) -> str:
    """Return ``"http"`` or ``"https"``, as a proxy says or else as it is."""
    said = headers.get("x-forwarded-proto", "").split(",")[0].strip()
    return said or str(scope.get("scheme", "http"))


def _origin(origin: str) -> str:
    """Return an origin without what need not be said.

    >>> _origin("HTTPS://Music.test:443"), _origin("http://music.test:443")
    ('https://music.test', 'http://music.test:443')
    """
    scheme, _, host = origin.lower().partition("://")
    return f"{scheme}://{host.removesuffix(f':{PORTS.get(scheme)}')}"


def _patient(receive: Receive) -> Receive:
    """Wait for what is sent, but not for ever."""

    async def receive_in_time() -> Message:
        try:
            return await asyncio.wait_for(receive(), PATIENCE_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}

    return receive_in_time


async def _read(scope: Scope, receive: Receive) -> tuple[Receive, ASGIApp | None]:
    """Return what gives the body of a request, which is read by then, or why it is refused."""
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for part in Request(scope, receive).stream():
                body += part
                if len(body) > BODY_MAX_BYTES:
                    text = f"A request may have {BODY_MAX_BYTES} bytes; files are uploaded."
                    return receive, refuse(413, text)
    except (ClientDisconnect, TimeoutError):
        return receive, refuse(408, "What was asked has not come to its end.")
    unread = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def receive_read() -> Message:
        return unread.pop() if unread else await receive()

    return receive_read, None


def _with_headers(send: Send, scope: Scope) -> Send:
    """Add what a browser is told; a new visitor gets a cookie that no script can read."""

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", POLICY.format(scope["nonce"]))
            headers.update(HEADERS)
            if token := scope.get("token"):
                secure = "; Secure" * (_scheme(scope, Headers(scope=scope)) == "https")
                sent = f"{COOKIE}={token}; HttpOnly; Path=/; SameSite=lax{secure}"
                headers.append("Set-Cookie", sent)
        await send(message)

    return send_more
