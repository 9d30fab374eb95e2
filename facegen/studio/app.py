"""The page: its tabs, its theme, and the web application that serves it."""

from __future__ import annotations

import secrets
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import gradio as gr
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from gradio.route_utils import FnIndexInferError
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp

from facegen.studio.api import add_endpoints
from facegen.studio.compare_tab import CompareTab
from facegen.studio.draw_tab import DrawTab
from facegen.studio.film_tab import FilmTab
from facegen.studio.restore_tab import RestoreTab
from facegen.studio.tab import COOKIE, PRIVATE
from facegen.studio.work import Studio
from facegen.web import HEADERS, Access, Guard, explain_request

if TYPE_CHECKING:
    from facegen.data.curate.curation import Curation

LARGEST_FILE = "200mb"
LARGEST_EVENT, LARGEST_UPLOAD = 2**22, 2**30
"""Bytes of an event, and of all files that are dropped at the same time."""
REQUEST_ERRORS = (FnIndexInferError, LookupError, TypeError, ValueError)
"""Errors that Gradio's routes raise over requests that no page sends; the page's own work raises none there."""
CURATE = "/curate/"
"""Path of the page of `facegen data curate`."""
CURATE_HINT = (
    "<div class='hint'><p><b>Look through a training set.</b><br>To keep or drop its faces here, start the studio with "
    "<code>facegen studio --curate SET</code>.</p></div>"
)
EVENTS = 64
"""Events that may wait; more are refused."""
SESSIONS = 500
"""Open pages and calls of endpoints whose components Gradio remembers, in 0.2 MiB each; its default is 10,000."""
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""The sources that Gradio's page needs; all others are blocked."""
_FETCHING = ("/gradio_api/file=http", "/gradio_api/proxy=")
"""Paths for which Gradio's server would fetch files from other servers."""
THEME = gr.themes.Default(
    primary_hue="amber", neutral_hue="stone", font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    button_primary_background_fill="*neutral_800", button_primary_background_fill_hover="*neutral_700",
    button_primary_text_color="white", button_primary_background_fill_dark="*neutral_200",
    button_primary_background_fill_hover_dark="*neutral_100", button_primary_text_color_dark="*neutral_900",
)  # fmt: skip


def build(studio: Studio, curation: Curation | None) -> gr.Blocks:
    """Build the page."""
    page: gr.Blocks
    with gr.Blocks(title="facegen studio", analytics_enabled=False) as page:
        gr.Markdown("# facegen studio", elem_id="title")
        with gr.Tabs():
            with gr.Tab("Restore"):
                RestoreTab(studio).connect_load(page)
            with gr.Tab("Draw") as draw_tab:
                draw = DrawTab(studio)
            with gr.Tab("Film") as film_tab:
                film = FilmTab(studio)
            with gr.Tab("Compare"):
                CompareTab(studio).connect_load(page)
            with gr.Tab("Curate"):
                _build_curate(curation)
        add_endpoints(studio)
        draw.connect_load(page, draw_tab)
        draw.connect_film(film)
        film.connect_load(page, film_tab)
        page.load(studio.warm_up, None, None, **PRIVATE)
    page.queue(max_size=EVENTS, default_concurrency_limit=8, api_open=False)
    page.state_session_capacity = SESSIONS
    return page


def _build_curate(curation: Curation | None) -> None:
    """Link to the page of `facegen data curate`, or explain how to get it."""
    if curation is None:
        gr.HTML(CURATE_HINT)
        return
    name, faces = escape(curation.folder.name), curation.summary().total
    gr.HTML(
        f"<div class='hint'><p><b>{name}: {faces:,} faces</b><br>"
        "Keep or drop each, by swiping or with the arrow keys.<br>"
        f"<a href='{CURATE}' target='_blank'>Open the set</a></p></div>"
    )


async def _set_cookie(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Give a new browser a random name; refuse requests to fetch from other servers."""
    if request.url.path.lower().startswith(_FETCHING):
        return PlainTextResponse("Files of other servers are not fetched.", 403)
    answer = await call_next(request)
    if request.url.path == "/" and COOKIE not in request.cookies:
        answer.set_cookie(COOKIE, secrets.token_urlsafe(16), httponly=True, samesite="lax")
    return answer


def _refuse(request: Request, error: Exception) -> Response:
    return PlainTextResponse("The page sends no such request.", 400)


def create_app(studio: Studio, access: Access, curation: Curation | None = None) -> ASGIApp:
    """Make the web application; with a set to curate, its page is mounted at `CURATE`."""
    page = files(__package__) / "page"
    app = FastAPI(openapi_url=None)
    app.middleware("http")(_set_cookie)
    if curation is not None:
        from facegen.data.curate import server

        app.mount(CURATE, server.create_app(curation, access))
    app = gr.mount_gradio_app(
        app,
        build(studio, curation),
        path="/",
        theme=THEME,
        css=(page / "style.css").read_text(encoding="utf-8"),
        head=(page / "head.html").read_text(encoding="utf-8"),
        max_file_size=LARGEST_FILE,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        pwa=False,
        ssr_mode=False,
        allowed_paths=[],
    )
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, gr.routes.App):
            route.app.add_exception_handler(RequestValidationError, explain_request)
            for kind in REQUEST_ERRORS:
                route.app.add_exception_handler(kind, _refuse)
    headers, uploads = HEADERS | {"Content-Security-Policy": _POLICY}, {"/gradio_api/upload": LARGEST_UPLOAD}
    return Guard(app, access, headers, LARGEST_EVENT, uploads)
