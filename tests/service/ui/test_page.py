"""The page does what it shows: by clicks and by keys, at any width, light and dark, under its policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from selenium.webdriver.common.keys import Keys

from tests.batch.browser import CHROMIUM
from tests.service.client import ask, predict_body
from tests.service.door.ask import add_key
from tests.service.server import ROOT, Server, serving
from tests.service.ui.browser import DRIVER, MISSING, Browser, browsing
from tests.service.ui.checks import FAINT, FOCUS_SEEN, NAMELESS, TOO_WIDE

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING)

ZOO = ("bbc-bert", "fashion-resnet", "vowels-bilstm")
MODELS = (*ZOO, "tests.service.ui.models:VectorModel")
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

    def predict(self, model: str, rows: list[Any]) -> None:
        headers = [f"Authorization: Bearer {self.operator}"]
        reply = ask(self.server.port, "POST", "/predict", predict_body(model, rows), headers)
        assert reply.status == 200, reply.body

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
        "PYTHONPATH": str(ROOT),
        "TANDEM_KEYS": str(keys),
        "TANDEM_JOBS_DIR": str(folder / "jobs"),
        "TANDEM_JOBS_ALLOW": f"{folder}/",
        "TANDEM_JOBS_PRIORITY": "equal",  # beside other tests an idle job would wait for ever
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
    assert "not stated" in browser.find(".model[data-model='letter-vectors:1']").text
    for card in cards[: len(ZOO)]:
        words = browser.find(f".model[data-model='{card['model']}']").text
        assert f"{100 * card['accuracy']['value']:.2f} %" in words
        assert card["accuracy"]["data"] in words
        assert f"{card['input']['kind']}" in words
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
    assert "steps of 12 numbers" in browser.find(".answer.wrong").text
    browser.picture(PICTURES / "try-sequence.png")


def test_vectors_are_drawn_copied_and_compared(browser: Browser) -> None:
    browser.open("#try/letter-vectors")
    browser.find("#try-form textarea").send_keys("listen\nsilent\nzzz")
    browser.click("#try-send")
    browser.find(".answer")
    assert len(browser.all(".answer:first-child .strip rect")) == 26
    browser.says(".answer:first-child", "26 numbers, length 1, from ")
    cosines = [
        [float(cell.text) for cell in row.find_elements("css selector", "td")] for row in browser.all("tbody tr")
    ]
    assert cosines[0][:2] == [1, 1]  # an anagram has the same letters
    assert cosines[0][2] < 0.5
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    browser.click(".answer:first-child .copy")
    browser.says(".answer:first-child .copy", "Copied")
    browser.picture(PICTURES / "try-vectors.png")


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
    assert "Unload" not in browser.find(".model").text
    assert not browser.all("#load-form")[0].is_displayed()
    browser.click("nav a[href='#jobs']")
    browser.says("#jobs-said", "Your key does not let you see jobs.")
    browser.click("#forget")
    browser.picture(PICTURES / "key.png", whole=False)
    browser.open()
    give_key(browser, place.operator)


def test_a_version_is_loaded_made_the_default_and_unloaded(browser: Browser, place: Place) -> None:
    browser.find("#load-form [name=model]").send_keys("no-such-model")
    browser.press(Keys.ENTER)
    browser.says("#models-said", "no-such-model")
    browser.click(".model[data-model^=vowels-bilstm] button.second")
    browser.click("#sure-no")
    browser.click(".model[data-model^=vowels-bilstm] button.second")
    browser.click("#sure-yes")
    browser.says("#models-said", "is unloaded")
    assert [card["name"] for card in place.get("/models")["models"]] == ["bbc-bert", "fashion-resnet", "letter-vectors"]
    browser.find("#load-form [name=model]").clear()
    browser.find("#load-form [name=model]").send_keys("vowels-bilstm")
    browser.click("#load-form button")
    browser.says("#models-said", "vowels-bilstm is loaded")
    browser.find(".model[data-model^=vowels-bilstm]")
    browser.picture(PICTURES / "models-loaded.png")


def test_jobs_are_started_watched_cancelled_and_reported(browser: Browser, place: Place, tmp_path: Path) -> None:
    put_texts(place.folder / "long", files=20, rows=100, words=400)
    put_texts(place.folder / "short", files=2, rows=20, words=10)
    browser.click("nav a[href='#jobs']")
    browser.says("#job-column-hint", "“text”")
    start_job(browser, place, "nothing")
    browser.says("#job-said", "nothing")  # what is wrong is told beside the form, in the server's words
    start_job(browser, place, "long")
    browser.until("document.querySelector('.job progress')?.value > 0")
    browser.says(".job .numbers", "of 2,000 rows")
    start_job(browser, place, "short")
    browser.says(".job:nth-child(1) .badge", "queued")
    browser.says(".job:nth-child(2) .badge", "running")
    browser.picture(PICTURES / "jobs.png")
    browser.find(".job:nth-child(2) .actions button").click()
    assert browser.focused.text == "Leave it"
    browser.click("#sure-yes")
    browser.says(".job:nth-child(2) .badge", "cancelled")
    browser.says(".job:nth-child(1) .badge", "done")
    browser.says(".job:nth-child(1) .numbers", "40 rows")
    browser.download_to(tmp_path)
    browser.click(".job:nth-child(1) a.button")
    browser.wait(lambda: any(path.suffix == ".html" for path in tmp_path.iterdir()))
    (report,) = tmp_path.glob("*.html")
    assert "40 rows predicted" in report.read_text(encoding="utf-8")
    browser.open("#jobs")
    assert len(browser.find("#jobs-list").find_elements("css selector", ".job")) == 2


def put_texts(folder: Path, *, files: int, rows: int, words: int) -> None:
    """Files in partitions of their own, which makes each a shard."""
    for number in range(files):
        (folder / f"p={number}").mkdir(parents=True)
        body = [f"{row} {number} " + "words about a match " * (words // 4) for row in range(rows)]
        pq.write_table(pa.table({"body": body}), folder / f"p={number}" / "rows.parquet")


def start_job(browser: Browser, place: Place, name: str) -> None:
    for field, value in {
        "input": f"{place.folder}/{name}/",
        "output": f"{place.folder}/{name}-out/",
        "column": "body",
    }.items():
        found = browser.find(f"#job-form [name={field}]")
        found.clear()
        found.send_keys(value)
    browser.click("#job-form button[type=submit]")
    browser.until("!document.querySelector('#job-form button[type=submit]').disabled")


def test_the_load_is_live_and_says_since_when_nothing_answers(browser: Browser, place: Place) -> None:
    browser.click("nav a[href='#load']")
    lane = f".lane[data-model='{place.tag('bbc-bert')}']"
    before = int(browser.find(f"{lane} [data-tile=answered]").text.split()[0].replace(",", ""))
    for number in range(12):
        place.predict("bbc-bert", [f"The match number {number} was lost.", "Shares fell."])
    browser.until(f'parseInt(document.querySelector("{lane} [data-tile=answered]").innerText) === {before + 12}')
    browser.until(f'document.querySelector("{lane} .chart path.line-1")')
    browser.until(f"document.querySelector(\"{lane} .chart\").ariaLabel.startsWith('latency: p50 ')")
    browser.picture(PICTURES / "load.png")
    browser.offline(True)
    browser.says("#load-said", "No answer since ")
    browser.says("#health", "no answer since ")
    browser.offline(False)
    browser.until("document.querySelector('#load-said').innerText === ''")
    browser.says("#health", "ready")
    browser.click("#load-pause")
    browser.says("#load-said", "Paused at ")
    assert browser.find("#load-pause").get_attribute("aria-pressed") == "true"
    browser.click("#load-pause")
    browser.until("document.querySelector('#load-said').innerText === ''")


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
