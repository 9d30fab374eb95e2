"""`facegen data curate`: options, the export, and labels after the process was killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from facegen.data.curate.labels import LabelLog, log_path
from facegen.data.manifest import read_manifest
from tests.attacks import check_answers, check_unfinished
from tests.cli.conftest import Facegen
from tests.data.curate.running import Running


@pytest.fixture
def running(head_folder: Path) -> Iterator[Running]:
    process = Running(head_folder)
    yield process
    process.kill()


def ask(running: Running, method: str, path: str, **options: Any) -> httpx.Response:
    with httpx.Client(base_url=running.address, trust_env=False) as client:
        return client.request(method, path, **options)


def test_another_host_needs_a_token(facegen: Facegen, head_folder: Path) -> None:
    result = facegen("data", "curate", head_folder, "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "--host 0.0.0.0: others on the network could use the page" in result.output


def test_a_weak_token_is_refused(facegen: Facegen, head_folder: Path) -> None:
    assert facegen("data", "curate", head_folder, "--token", "abc").exit_code == 2


def test_a_wrong_rater_is_refused(facegen: Facegen, head_folder: Path) -> None:
    result = facegen("data", "curate", head_folder, "--rater", "../x", "--port", 0)
    assert result.exit_code == 2
    assert "rater '../x'" in result.output


@pytest.mark.parametrize("export", [(), ("--export",)])
def test_a_folder_without_pictures_is_named(facegen: Facegen, tmp_path: Path, export: tuple[str, ...]) -> None:
    result = facegen("data", "curate", tmp_path, "--port", 0, *export)
    assert result.exit_code == 1
    assert f"{tmp_path}: neither a manifest.csv nor a picture" in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_extra_is_named_where_it_is_missing(
    facegen: Facegen, head_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.cli.options.find_spec", lambda name: None)
    result = facegen("data", "curate", head_folder)
    assert result.exit_code == 1
    assert result.stderr == "Error: fastapi, uvicorn: not installed; pip install 'facegen[data]'\n"


def test_export_needs_no_page(facegen: Facegen, head_folder: Path) -> None:
    LabelLog(log_path(head_folder, "anna")).set("a.png", "drop")
    result = facegen("data", "curate", head_folder, "--export")
    assert result.exit_code == 0
    assert "manifest.csv: 0 keep, 1 drop, 0 ties, 2 unlabelled" in result.output
    assert [entry.label for entry in read_manifest(head_folder)] == ["drop", "", ""]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit of open files is set from outside")
@pytest.mark.parametrize("sent", [
    b"", b"GET / HTTP/1.1\r\nHost:", b"POST /api/labels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
])  # fmt: skip
def test_300_unfinished_requests_do_not_block_others(running: Running, sent: bytes) -> None:
    resource = pytest.importorskip("resource")
    running.start()
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (256, 256))  # as on macOS
    check_unfinished(running.address, sent)


@pytest.mark.slow
def test_no_request_causes_a_server_error(running: Running) -> None:
    check_answers(running.start().address, "/api/labels")


def test_a_silent_connection_is_closed(
    running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import facegen.web; facegen.web.PATIENCE = 0.2\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    running.start()
    port = int(running.address.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
        silent.sendall(b"GET / HT")
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""


@pytest.mark.skipif(os.name != "posix", reason="signals that can be caught")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_loses_no_label(running: Running, how: signal.Signals) -> None:
    running.start("--rater", "anna")
    first, *_ = ask(running, "GET", "/api/session?rater=anna").json()["faces"]
    ask(running, "POST", "/api/labels", json={"rater": "anna", "face": first["key"], "label": "drop"})
    running.end(how)
    assert LabelLog(log_path(running.folder, "anna")).labels == {"a.png": "drop"}


def test_kill_9_loses_no_label(running: Running) -> None:
    running.start("--rater", "anna")
    first, *_ = ask(running, "GET", "/api/session?rater=anna").json()["faces"]
    body = {"rater": "anna", "face": first["key"], "label": "drop"}
    assert ask(running, "POST", "/api/labels", json=body).status_code == 200
    running.kill()
    running.start()
    again = ask(running, "GET", "/api/session?rater=anna").json()
    assert [(face["name"], face["label"]) for face in again["history"]] == [("a.png", "drop")]
    assert running.end(signal.SIGINT).strip() == "anna: 0 keep, 1 drop of 3"


def test_a_set_is_labelled_by_one_process_at_a_time(running: Running, facegen: Facegen, head_folder: Path) -> None:
    running.start("--token", "correct-horse")
    assert running.address.endswith("/?token=correct-horse")
    result = facegen("data", "curate", head_folder, "--port", 0)
    assert result.exit_code == 2
    assert "runs on it already" in result.output


def test_a_port_in_use_is_named(running: Running, facegen: Facegen, head_folder: Path) -> None:
    port = httpx.URL(running.start().address).port
    result = facegen("data", "curate", head_folder, "--port", port)
    assert result.exit_code == 2
    assert f"--port {port}: cannot be used (Address already in use); --port 0 takes a free one." in result.output
