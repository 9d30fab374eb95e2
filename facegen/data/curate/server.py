"""The web server of the curate page: the page, its pictures, and the labels, over HTTP."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from facegen.data.curate.curation import SIDES, Curation, Face, Progress, Summary
from facegen.data.curate.labels import RATER_LENGTH, RATER_PATTERN, Exported, export
from facegen.data.manifest import Decision
from facegen.errors import FacegenError, UsageError
from facegen.web import Access, Guard, explain_request

ASSETS = {
    "api.js": "text/javascript", "app.js": "text/javascript", "deck.js": "text/javascript", "icon.svg": "image/svg+xml",
    "style.css": "text/css", "summary.js": "text/javascript",
}  # fmt: skip
"""Files of the page other than index.html -> their type; no other file in that folder is sent."""
AHEAD, BEHIND = 40, 50
"""Faces sent to the page at once; labelled faces that can be undone after a reload."""
Rater = Annotated[str, Field(pattern=f"^{RATER_PATTERN}$", max_length=RATER_LENGTH)]


class Start(BaseModel):
    """Sent to the page when it starts."""

    set: str
    """The set's name."""
    rater: str | None
    """The rater, if the command line names one."""
    raters: list[str]
    sides: tuple[int, ...] = SIDES


class Session(BaseModel):
    """Sent to the page once the rater is known."""

    progress: Progress
    faces: list[Face]
    """The next faces to label."""
    history: list[Face]
    """The latest labelled faces."""


class Swipe(BaseModel):
    """Sent by the page at each swipe."""

    rater: Rater
    face: str = Field(max_length=64)
    label: Decision


def create_app(curation: Curation, access: Access, rater: str | None = None) -> FastAPI:
    """Make the web application of a set; `rater` is the default for the page."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(Guard, access=access)
    app.add_exception_handler(FacegenError, _explain)
    app.add_exception_handler(RequestValidationError, explain_request)
    _add_files(app, curation)

    @app.get("/api/start")
    def start() -> Start:
        return Start(set=curation.folder.name, rater=rater, raters=list(curation.summary().raters))

    @app.get("/api/session")
    def session(rater: Rater) -> Session:
        faces, history = curation.waiting(rater, 0, AHEAD), curation.latest(rater, BEHIND)
        return Session(progress=curation.progress(rater), faces=faces, history=history)

    @app.get("/api/faces")
    def faces(rater: Rater, start: Annotated[int, Query(ge=0)]) -> list[Face]:
        return curation.waiting(rater, start, AHEAD)

    @app.get("/api/disputed")
    def disputed(rater: Rater) -> list[Face]:
        return curation.disputed(rater)

    @app.post("/api/labels")
    def label(swipe: Swipe) -> Progress:
        return curation.label(swipe.rater, swipe.face, swipe.label)

    @app.get("/api/summary")
    def summary() -> Summary:
        return curation.summary()

    @app.post("/api/export")
    def write() -> Exported:
        return export(curation.folder)

    return app


def _add_files(app: FastAPI, curation: Curation) -> None:
    """Send the page, its scripts and styles, and the pictures."""
    page = files(__package__) / "page"

    @app.get("/")
    def index() -> Response:
        return Response((page / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    @app.get("/page/{name}")
    def asset(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404)
        return Response((page / name).read_bytes(), media_type=ASSETS[name])

    @app.get("/pictures/{key}")
    def picture(key: str, side: int) -> Response:
        if side not in SIDES:
            raise HTTPException(422, f"side is {side}, expected one of {', '.join(map(str, SIDES))}.")
        try:
            return Response(curation.pictures.jpeg(key, side), media_type="image/jpeg")
        except FacegenError as error:
            raise HTTPException(404, str(error)) from error


def _explain(request: Request, error: Exception) -> Response:
    """Turn a facegen error into an answer for the page; bytes of a file's name that are not UTF-8 become "?"."""
    status = 422 if isinstance(error, UsageError) else 500
    return JSONResponse({"detail": str(error).encode(errors="replace").decode()}, status)
