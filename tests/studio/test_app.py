"""Access to the page and to files, and the endpoints for clients."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner
from PIL import Image

from facegen.arrays import RGB
from facegen.cli.main import cli
from facegen.media.images import picture_text, read_image, write_image
from facegen.media.record import COMMAND_KEY
from tests.attacks import check_answers, check_unfinished
from tests.data.curate.running import Running
from tests.studio.conftest import COMMAND

FILE = "/gradio_api/file="


def get(running: Running, path: str, **headers: str) -> httpx.Response:
    return httpx.get(running.address.rstrip("/") + path, headers=headers)


def test_the_page_may_load_only_its_own_files(running: Running) -> None:
    answer = get(running, "/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "fonts.googleapis" not in answer.text


def test_other_names_and_other_sites_are_refused(running: Running) -> None:
    assert get(running, "/", Host="evil.example").status_code == 421
    assert get(running, "/gradio_api/info", Origin="http://evil.example").status_code == 403
    assert get(running, "/config", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("path", [
    "/etc/passwd", "/proc/self/environ", f"{Path(__file__).parents[2]}/README.md", "../../../etc/passwd", "README.md",
    "pyproject.toml", "//etc/passwd", "http://example.com/a.png", "HTTPS://example.com/a.png", "%68ttp://example.com/a",
    "file:///etc/passwd", "",
])  # fmt: skip
def test_no_file_of_the_machine_is_sent(running: Running, path: str) -> None:
    assert get(running, FILE + path).status_code in (403, 404)


def upload(running: Running, name: str, content: bytes) -> str:
    """Send a file as the page does; return its path on the server."""
    files = {"files": (name, content)}
    answer = httpx.post(running.address + "gradio_api/upload", files=files)
    assert answer.status_code == 200, answer.text
    path: str = answer.json()[0]
    return path


@pytest.mark.parametrize("name", ["../../../evil.png", "/tmp/evil.png", "..\\evil.png", "a\x01b.png", "ü" * 200])
def test_dropped_files_stay_in_the_folder_of_the_studio(running: Running, name: str) -> None:
    path = Path(upload(running, name, b"picture"))
    assert any(part.startswith("facegen-studio-") for part in path.parts)
    assert ".." not in path.parts
    assert path.read_bytes() == b"picture"


@pytest.mark.parametrize("photo", [
    {"path": "/etc/passwd"}, {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, {"path": "../etc/passwd"},
    {"path": "/proc/self/environ", "url": None, "orig_name": "a.png"},
])  # fmt: skip
def test_a_call_cannot_name_a_file_of_the_machine(running: Running, photo: dict[str, object]) -> None:
    said = restore(running, photo)
    assert "event: error" in said
    assert "root:" not in said


def restore(running: Running, photo: Mapping[str, object]) -> str:
    return call(running, "restore", [photo, str(running.folder), 2, "all", -1, "lanczos", "png", 0])


def call(running: Running, name: str, data: list[object]) -> str:
    """Call an endpoint as curl does; return its events."""
    address = f"{running.address}gradio_api/call/{name}"
    event = httpx.post(address, json={"data": data}).json()["event_id"]
    return httpx.get(f"{address}/{event}", timeout=120).text


def test_bodies_that_are_too_large_are_refused_at_once(running: Running) -> None:
    address = urlsplit(running.address)
    for path, size in (("/gradio_api/upload", 2_000_000_000), ("/gradio_api/queue/join", 50_000_000)):
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {size}\r\n\r\n"
            connection.sendall(head.encode())
            assert b" 413 " in connection.recv(100)


def test_no_request_causes_a_server_error(running: Running) -> None:
    check_answers(running.address, "/gradio_api/queue/join")


def test_unfinished_requests_do_not_block_others(running: Running) -> None:
    check_unfinished(running.address, b"GET / HTTP/1.1\r\nHost:")


def test_a_face_is_drawn_by_three_lines_of_curl(running: Running) -> None:
    said = call(running, "draw", [7, 0, str(running.folder)])
    assert "event: complete" in said
    assert "seed0007-768.png" in said
    assert "event: error" in call(running, "draw", [7, 0, "no-such-preset"])


def test_a_set_is_looked_through_below_the_page_with_the_same_checks(running: Running) -> None:
    page = get(running, "/curate/")
    assert "<title>Curate</title>" in page.text
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert get(running, "/curate/api/start").json()["set"] == "heads"
    assert get(running, "/curate/api/start", Host="evil.example").status_code == 421
    assert get(running, "/curate/api/start", Origin="http://evil.example").status_code == 403
    label = {"rater": "anna", "face": "x" * 70_000, "label": "keep"}
    assert httpx.post(f"{running.address}curate/api/labels", json=label).status_code == 413


@pytest.mark.slow
def test_with_a_token_nobody_sees_anything_without_it(running: Running, tmp_path: Path, head: RGB) -> None:
    write_image(tmp_path / "set" / "a.png", head)
    guarded = Running(running.folder, COMMAND).start("--token", "correct-horse", "--curate", str(tmp_path / "set"))
    try:
        address = guarded.address.partition("?")[0]
        paths = ("", "config", "gradio_api/info", "curate/", "curate/api/start")
        for path in paths:
            assert httpx.get(address + path, timeout=60).status_code == 401
            headers = {"Authorization": "Bearer correct-horse"}
            assert httpx.get(address + path, headers=headers, timeout=60).status_code == 200
        with httpx.Client(follow_redirects=True, timeout=60) as browser:
            assert "token" not in str(browser.get(guarded.address).url)
            assert all(browser.get(address + path).status_code == 200 for path in paths)
    finally:
        guarded.end()


@pytest.mark.slow
def test_the_examples_of_the_documentation_run(
    running: Running, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(pair, "photo.jpg")
    Image.linear_gradient("L").resize((460, 300)).save("mask.png")
    text = (Path(__file__).parents[2] / "docs" / "studio.md").read_text(encoding="utf-8")
    examples = re.findall(r"```(python|sh)\n(.*?)```", text.partition("## From a program")[2], re.S)
    for language, example in examples:
        code = example.replace("127.0.0.1:8643", urlsplit(running.address).netloc)
        code = code.replace("portrait", str(running.folder))
        run = [sys.executable, "-c", code] if language == "python" else ["bash", "-c", code]
        subprocess.run(run, check=True, timeout=300)
    said = capfd.readouterr().out
    assert len(examples) == 3
    assert "photo-x2.jpg" in said
    assert "The same bytes again." in said
    assert "event: complete" in said


@pytest.mark.slow
def test_a_client_restores_draws_films_and_compares(running: Running, pair: Path, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    client = Client(running.address, verbose=False, download_files=str(tmp_path / "downloads"))
    photo = handle_file(pair)
    restored = Path(client.predict(photo, scale=2, faces="1", fidelity=0.5, api_name="/restore"))
    options = ["--scale", "2", "--faces", "1", "--fidelity", "0.5", "--device", "cpu", "--recipe", str(running.folder)]
    done = CliRunner().invoke(cli, ["upres", str(pair), *options, "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert restored.read_bytes() == (tmp_path / "pair-x2.jpg").read_bytes()
    assert "--faces 1" in picture_text(restored)[COMMAND_KEY]
    with Image.open(client.predict(photo, width=920, api_name="/restore")) as wide:
        assert wide.width == 920
    with Image.open(client.predict(seed=3, truncation=1, api_name="/draw")) as face:
        assert face.size == (768, 768)
    film = client.predict(seeds="1,2", seconds=0.2, loop=False, size=128, api_name="/film")
    assert Path(film).suffix == ".mp4"
    left, right, figures = client.predict(photo, api_name="/compare")
    with Image.open(left) as one, Image.open(right) as other:
        assert one.size == other.size
    assert float(figures["right"]["Identity"]) < 0.6
    with pytest.raises(Exception, match="'' is neither a seed nor a range"):
        client.predict(seeds="2,", api_name="/film")
    with Image.open(pair) as picture:
        mask = Image.new("L", picture.size, 0)
    mask.paste(255, (300, 0, *mask.size))
    mask.save(tmp_path / "mask.png")
    painted = handle_file(tmp_path / "mask.png")
    protected = client.predict(photo, scale=2, format="png", mask=painted, api_name="/restore")
    free = client.predict(photo, scale=2, format="png", api_name="/restore")
    changed = (read_image(Path(protected)).rgb != read_image(Path(free)).rgb).any(axis=2)
    assert changed[:, 640:].any()
    assert not changed[:, :560].any()
    again, said = client.predict(handle_file(protected), photo, painted, api_name="/remake")
    assert said == "The same bytes again."
    assert Path(again).read_bytes() == Path(protected).read_bytes()


@pytest.mark.slow
def test_thirty_calls_at_once_are_all_answered_and_leave_no_memory_behind(running: Running) -> None:
    async def draw_all(first: int) -> list[str]:
        async with httpx.AsyncClient(timeout=300) as client:

            async def draw(seed: int) -> str:
                address = f"{running.address}gradio_api/call/draw"
                answer = await client.post(address, json={"data": [seed, 0, str(running.folder)]})
                return (await client.get(f"{address}/{answer.json()['event_id']}")).text

            return await asyncio.gather(*(draw(seed) for seed in range(first, first + 30)))

    assert all("event: complete" in said for said in asyncio.run(draw_all(0)))
    before = resident(running.pid)
    assert all("event: complete" in said for said in asyncio.run(draw_all(30)))
    assert resident(running.pid) - before < 100


SESSIONS = """
import sys
from pathlib import Path
from gradio.state_holder import StateHolder
from facegen.studio import app
from facegen.studio.work import Studio
app.SESSIONS, sessions = 3, StateHolder()
sessions.set_blocks(app.build(Studio(Path(sys.argv[1])), None))
print(*(list(sessions.session_data) for number in range(9) if sessions[str(number)]), sep="\\n")
"""


@pytest.mark.slow
def test_sessions_beyond_a_limit_are_forgotten(tmp_path: Path) -> None:
    """Each takes 0.2 MiB, and every call of an endpoint makes one. Building a page here would leave loops open."""
    done = subprocess.run([sys.executable, "-c", SESSIONS, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "['6', '7', '8']"


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
