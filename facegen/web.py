"""Serve pages on this machine, and refuse requests from other sites, for other host names, or without the token.

Another site's page can make a browser send requests here, and its host name can point to this machine (DNS rebinding).
The headers Origin and Sec-Fetch-Site show the former, the header Host the latter. Large requests are refused, and
connections with unfinished requests are closed, so that they do not block others.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

import h11
import uvicorn
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from facegen.errors import UsageError

_TOKEN = r"[A-Za-z0-9._~-]{8,128}"  # characters that need no escapes in addresses and cookies
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response: a page may load only files of this server."""
LARGEST_BODY = 2**16
"""Largest body of a request in bytes, for pages without uploads."""
CONNECTIONS, PATIENCE = 100, 30.0
"""Number of connections above which the oldest unfinished request is dropped; seconds without data after which any is.
"""


@dataclass(frozen=True)
class Access:
    """The token and the host names that give access to a page."""

    token: str | None
    """Required in every request; None, for loopback addresses only, requires no token."""
    names: frozenset[str]
    """Allowed names in the header Host, in lower case and without the port; numeric addresses are allowed too."""
    command: str
    """The command that serves the page."""

    @property
    def cookie(self) -> str:
        """Name of the cookie with the token; each command has another, as cookies do not depend on the port."""
        return self.command.replace(" ", "_")


def access_for(host: str, token: str | None, command: str) -> Access:
    """Return the access to a server that listens on `host`; raise a UsageError if others could use it without a token.
    """
    if token is not None and not re.fullmatch(_TOKEN, token):
        raise UsageError("--token: expected 8 to 128 letters, digits, '-', '.', '_' and '~'; "
                         f"for example {secrets.token_urlsafe(12)}.")  # fmt: skip
    if not _is_loopback(host) and token is None:
        raise UsageError(f"--host {host}: others on the network could use the page; give them a token: "
                         f"--token {secrets.token_urlsafe(12)}")  # fmt: skip
    names = {"localhost"}
    if not _is_loopback(host):
        machine = socket.gethostname().lower()
        names |= {host.lower(), machine, f"{machine}.local"}
    return Access(token, frozenset(names), command)


class Guard:
    """Refuses requests without access, and adds security headers to responses.

    Args:
        largest_body: largest body of a request in bytes.
        uploads: path -> its largest body, for uploads.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        headers: Mapping[str, str] = HEADERS,
        largest_body: int = LARGEST_BODY,
        uploads: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._app, self._access, self._headers = app, access, headers
        self._largest, self._uploads = largest_body, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on; web sockets are not served."""
        if scope["type"] == "http":
            request = Request(scope)
            largest = self._uploads.get(request.url.path, self._largest)
            answer = refusal(request, self._access) or _too_large(request, largest) or self._app
            await answer(scope, _counted(receive, largest), self._with_headers(send))
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)  # the app may set other values
            await send(message)

        return send_with_headers


def _too_large(request: Request, largest: int) -> Response | None:
    length = request.headers.get("content-length", "0")
    return PlainTextResponse(_limit(largest), 413) if int(length) > largest else None


def explain_request(request: Request, error: Exception) -> Response:
    """Describe the errors of an invalid request without quoting its content, which may not be text; for FastAPI."""
    assert isinstance(error, RequestValidationError)
    wrong = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()]
    return JSONResponse({"detail": "; ".join(wrong).encode(errors="replace").decode()}, 422)


def _limit(largest: int) -> str:
    return f"The request is too large, expected at most {largest:,} bytes."


def _counted(receive: Receive, largest: int) -> Receive:
    """Stop a body of unknown length when it becomes too long."""
    received = 0

    async def receive_some() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > largest:
            raise HTTPException(413, _limit(largest))
        return message

    return receive_some


def refusal(request: Request, access: Access) -> Response | None:
    """Return the response that refuses a request; None if it is allowed."""
    host = request.headers.get("host", "")
    if not _is_known_host(host, access):
        return PlainTextResponse(f"The name {host[:80]!r} is not one of this page.", 421)
    if _is_foreign(request, host):
        return PlainTextResponse("Requests from other sites are refused.", 403)
    if access.token is None or _has_token(request, access.cookie, access.token):
        return None
    if request.url.path == "/" and _is_same(request.query_params.get("token", ""), access.token):
        return _welcome(request, access.cookie, access.token)
    return PlainTextResponse(f"Open the address that {access.command} printed, with its token.", 401)


def _is_known_host(host: str, access: Access) -> bool:
    """Return True for an allowed name, or a numeric address, which cannot belong to another site; without a token only
    loopback addresses are allowed.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return False
    return name in access.names or (_is_address(name) if access.token else _is_loopback(name))


def _is_foreign(request: Request, host: str) -> bool:
    """Return True if the page of another site made the browser send the request, except for a link to this page."""
    origin = request.headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return True
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    is_visit = request.method == "GET" and request.url.path == "/" and is_navigation
    return request.headers.get("sec-fetch-site", "") not in ("", "same-origin", "none") and not is_visit


def _has_token(request: Request, cookie: str, token: str) -> bool:
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    return _is_same(bearer if kind.lower() == "bearer" else request.cookies.get(cookie, ""), token)


def _is_same(text: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(text.encode(errors="replace"), token.encode())


def _welcome(request: Request, cookie: str, token: str) -> Response:
    """Store the token in a cookie, and remove it from the visible address."""
    rest = request.url.remove_query_params("token").query
    answer = RedirectResponse(f"/?{rest}" if rest else "/", 303)
    answer.set_cookie(cookie, token, httponly=True, samesite="lax")
    return answer


def listen(host: str, port: int) -> socket.socket:
    """Open a port, 0 for a free one; connections wait until the server is ready."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # "::" also takes IPv4
        return socket.create_server(address, family=family, backlog=128, dualstack_ipv6=dual)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # it goes on with the address
        text = f"--host {host} --port {port}: cannot be used ({reason}); --port 0 takes a free one."
        raise UsageError(text) from None


def address_of(listener: socket.socket, host: str, token: str | None) -> str:
    """Return the address for a browser; on a server for all interfaces, the address that other machines use."""
    name = _outward_address() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    query = f"?token={token}" if token else ""
    return f"http://{name}:{listener.getsockname()[1]}/{query}"


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(
        app, http=ImpatientProtocol, backlog=CONNECTIONS, log_level="warning", proxy_headers=False, server_header=False
    )
    uvicorn.Server(config).run([listener])


class ImpatientProtocol(H11Protocol):
    """A connection that is closed if its request stays unfinished, so that many of them do not block others."""

    _silent: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """If there are too many connections, close the oldest unfinished one."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._since = time.monotonic()
        alive = [c for c in self.connections if isinstance(c, ImpatientProtocol) and not c.transport.is_closing()]
        unfinished = [connection for connection in alive if connection.is_unfinished]
        if len(alive) > CONNECTIONS and unfinished:
            min(unfinished, key=lambda connection: connection._since).transport.abort()
        self._await_more()

    def data_received(self, data: bytes) -> None:
        """Restart the timeout."""
        super().data_received(data)
        self._await_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        if self._silent:
            self._silent.cancel()
        super().connection_lost(exc)

    @property
    def is_unfinished(self) -> bool:
        """True while the request is incomplete or has not started."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _await_more(self) -> None:
        if self._silent:
            self._silent.cancel()
        self._silent = self.loop.call_later(PATIENCE, self._hang_up)

    def _hang_up(self) -> None:
        if self.is_unfinished:
            self.transport.abort()


def _outward_address() -> str:
    """Return this machine's IPv4 address in its network, or its name without a network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: reserved for documentation, so no machine has it
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def _is_loopback(name: str) -> bool:
    return name.lower() == "localhost" or (_is_address(name) and ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
