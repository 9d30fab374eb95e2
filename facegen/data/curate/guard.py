"""Access to the page: refused to other sites, to other host names, and without the token where there is one.

A page of another site can make a browser send requests here, and can point its own name at this machine (DNS
rebinding). The first shows in the headers Origin and Sec-Fetch-Site, the second in the header Host.
"""

from __future__ import annotations

import hmac
import re
import secrets
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from facegen.errors import UsageError

COOKIE = "facegen_curate"
_TOKEN = r"[A-Za-z0-9._~-]{8,128}"  # characters that neither an address nor a cookie has to escape
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Access:
    """The token and the host names with which the page may be used."""

    token: str | None
    """Needed in every request; None asks for none, which only a loopback address may."""
    names: frozenset[str]
    """Allowed names in a request's Host, in lower case and without the port; numeric addresses are allowed as well."""


def access_for(host: str, token: str | None) -> Access:
    """Make the rules for a server that listens on `host`; UsageError if others reach it without a good token."""
    if token is not None and not re.fullmatch(_TOKEN, token):
        raise UsageError("--token: expected 8 to 128 letters, digits, '-', '.', '_' and '~'; "
                         f"for example {secrets.token_urlsafe(12)}.")  # fmt: skip
    if not _is_loopback(host) and token is None:
        raise UsageError(f"--host {host}: others on the network could see and label the faces; give them a token: "
                         f"--token {secrets.token_urlsafe(12)}")  # fmt: skip
    names = {"localhost"}
    if not _is_loopback(host):
        own = socket.gethostname().lower()
        names |= {host.lower(), own, f"{own}.local"}
    return Access(token, frozenset(names))


class Guard(BaseHTTPMiddleware):
    """Refuses what `Access` does not allow, and adds headers that lock the page down."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        super().__init__(app)
        self._access = access

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer a request, or pass it on."""
        answer = refusal(request, self._access) or await call_next(request)
        answer.headers.update(_HEADERS)
        return answer


def refusal(request: Request, access: Access) -> Response | None:
    """The answer to a request that is refused; None if it is allowed."""
    host = request.headers.get("host", "")
    if not _may_be_called(host, access):
        return PlainTextResponse(f"The name {host[:80]!r} is not one of this page.", 421)
    if _is_foreign(request, host):
        return PlainTextResponse("Requests from other sites are refused.", 403)
    if access.token is None or _has_token(request, access.token):
        return None
    if request.url.path == "/" and _is_same(request.query_params.get("token", ""), access.token):
        return _welcome(request, access.token)
    return PlainTextResponse("Open the address that facegen data curate printed, with its token.", 401)


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
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return True
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    is_visit = request.method == "GET" and request.url.path == "/" and is_navigation
    return request.headers.get("sec-fetch-site", "") not in ("", "same-origin", "none") and not is_visit


def _has_token(request: Request, token: str) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    shown = given if kind.lower() == "bearer" else request.cookies.get(COOKIE, "")
    return _is_same(shown, token)


def _is_same(given: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def _welcome(request: Request, token: str) -> Response:
    """Store the token in a cookie and remove it from the address, which bystanders may see."""
    rest = request.url.remove_query_params("token").query
    answer = RedirectResponse(f"/?{rest}" if rest else "/", 303)
    answer.set_cookie(COOKIE, token, httponly=True, samesite="lax")
    return answer


def _is_loopback(name: str) -> bool:
    return name.lower() == "localhost" or (_is_address(name) and ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
