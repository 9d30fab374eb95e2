"""A set of three faces, and a visitor of its page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from facegen.data.curate.curation import Curation
from facegen.data.curate.server import create_app
from facegen.web import access_for

ADDRESS = "http://127.0.0.1:8642"


class Visitor:
    """A browser that keeps cookies, follows no redirect, and calls the application without a network."""

    def __init__(self, app: FastAPI, address: str = ADDRESS) -> None:
        self._app = app
        self._address = address
        self.cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, **options))

    def post(self, path: str, body: object, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, json=body, **options))

    def label(self, face: str, label: str, rater: str = "anna") -> httpx.Response:
        return self.post("/api/labels", {"rater": rater, "face": face, "label": label})

    def faces(self, rater: str = "anna") -> list[dict[str, Any]]:
        """The faces that a rater has not labelled."""
        faces: list[dict[str, Any]] = self.get(f"/api/session?rater={rater}").json()["faces"]
        return faces

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url=self._address, cookies=self.cookies) as client:
            answer = await client.request(method, path, **options)
            self.cookies = client.cookies
            return answer


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(head_folder: Path) -> Visit:
    """Open the page of the three faces; each call reads the labels anew, as a new process does."""

    def start(host: str = "127.0.0.1", token: str | None = None, address: str = ADDRESS) -> Visitor:
        return Visitor(create_app(Curation(head_folder), access_for(host, token, "facegen data curate")), address)

    return start


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    return visit()
