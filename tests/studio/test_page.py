"""The page in a browser: every tab on a real photo, cancelling, reloading, two visitors, keyboard, phone."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from facegen.arrays import RGB
from facegen.media.images import picture_text, read_image, resize, write_image
from facegen.media.record import COMMAND_KEY
from tests.browser import IN_BROWSER, chromium
from tests.data.curate.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

pytestmark = IN_BROWSER
Open = Callable[..., "Page"]
OPERATED = ("button", "checkbox", "combobox", "link", "radio", "slider", "spinbutton", "tab", "textbox")
"""Roles that need a name."""
KNOWN = ("Method not implemented.", "AbortError", "errored out")
"""Messages that Gradio itself prints on the console, the last two when its page is left."""


def is_trouble(message: ConsoleMessage) -> bool:
    """Return True for errors; warnings come from the editor's graphics library."""
    return message.type == "error" and not any(map(message.text.__contains__, KNOWN))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser, running: Running) -> Iterator[Open]:
    """Open the page as a new visitor, on a phone or a computer; fail on errors and on requests to other servers."""
    said: list[str] = []
    hear = said.append
    contexts = []

    def start(tab: str = "Restore", phone: bool = False) -> Page:
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 860}
        context = browser.new_context(viewport=size, is_mobile=phone, has_touch=phone)  # type: ignore[arg-type]
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: hear(message.text) if is_trouble(message) else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        own = (running.address.rstrip("/"), "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else said.append(request.url))
        page.goto(running.address)
        page.get_by_role("tab", name=tab).click()
        return page

    yield start
    for context in contexts:
        context.close()
    assert said == []


def drop(page: Page, *photos: Path) -> None:
    """Choose files, and wait until their faces are found."""
    page.set_input_files("#photos input[type=file]", photos)
    page.locator("#framed img, #restore-status p").first.wait_for()


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def download(page: Page, name: str, folder: Path, file: str) -> Path:
    """Download until the button gives the file of this name; until that is made, it gives none or an older one."""
    from playwright.sync_api import TimeoutError as NothingGiven

    given = "nothing"
    for _ in range(60):
        try:
            with page.expect_download(timeout=3000) as started:
                button(page, name).click()
        except NothingGiven:
            continue
        given = started.value.suggested_filename
        if given == file:
            started.value.save_as(folder / file)
            return folder / file
        page.wait_for_timeout(500)
    raise AssertionError(f"{given}, not {file}")


def seen(place: Locator, folder: Path) -> RGB:
    """Read the pixels of an element on the screen."""
    place.screenshot(path=folder / "seen.png")
    return read_image(folder / "seen.png").rgb


def test_a_photo_is_restored_without_the_face_that_was_switched_off(
    open_page: Open, pair: Path, tmp_path: Path
) -> None:
    page = open_page()
    drop(page, pair)
    second = page.get_by_label("Face 2")
    second.focus()
    page.keyboard.press("Space")
    page.wait_for_function("() => !document.querySelectorAll('input[type=checkbox]')[1].checked")
    page.locator("#framed img").click(position={"x": 5, "y": 5})  # beside all faces: nothing changes
    button(page, "Restore").click()
    result = download(page, "Download", tmp_path, "pair-x5.jpg")
    assert "--faces 1" in picture_text(result)[COMMAND_KEY]
    with Image.open(result) as picture:
        assert picture.getexif()[271] == "Kodak"


def test_the_slider_shows_one_picture_at_each_end(open_page: Open, pair: Path, tmp_path: Path) -> None:
    page = open_page()
    drop(page, pair)
    button(page, "Restore").click()
    handle = page.get_by_role("slider", name="Left and right")
    handle.wait_for()
    shown = {}
    for key in ("End", "Home"):
        handle.press(key)
        page.wait_for_timeout(400)
        shown[key] = seen(page.locator("#before-after img").first, tmp_path).astype(int)
    height, width = shown["End"].shape[:2]
    result = download(page, "Download", tmp_path, "pair-x5.jpg")
    inner = (slice(60, -10), slice(40, -60))  # without the buttons and the handle
    for key, file in (("End", pair), ("Home", result)):
        expected = resize(read_image(file).rgb, (width, height)).astype(int)
        assert np.abs(shown[key] - expected)[inner].mean() < 6
    assert np.abs(shown["End"] - shown["Home"])[inner].max() > 20, "what the tiny networks add"


def test_of_a_queue_of_ten_all_but_the_broken_file_are_in_the_zip(
    open_page: Open, pair: Path, head: RGB, tmp_path: Path
) -> None:
    photos = [write_image(tmp_path / f"head-{number}.png", head) for number in range(8)]
    (tmp_path / "broken.jpg").write_bytes(pair.read_bytes()[:3000])
    page = open_page()
    drop(page, *photos, tmp_path / "broken.jpg", pair)
    page.get_by_label("Scale").click()
    page.get_by_role("option", name="2×").click()
    button(page, "Restore").click()
    bundle = download(page, "Download all as ZIP", tmp_path, "facegen.zip")
    with zipfile.ZipFile(bundle) as opened:
        assert opened.namelist() == [*(f"head-{number}-x2.png" for number in range(8)), "pair-x2.jpg"]
    said = page.locator("#restore-status").inner_text()
    assert "broken.jpg: " in said
    assert "/" not in said, "no folder of the machine"
    page.locator("#strip button").nth(8).click()
    download(page, "Download", tmp_path, "pair-x2.jpg")


def test_work_goes_on_after_a_reload_and_ends_when_it_is_cancelled(
    open_page: Open, astronaut: RGB, tmp_path: Path
) -> None:
    page = open_page()
    photos = [write_image(tmp_path / f"{number}.png", astronaut) for number in range(6)]
    drop(page, *photos)
    page.get_by_label("Scale").click()
    page.get_by_role("option", name="8×").click()
    button(page, "Restore").click()
    page.get_by_text("Photo 1 of 6").wait_for()
    page.reload()
    page.get_by_text("of 6 · ").wait_for()
    page.get_by_text("Photo 2 of 6").wait_for()
    button(page, "Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    assert button(page, "Restore").is_enabled()
    assert page.locator("#strip button").count() == 6


def test_visitors_see_their_own_photos_only(open_page: Open, pair: Path) -> None:
    one, other = open_page(), open_page()
    drop(one, pair)
    button(one, "Restore").click()
    drop(other, pair)
    other.get_by_label("Face 1").uncheck()
    button(other, "Restore").click()
    for page in (one, other):
        button(page, "Download").wait_for()
    one.reload()
    button(one, "Download").wait_for()
    one.get_by_label("Faces", exact=True).click()
    assert one.get_by_label("Face 1").is_checked()
    other.get_by_label("Faces", exact=True).click()
    assert not other.get_by_label("Face 1").is_checked()


def test_what_is_painted_is_left_alone_and_the_picture_can_be_made_again(
    open_page: Open, pair: Path, tmp_path: Path
) -> None:
    page = open_page()
    drop(page, pair)
    page.get_by_role("radio", name="Protect").click()
    page.get_by_text("Paint over areas that should stay as they are.").wait_for()
    canvas = page.locator("#editor canvas").first
    canvas.wait_for()
    page.wait_for_timeout(3000)  # it fades in
    place = canvas.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x - 60, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=10)
    page.mouse.up()
    page.get_by_label("Scale").click()
    page.get_by_role("option", name="2×").click()
    button(page, "Restore").click()
    with zipfile.ZipFile(download(page, "Download all as ZIP", tmp_path, "facegen.zip")) as opened:
        opened.extractall(tmp_path)
    mask = read_image(tmp_path / "pair-mask.png").rgb
    height, width = mask.shape[:2]
    assert mask[height // 2, width // 2 - 10 : width // 2 + 10].min() == 255
    assert mask[: height // 8].max() == 0
    again = open_page()
    drop(again, tmp_path / "pair-x2.jpg", pair)
    again.get_by_text("Made by: facegen upres").wait_for()
    button(again, "Make it again").click()
    again.get_by_text("was made from pair-mask.png; drop that here too.").wait_for()
    again.set_input_files("#photos input[type=file]", tmp_path / "pair-mask.png")
    again.locator("#strip button").nth(2).wait_for()
    button(again, "Make it again").click()
    again.get_by_text("The same bytes again.").wait_for()
    made = download(again, "Download", tmp_path, "pair-x2-replay.jpg")
    assert made.read_bytes() == (tmp_path / "pair-x2.jpg").read_bytes()


@pytest.mark.parametrize("how", ["paste", "drop"])
def test_a_photo_that_is_pasted_or_dropped_beside_the_box_is_taken(open_page: Open, how: str) -> None:
    page = open_page()
    page.evaluate(
        """async (how) => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
          canvas.getContext("2d").fillRect(0, 0, 64, 64);
          const blob = await new Promise((done) => canvas.toBlob(done));
          const bag = new DataTransfer();
          bag.items.add(new File([blob], "pasted.png", { type: "image/png" }));
          const options = { clipboardData: bag, dataTransfer: bag, bubbles: true, cancelable: true };
          document.dispatchEvent(how === "paste" ? new ClipboardEvent(how, options) : new DragEvent(how, options));
        }""",
        how,
    )
    page.get_by_text("No face found").wait_for()


def test_a_face_is_drawn_explained_changed_and_filmed(open_page: Open, tmp_path: Path) -> None:
    page = open_page("Draw")
    page.locator("#grid button").nth(11).wait_for()
    page.get_by_label("Seeds").first.fill("3,7")
    button(page, "Draw").click()
    page.wait_for_function("() => document.querySelectorAll('#grid button').length === 2")
    page.locator("#grid button").nth(1).click()
    download(page, "Download", tmp_path, "seed0007-768.png")
    page.get_by_label("Votes").click()
    page.get_by_text("Change the face").click()
    button(page, "Add to film").click()
    page.get_by_text("The film has 1 face now.").wait_for()
    way = page.get_by_role("slider", name="range slider for Direction 1")
    way.press("ArrowRight")
    way.press("ArrowRight")
    download(page, "Download", tmp_path, "face-768.png")
    button(page, "Add to film").click()
    page.get_by_text("The film has 2 faces now.").wait_for()
    button(page, "Draw its neighbours").click()
    page.locator("#grid button").nth(11).wait_for()
    page.get_by_role("tab", name="Film").click()
    page.get_by_role("spinbutton", name="number input for Seconds").fill("1")
    page.keyboard.press("Tab")
    first = "() => document.querySelector('#keyframes img')?.alt"
    page.wait_for_function(f"{first} === '7'")
    page.locator("#keyframes button").nth(1).drag_to(page.locator("#keyframes button").nth(0))
    page.wait_for_function(f"{first} !== '7'")
    button(page, "Later →").press("Enter")
    page.wait_for_function(f"{first} === '7'")
    button(page, "Preview").click()
    download(page, "Download", tmp_path, "preview.mp4")


def test_two_ways_are_compared_and_dropped_weights_are_one(open_page: Open, pair: Path, running: Running) -> None:
    page = open_page("Compare")
    button(page, "Compare").click()
    page.get_by_text("Drop a photo first.").wait_for()
    page.set_input_files("#compared input[type=file]", pair)
    page.get_by_text(pair.stem).first.wait_for()
    page.get_by_text("Other weights").click()
    weights = running.folder.parent / "jnet"
    page.set_input_files("#own-weights input[type=file]", [weights / "card.toml", weights / "model.safetensors"])
    page.get_by_text("tiny-jnet can be chosen.").wait_for()
    page.get_by_label("Right", exact=True).click()
    page.get_by_role("option", name="tiny-jnet").click()
    button(page, "Compare").click()
    table = page.locator(".figures")
    table.wait_for()
    assert table.get_by_role("rowheader").all_inner_texts() == ["lanczos", "tiny-jnet, fidelity 1"]
    page.set_viewport_size({"width": 390, "height": 844})
    place = table.bounding_box()
    assert place is not None
    assert place["x"] + place["width"] <= 390


def test_a_set_is_looked_through_in_a_window_of_its_own(open_page: Open) -> None:
    page = open_page("Curate")
    page.get_by_text("heads: 3 faces").wait_for()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open the set").press("Enter")
    curate = opened.value
    curate.get_by_label("Name").fill("anna")
    curate.get_by_role("button", name="Start").click()
    curate.locator(".card img").first.wait_for()
    curate.keyboard.press("ArrowRight")
    curate.get_by_text("1 of 3").wait_for()


@pytest.mark.parametrize("tab", ["Restore", "Draw", "Film", "Compare", "Curate"])
def test_on_a_phone_nothing_is_cut_off_and_everything_has_a_name(open_page: Open, tab: str) -> None:
    page = open_page(tab, phone=True)
    page.wait_for_timeout(1500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if tab == "Draw":
        faces = page.locator("#grid button")
        faces.nth(11).wait_for()
        assert all(place["x"] + place["width"] <= 390 for face in faces.all() if (place := face.bounding_box()))
    said = page.locator("body").aria_snapshot()
    assert re.findall(rf"- (?:{'|'.join(OPERATED)})(?: \[.*\])?:?$", said, re.MULTILINE) == [], said
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, [role=slider]")]
          .map((e) => [e, e.getBoundingClientRect()])
          .filter(([e, at]) => e.checkVisibility() && at.height > 1 && (at.width < 20 || at.height < 20))
          .map(([e]) => e.outerHTML)"""
    )
    assert small == []
