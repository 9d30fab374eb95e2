"""Requests by other sites, with other host names or with wrong tokens are refused."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest

from facegen.data.manifest import Entry, write_manifest
from facegen.errors import UsageError
from facegen.web import access_for
from tests.data.curate.conftest import Visit, Visitor

TOKEN = "correct-horse"


@pytest.fixture
def guarded(visit: Visit) -> Visitor:
    return visit("0.0.0.0", TOKEN, "http://192.168.1.5:8642")


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "localhost:8642", "LocalHost", "[::1]:8642", "127.0.0.2"])
def test_this_machine_has_these_names(visitor: Visitor, host: str) -> None:
    assert visitor.get("/api/start", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", [
    "evil.example:8642", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.5", "", "[", "x]:1", "0.0.0.0",
])  # fmt: skip
def test_other_names_are_refused(visitor: Visitor, host: str) -> None:
    """A site whose name points at this machine sends such requests (DNS rebinding)."""
    for path in ("/", "/api/start", "/page/app.js"):
        assert visitor.get(path, headers={"Host": host}).status_code == 421


def test_a_name_is_refused_even_with_the_token(guarded: Visitor) -> None:
    headers = {"Host": "evil.example", "Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/api/start", headers=headers).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8642", "", "file://", "http://[",
               "http://127.0.0.1:8642/", "http://127.0.0.1:8642@evil.example", "//127.0.0.1:8642", "\x00", "http://]:1"]
)
def test_foreign_origins_are_refused(visitor: Visitor, origin: str) -> None:
    key = visitor.faces()[0]["key"]
    body = {"rater": "anna", "face": key, "label": "drop"}
    assert visitor.post("/api/labels", body, headers={"Origin": origin}).status_code == 403
    assert visitor.get("/api/start", headers={"Origin": origin}).status_code == 403
    assert len(visitor.faces()) == 3, "nothing was labelled"


def test_the_origin_of_the_page_is_accepted(visitor: Visitor) -> None:
    assert visitor.get("/api/start", headers={"Origin": "http://127.0.0.1:8642"}).status_code == 200


@pytest.mark.parametrize(("site", "mode", "path", "status"), [
    ("cross-site", "no-cors", "/api/start", 403), ("same-site", "cors", "/api/start", 403),
    ("cross-site", "navigate", "/api/start", 403), ("cross-site", "no-cors", "/", 403),
    ("cross-site", "navigate", "/", 200), ("same-origin", "cors", "/api/start", 200),
    ("none", "navigate", "/", 200),
])  # fmt: skip
def test_other_sites_may_only_link_to_the_page(visitor: Visitor, site: str, mode: str, path: str, status: int) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert visitor.get(path, headers=headers).status_code == status


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_refused_before_it_is_read(visitor: Visitor, announced: bool) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 400 * 2**20:
            read += 2**16
            yield b" " * 2**16

    headers = {"Content-Type": "application/json"} | ({"Content-Length": str(400 * 2**20)} if announced else {})
    answer = visitor.post("/api/labels", None, headers=headers, content=endless())
    assert answer.status_code == 413
    assert "too large, expected at most 65,536 bytes" in answer.text
    assert read <= (0 if announced else 3 * 2**16)


@pytest.mark.parametrize("body", [
    b"", b"\0", b"[" * 60_000, b'{"rater": "' + b"a" * 60_000 + b'"}', b"\xff\xfe", b'{"rater": NaN}', b"null",
    b"9" * 9999,
    b'{"rater": "../x", "face": "x", "label": "drop"}', b'{"rater": "anna", "face": "../a.png", "label": "drop"}',
    b'{"rater": "anna", "face": "\\ud800", "label": "drop"}', b'{"rater": "a\\u0000", "face": "x", "label": "keep"}',
])  # fmt: skip
def test_a_body_that_is_not_a_swipe_is_refused(visitor: Visitor, head_folder: Path, body: bytes) -> None:
    answer = visitor.post("/api/labels", None, headers={"Content-Type": "application/json"}, content=body)
    assert answer.status_code in (400, 422)
    assert len(answer.content) < 200_000
    assert not (head_folder / "labels").exists()


@pytest.mark.parametrize("path", [
    "/api/session?rater=../x", "/api/session?rater=%00", "/api/session?rater=" + "a" * 9999,
    "/api/faces?rater=a&start=-1",
    "/api/faces?rater=a&start=" + "9" * 5000, "/api/disputed?rater=%ff", "/pictures/x?side=1e9", "/pictures/x?side=-1",
    "/pictures/" + "x" * 5000 + "?side=384", "/%00", "/page/%ff", "/?token=%00%ff",
    "/api/start?" + "&".join(["a=1"] * 999),
])  # fmt: skip
def test_no_address_causes_an_error_of_the_server(visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status_code < 500


def test_a_link_that_leads_out_of_the_set_shows_nothing(visit: Visit, head_folder: Path) -> None:
    outside = head_folder.parent / "secret.png"
    (head_folder / "a.png").rename(outside)
    (head_folder / "a.png").symlink_to(outside)
    (head_folder / "folder").symlink_to(head_folder.parent)
    write_manifest(head_folder, [Entry("a.png", "a"), Entry("folder/secret.png", "b"), Entry("b.png", "b")])
    visitor = visit()
    found = {face["name"]: visitor.get(f"/pictures/{face['key']}?side=384") for face in visitor.faces()}
    assert {name: answer.status_code for name, answer in found.items()} == {
        "a.png": 404, "folder/secret.png": 404, "b.png": 200,
    }  # fmt: skip
    assert "leads out of the set" in found["a.png"].text


def test_forms_of_other_sites_cannot_label(visitor: Visitor) -> None:
    """A form can send plain text without permission, but the server does not read it as JSON."""
    body = json.dumps({"rater": "anna", "face": visitor.faces()[0]["key"], "label": "drop"})
    assert visitor.post("/api/labels", None, headers={"Content-Type": "text/plain"}, content=body).status_code == 422
    assert len(visitor.faces()) == 3


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Bearer wrong-horse"}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN},
    {"Authorization": "Bearer "}, {"Cookie": "facegen_curate=wrong-horse"}, {"Authorization": "Bearer h\u00f6rse"},
])  # fmt: skip
def test_nothing_is_sent_without_the_token(guarded: Visitor, headers: dict[str, str]) -> None:
    coded = {name: value.encode("latin-1") for name, value in headers.items()}
    wrong = ("/?token=wrong-horse", f"/api/start?token={TOKEN}")
    for path in ("/", "/page/app.js", "/api/start", "/pictures/x?side=384", *wrong):
        assert guarded.get(path, headers=coded).status_code == 401


def test_a_header_may_carry_the_token(guarded: Visitor) -> None:
    assert guarded.get("/api/start", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_address_may_carry_the_token_which_becomes_a_cookie(guarded: Visitor) -> None:
    answer = guarded.get(f"/?token={TOKEN}&rater=anna")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?rater=anna")
    assert {"HttpOnly", "SameSite=lax"} <= set(answer.headers["set-cookie"].split("; "))
    assert guarded.get("/").status_code == 200
    assert guarded.get("/api/start").status_code == 200


def test_a_token_may_guard_this_machine_too(visit: Visit) -> None:
    visitor = visit(token=TOKEN)
    assert visitor.get("/").status_code == 401
    assert visitor.get(f"/?token={TOKEN}").status_code == 303


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "studio.example"])
def test_others_on_the_network_need_a_token(host: str) -> None:
    with pytest.raises(UsageError, match=f"--host {host}: .* --token "):
        access_for(host, None, "facegen studio")
    assert access_for(host, TOKEN, "facegen studio").token == TOKEN


@pytest.mark.parametrize("token", ["", "short", "with space", "semi;colon", "ümlaut-token", "x" * 129])
def test_weak_tokens_are_refused(token: str) -> None:
    with pytest.raises(UsageError, match="--token: expected 8 to 128 letters"):
        access_for("127.0.0.1", token, "facegen studio")


def test_every_answer_has_headers_against_misuse(visitor: Visitor) -> None:
    for path in ("/", "/page/app.js", "/nowhere", f"/pictures/{visitor.faces()[0]['key']}?side=384"):
        headers = visitor.get(path).headers
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def test_the_page_has_no_inline_script_or_style() -> None:
    """Its Content-Security-Policy would block them."""
    page = (files("facegen.data.curate") / "page" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)|https?://", page)


def test_no_path_reaches_a_file_of_the_set(visitor: Visitor, head_folder: Path) -> None:
    (head_folder.parent / "secret.png").write_bytes((head_folder / "a.png").read_bytes())
    above = ("../secret.png", "..%2fsecret.png", "%2e%2e/secret.png", "..\\secret.png")
    for name in (*above, "a.png", "%2fetc%2fpasswd", "%00"):
        assert visitor.get(f"/pictures/{name}?side=384").status_code == 404
        assert visitor.get(f"/page/{name}").status_code == 404
    assert visitor.get("/page/../labels.py").status_code == 404
    assert visitor.get("/page/index.html").status_code == 404
