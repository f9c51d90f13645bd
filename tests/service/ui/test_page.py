"""The page does what it shows: by clicks and by keys, at any width, light and dark, under its policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from selenium.webdriver.common.keys import Keys

from tests.batch.browser import CHROMIUM
from tests.service.client import ask
from tests.service.door.ask import add_key
from tests.service.server import ROOT, Server, serving
from tests.service.ui.browser import DRIVER, MISSING, Browser, browsing
from tests.service.ui.checks import FAINT, FOCUS_SEEN, NAMELESS, TOO_WIDE

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING)

MODELS = ("bbc-bert", "fashion-resnet", "vowels-bilstm")
SECTIONS = ("models", "try", "jobs", "load")
PICTURES = ROOT / "build" / "page"
DESK, PHONE = (1280, 860), (390, 844)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server with keys, and what a test finds there.

    Attributes:
        folder: in which jobs may read and write.
        operator: a key that may do everything.
        reader: a key that may predict with bbc-bert and nothing else.
    """

    server: Server
    folder: Path
    operator: str
    reader: str

    def get(self, path: str) -> Any:
        """What the operator is answered."""
        reply = ask(self.server.port, "GET", path, headers=[f"Authorization: Bearer {self.operator}"])
        assert reply.status == 200, reply.body
        return reply.content

    def tag(self, model: str) -> str:
        return next(str(card["model"]) for card in self.get("/models")["models"] if card["name"] == model)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("page")
    keys = folder / "keys.json"
    operator = add_key(keys, "operator", "predict", "jobs", "admin")["Authorization"].removeprefix("Bearer ")
    reader = add_key(keys, "reader", "predict:bbc-bert")["Authorization"].removeprefix("Bearer ")
    settings = {
        "TANDEM_MODELS": ",".join(MODELS),
        "TANDEM_KEYS": str(keys),
        "TANDEM_JOBS_DIR": str(folder / "jobs"),
        "TANDEM_JOBS_ALLOW": f"{folder}/",
    }
    with serving(folder / "home", settings) as server:
        yield Place(server=server, folder=folder, operator=operator, reader=reader)


@pytest.fixture(scope="module")
def window(place: Place) -> Iterator[Browser]:
    with browsing(f"http://127.0.0.1:{place.server.port}") as browser:
        yield browser


@pytest.fixture
def browser(window: Browser, place: Place) -> Iterator[Browser]:
    """The page at a desk, in light, with the operator's key; afterwards nothing of it has been forbidden."""
    window.size(*DESK)
    window.prefer(scheme="light")
    window.open()
    if not window.ask("sessionStorage.length"):
        give_key(window, place.operator)
    yield window
    window.open()  # what the last page had to complain of is taken along
    assert window.complaints == []
    assert window.elsewhere == []


def give_key(browser: Browser, key: str) -> None:
    browser.find("#key-dialog input").send_keys(key)
    browser.click("#key-form button[type=submit]")
    browser.find(".model")


def test_models_are_shown_with_what_they_promise(browser: Browser, place: Place) -> None:
    cards = place.get("/models")["models"]
    assert len(browser.all(".model")) == len(cards) == len(MODELS)
    for card in cards:
        words = browser.find(f".model[data-model='{card['model']}']").text
        assert f"{100 * card['accuracy']['value']:.2f} %" in words
        assert card["accuracy"]["data"] in words
        assert "rows/s" in words
        assert card["digest"][:12] in words
        assert card["variant"] in words
        assert f"{len(card['labels'])} labels" in words
    browser.picture(PICTURES / "models.png")


def test_texts_are_tried_by_clicks(browser: Browser) -> None:
    browser.click(".model[data-model^=bbc-bert] a.button")
    browser.click("#try-example")
    browser.says("#try-count", "3 rows")
    browser.click("#try-send")
    browser.find(".answer")
    assert [found.text.split()[0] for found in browser.all(".answer .verdict")] == ["business", "sports", "tech"]
    assert len(browser.all(".answer:first-child .bars rect.score")) == 5
    browser.says("#try-said", "3 rows in ")
    browser.click("#try-curl summary")
    browser.says("#try-curl code", "Authorization: Bearer $TANDEM_KEY")
    browser.picture(PICTURES / "try-text.png")


def test_an_uploaded_image_is_answered_and_what_is_none_is_told_in_words(browser: Browser, tmp_path: Path) -> None:
    row = pq.read_table(ROOT / "models" / "zoo" / "data" / "fashion.parquet").slice(0, 1).to_pylist()[0]
    picture, broken = tmp_path / "a picture.png", tmp_path / "broken.png"
    picture.write_bytes(next(value for value in row.values() if isinstance(value, bytes)))
    broken.write_bytes(b"not an image at all")
    browser.open("#try/fashion-resnet")
    browser.find(".drop input").send_keys(f"{picture}\n{broken}")
    browser.says("#try-count", "2 images")
    browser.click("#try-send")
    browser.find(".answer")
    first, second = (found.text for found in browser.all(".answer"))
    assert "a picture.png" in first
    assert "4 more labels" in first
    assert "This is not an image that can be read." in second
    assert "UndecodableImage" in second
    browser.says("#try-said", "1 error row")
    browser.picture(PICTURES / "try-image.png")
    browser.click("[aria-label='Remove broken.png']")
    browser.says("#try-count", "1 image")


def test_a_pasted_sequence_is_answered_and_a_bad_line_is_named(browser: Browser) -> None:
    browser.open("#try/vowels-bilstm")
    browser.find("#try-form textarea").send_keys("0.1, 0.2\nno number")
    browser.says("#try-count", "Line 2 is no list of numbers.")
    browser.find("#try-form textarea").clear()
    browser.click("#try-example")
    browser.says("#try-count", "16 steps of 12 numbers")
    browser.click("#try-send")
    assert browser.find(".answer .verdict").text.startswith("speaker-2")
    browser.find("#try-form textarea").clear()
    browser.find("#try-form textarea").send_keys("[[1, 2], [3, 4]]")
    browser.click("#try-send")
    assert (
        "could not be" in browser.find(".answer.wrong").text or "not of the kind" in browser.find(".answer.wrong").text
    )
    browser.picture(PICTURES / "try-sequence.png")


def test_everything_is_reached_and_done_by_keys_alone(browser: Browser) -> None:
    for _ in range(2):
        browser.press(Keys.TAB)
        assert browser.ask(FOCUS_SEEN)
    assert browser.focused.text == "Try it"
    browser.press(Keys.ENTER)
    browser.find("#try-form textarea")
    for _ in range(12):
        if browser.focused.tag_name == "textarea":
            break
        browser.press(Keys.TAB)
        assert browser.ask(FOCUS_SEEN)
    browser.press("The minister resigned.")
    browser.focused.send_keys(Keys.CONTROL, Keys.ENTER)
    assert browser.find(".answer .verdict").text.startswith("politics")
    assert browser.focused.tag_name == "textarea"


def test_a_key_is_asked_for_kept_by_the_tab_and_forgotten(browser: Browser, place: Place) -> None:
    browser.click("#forget")
    browser.says("#models-said", "A key is needed")
    assert browser.ask("sessionStorage.length + localStorage.length") == 0
    assert browser.all(".model") == []
    browser.find("#key-dialog input").send_keys("a wrong one")
    browser.press(Keys.ENTER)
    browser.says("#key-said", "does not know the key")
    give_key(browser, place.reader)
    assert [found.get_attribute("data-model") for found in browser.all(".model")] == [place.tag("bbc-bert")]
    browser.click("nav a[href='#jobs']")
    browser.says("#jobs-said", "Your key does not let you see jobs.")
    browser.click("#forget")
    browser.picture(PICTURES / "key.png", whole=False)
    browser.open()
    give_key(browser, place.operator)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_and_every_field_a_name(browser: Browser, scheme: str) -> None:
    browser.prefer(scheme=scheme)
    for section in SECTIONS:
        show(browser, section)
        assert browser.ask(FAINT) == [], section
        assert browser.ask(NAMELESS) == [], section
        browser.picture(PICTURES / f"{scheme}-{section}.png")
    dark = browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("width", [390, 320])
def test_nothing_is_wider_than_a_phone(browser: Browser, width: int) -> None:
    """320 pixels are also a window of 1280 at 400 %."""
    browser.size(width, PHONE[1])
    for section in SECTIONS:
        show(browser, section)
        assert browser.ask(TOO_WIDE) <= 0, section
        browser.picture(PICTURES / f"phone-{width}-{section}.png")


def show(browser: Browser, section: str) -> None:
    """A section with something in it."""
    browser.open(f"#{section}")
    if section == "models":
        browser.find(".model")
    elif section == "try":
        browser.find("#try-form textarea")
        browser.click("#try-example")
        browser.find("#try-form textarea").send_keys("\nA line that no list of words would break: " + 60 * "x")
        browser.click("#try-send")
        browser.find(".answer")
    elif section == "jobs":
        browser.find("#job-form summary").click()
        browser.find("#jobs-list li, #jobs-said p")
    else:
        browser.find(".lane, #load-said p")
