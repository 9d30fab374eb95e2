"""The page in a browser: swipes, keys, undo, reload, a server that dies, two raters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.data.manifest import read_manifest
from facegen.media.images import write_image
from tests.browser import IN_BROWSER, chromium
from tests.data.curate.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FACES = 6
pytestmark = IN_BROWSER
Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def running(tmp_path: Path, head: RGB) -> Iterator[Running]:
    """Six faces, each of another colour, served."""
    for number in range(FACES):
        write_image(tmp_path / "faces" / f"{number}.png", np.roll(head, number, axis=2) // (1 + number // 3))
    process = Running(tmp_path / "faces").start()
    yield process
    process.kill()


@pytest.fixture
def open_page(browser: Browser, running: Running) -> Iterator[Open]:
    """Open the page on a phone or a desktop computer; a message on its console is a failure."""
    messages: list[str] = []
    contexts = []

    def start(rater: str, phone: bool = False) -> Page:
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
        context = browser.new_context(viewport=size, has_touch=phone, is_mobile=phone)  # type: ignore[arg-type]
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(f"{running.address}?rater={rater}")
        wait_for_face(page, 0)
        return page

    yield start
    for context in contexts:
        context.close()
    assert [text for text in messages if "ERR_CONNECTION_REFUSED" not in text] == []


def wait_for_face(page: Page, number: int) -> None:
    """Wait until the face is on top, and decoded."""
    card = f'.card:not([inert]):not(.leaving) img[alt="Face {number}.png"]'
    page.wait_for_function(
        "s => { const i = document.querySelector(s); return i && i.complete && i.naturalWidth > 0 }", arg=card
    )


def swipe(page: Page, dx: int) -> None:
    """Move a finger over the middle of the face, by the browser's touch events."""
    box = page.locator("#deck").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)
    send: Callable[[str, list[dict[str, float]]], Any] = lambda kind, points: session.send(  # noqa: E731
        "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
    )
    send("touchStart", [{"x": x, "y": y}])
    for step in range(1, 6):
        send("touchMove", [{"x": x + dx * step / 5, "y": y}])
    send("touchEnd", [])


def labels(running: Running, rater: str) -> list[tuple[str, str]]:
    """A rater's lines on the disk."""
    path = running.folder / "labels" / f"{rater}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["file"], line["label"]) for line in lines]


def wait_for_progress(page: Page, done: int) -> None:
    page.wait_for_function(
        "text => document.querySelector('#progress').textContent.startsWith(text)", arg=f"{done} of {FACES}"
    )


def test_swipes_label_and_a_tap_undoes(open_page: Open, running: Running) -> None:
    page = open_page("anna", phone=True)
    swipe(page, 200)
    wait_for_face(page, 1)
    swipe(page, -200)
    wait_for_face(page, 2)
    swipe(page, 20)  # too short: the card goes back
    wait_for_progress(page, 2)
    assert labels(running, "anna") == [("0.png", "keep"), ("1.png", "drop")]
    page.locator("#undo").tap()
    wait_for_face(page, 1)
    wait_for_progress(page, 1)
    assert labels(running, "anna")[-1] == ("1.png", "")


def test_two_taps_zoom_and_swipes_then_pan(open_page: Open, running: Running) -> None:
    page = open_page("anna", phone=True)
    for _ in range(2):
        page.locator("#deck").tap()
    assert page.locator("#zoom").get_attribute("aria-pressed") == "true"
    swipe(page, 150)
    transform = page.locator(".card.zoomed img").evaluate("image => image.style.transform")
    assert "translate(150px, 0px) scale(2.5)" in transform
    assert labels(running, "anna") == []


def test_keys_label_and_undo_also_after_a_reload(open_page: Open, running: Running) -> None:
    page = open_page("anna")
    for number, key in enumerate(("ArrowRight", "ArrowLeft", "ArrowRight"), start=1):
        page.keyboard.press(key)
        wait_for_face(page, number)
    page.keyboard.press("Space")
    assert page.locator("#zoom").get_attribute("aria-pressed") == "true"
    page.keyboard.press("z")
    wait_for_face(page, 2)
    wait_for_progress(page, 2)
    page.reload()
    wait_for_face(page, 2)
    page.keyboard.press("Backspace")
    wait_for_face(page, 1)
    wait_for_progress(page, 1)
    assert labels(running, "anna")[-2:] == [("2.png", ""), ("1.png", "")]


def test_a_key_held_down_labels_one_face(open_page: Open, running: Running) -> None:
    page = open_page("anna")
    for _ in range(5):
        page.keyboard.down("ArrowRight")  # from the second on, Playwright marks it as a repetition
    page.keyboard.up("ArrowRight")
    wait_for_progress(page, 1)
    assert labels(running, "anna") == [("0.png", "keep")]


def test_a_face_that_is_not_visible_yet_is_not_labelled(open_page: Open, running: Running) -> None:
    page = open_page("anna")
    page.route("**/pictures/*", lambda route: None)  # never answered
    page.reload()
    page.wait_for_selector(".card img")
    page.keyboard.press("ArrowRight")
    page.unroute("**/pictures/*")
    page.reload()
    wait_for_face(page, 0)
    assert labels(running, "anna") == []


def test_a_server_killed_and_started_again_has_every_label(open_page: Open, running: Running) -> None:
    page = open_page("anna")
    page.keyboard.press("ArrowRight")
    wait_for_progress(page, 1)
    running.kill()
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "1 not saved yet" in page.locator("#trouble").inner_text()
    running.start()
    wait_for_progress(page, 2)
    assert page.locator("#trouble").is_hidden()
    page.reload()
    wait_for_face(page, 2)
    assert labels(running, "anna") == [("0.png", "keep"), ("1.png", "drop")]


def test_labels_of_two_raters_are_compared_and_exported(open_page: Open, running: Running) -> None:
    for rater, drops in (("anna", 2), ("bert", 1)):
        page = open_page(rater)
        for number in range(FACES):
            page.locator("#drop" if number < drops else "#keep").click()
        page.wait_for_selector("#raters tr")
        wait_for_progress(page, FACES)
    summary = page.locator("#summary").inner_text()
    assert "You have labelled all 6 faces." in summary
    assert "agree on 83.3 %" in summary
    page.get_by_role("button", name="Look again at the disputed face").click()
    wait_for_face(page, 1)
    assert "you: keep" in page.locator("#reasons").inner_text()
    page.locator("#keep").click()
    page.wait_for_selector("#summary:not([hidden])")
    page.locator("#export").click()
    page.wait_for_function("() => document.querySelector('#exported').textContent !== ''")
    assert page.locator("#exported").inner_text().startswith("manifest.csv written: 4 keep, 1 drop; 1 ties")
    assert [entry.label for entry in read_manifest(running.folder)] == ["drop", "", "keep", "keep", "keep", "keep"]


def test_faces_without_a_label_follow_the_disputed_ones(open_page: Open) -> None:
    for rater, key in (("anna", "ArrowRight"), ("bert", "ArrowLeft")):
        page = open_page(rater)
        page.keyboard.press(key)
        wait_for_progress(page, 1)
    page.locator("#summary-button").click()
    page.get_by_role("button", name="Look again at the disputed face").click()
    wait_for_face(page, 0)
    page.keyboard.press("ArrowRight")
    wait_for_face(page, 1)


def test_the_page_asks_for_the_rater_who_can_change(open_page: Open, browser: Browser, running: Running) -> None:
    open_page("anna").keyboard.press("ArrowRight")
    with browser.new_context() as context:
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.goto(running.address)
        page.get_by_label("Name").fill("../bert")
        page.get_by_role("button", name="Start").click()
        page.wait_for_function("() => document.querySelector('#who-error').textContent !== ''")
        page.get_by_label("Name").fill("bert")
        page.get_by_role("button", name="Start").click()
        wait_for_face(page, 0)
        page.get_by_role("button", name="Rater: bert").click()
        page.get_by_role("button", name="anna", exact=True).click()
        wait_for_face(page, 1)
