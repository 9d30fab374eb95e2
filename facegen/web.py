"""Pages served on this machine: refused to other sites, to other host names, and without the token if there is one.

A page of another site can make a browser send requests here, and can point its own name at this machine (DNS
rebinding). The first shows in the headers Origin and Sec-Fetch-Site, the second in the header Host. Requests that are
too large are refused, and connections whose request stays unfinished are closed, so that they keep nobody out.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
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

_TOKEN = r"[A-Za-z0-9._~-]{8,128}"  # characters that neither an address nor a cookie has to escape
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
"""Sent with every answer: the page may use its own files, and nothing else."""
LARGEST_BODY = 2**16
"""Bytes of a request's body, for pages to which no files are sent."""
CONNECTIONS, PATIENCE = 100, 30.0
"""Connections above which the oldest unfinished request is dropped; seconds after which a silent one is."""


@dataclass(frozen=True)
class Access:
    """The token and the host names with which the page may be used."""

    token: str | None
    """Needed in every request; None asks for none, which only a loopback address may."""
    names: frozenset[str]
    """Allowed names in a request's Host, in lower case and without the port; numeric addresses are allowed as well."""
    command: str
    """The command that serves the page."""

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token; cookies do not know ports, so each command has its own."""
        return self.command.replace(" ", "_")


def access_for(host: str, token: str | None, command: str) -> Access:
    """Make the rules for a server that listens on `host`; UsageError if others reach it without a good token."""
    if token is not None and not re.fullmatch(_TOKEN, token):
        raise UsageError("--token: expected 8 to 128 letters, digits, '-', '.', '_' and '~'; "
                         f"for example {secrets.token_urlsafe(12)}.")  # fmt: skip
    if not _is_loopback(host) and token is None:
        raise UsageError(f"--host {host}: others on the network could use the page; give them a token: "
                         f"--token {secrets.token_urlsafe(12)}")  # fmt: skip
    names = {"localhost"}
    if not _is_loopback(host):
        own = socket.gethostname().lower()
        names |= {host.lower(), own, f"{own}.local"}
    return Access(token, frozenset(names), command)


class Guard:
    """Refuses what `Access` does not allow, and adds headers that lock the page down.

    Args:
        largest_body: bytes that a request may send.
        uploads: the same for paths to which files are sent.
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
        """Answer a request, or pass it on; pages have no web sockets."""
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
                    headers.setdefault(name, value)  # a page within this one has its own
            await send(message)

        return send_with_headers


def _too_large(request: Request, largest: int) -> Response | None:
    length = request.headers.get("content-length", "0")
    return PlainTextResponse(_limit(largest), 413) if int(length) > largest else None


def explain_request(request: Request, error: Exception) -> Response:
    """Say what is wrong in a request without quoting it, as what it sent may be no text; a handler for FastAPI."""
    assert isinstance(error, RequestValidationError)
    wrong = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()]
    return JSONResponse({"detail": "; ".join(wrong).encode(errors="replace").decode()}, 422)


def _limit(largest: int) -> str:
    return f"The request is too large, expected at most {largest:,} bytes."


def _counted(receive: Receive, largest: int) -> Receive:
    """Stop a body that does not say how long it is where it gets too long."""
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
    """The answer to a request that is refused; None if it is allowed."""
    host = request.headers.get("host", "")
    if not _may_be_called(host, access):
        return PlainTextResponse(f"The name {host[:80]!r} is not one of this page.", 421)
    if _is_foreign(request, host):
        return PlainTextResponse("Requests from other sites are refused.", 403)
    if access.token is None or _has_token(request, access.cookie, access.token):
        return None
    if request.url.path == "/" and _is_same(request.query_params.get("token", ""), access.token):
        return _welcome(request, access.cookie, access.token)
    return PlainTextResponse(f"Open the address that {access.command} printed, with its token.", 401)


def _may_be_called(host: str, access: Access) -> bool:
    """A numeric address cannot be another site's name; without a token, only this machine's own is allowed."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return False
    return name in access.names or (_is_address(name) if access.token else _is_loopback(name))


def _is_foreign(request: Request, host: str) -> bool:
    """True if another site's page made the browser send it; following a link to the page itself is allowed."""
    origin = request.headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return True
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    is_visit = request.method == "GET" and request.url.path == "/" and is_navigation
    return request.headers.get("sec-fetch-site", "") not in ("", "same-origin", "none") and not is_visit


def _has_token(request: Request, cookie: str, token: str) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    shown = given if kind.lower() == "bearer" else request.cookies.get(cookie, "")
    return _is_same(shown, token)


def _is_same(given: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def _welcome(request: Request, cookie: str, token: str) -> Response:
    """Store the token in a cookie and remove it from the address, which bystanders may see."""
    rest = request.url.remove_query_params("token").query
    answer = RedirectResponse(f"/?{rest}" if rest else "/", 303)
    answer.set_cookie(cookie, token, httponly=True, samesite="lax")
    return answer


def listen(host: str, port: int) -> socket.socket:
    """Take a port, 0 for a free one; connections made before the server is ready wait."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as on_failure:
            listener = on_failure.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
            on_failure.pop_all()
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: cannot be used ({error.strerror}); --port 0 takes a free one."
                         ) from None  # fmt: skip
    return listener


def address_of(listener: socket.socket, host: str, token: str | None) -> str:
    """The address to open in a browser; if the server listens everywhere, the one that others reach it by."""
    name = _outward_address() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    query = f"?token={token}" if token else ""
    return f"http://{name}:{listener.getsockname()[1]}/{query}"


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM, which end in KeyboardInterrupt or by that signal."""
    config = uvicorn.Config(
        app, http=Unblocked, backlog=CONNECTIONS, log_level="warning", proxy_headers=False, server_header=False
    )
    uvicorn.Server(config).run([listener])


class Unblocked(H11Protocol):
    """A connection that is closed if its request stays unfinished, so that any number of them keeps nobody out."""

    _silent: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make room for it among the others."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._since = time.monotonic()
        others = [c for c in self.connections if isinstance(c, Unblocked) and not c.transport.is_closing()]
        unfinished = [connection for connection in others if connection.is_unfinished]
        if len(others) > CONNECTIONS and unfinished:
            min(unfinished, key=lambda connection: connection._since).transport.abort()
        self._await_more()

    def data_received(self, data: bytes) -> None:
        """Begin to wait anew."""
        super().data_received(data)
        self._await_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._silent:
            self._silent.cancel()
        super().connection_lost(exc)

    @property
    def is_unfinished(self) -> bool:
        """True while a part of the request has still to come, or none has begun."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _await_more(self) -> None:
        if self._silent:
            self._silent.cancel()
        self._silent = self.loop.call_later(PATIENCE, self._hang_up)

    def _hang_up(self) -> None:
        if self.is_unfinished:
            self.transport.abort()


def _outward_address() -> str:
    """This machine's IPv4 address in its network, or its name without a network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: an address for documentation, which nobody has
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
