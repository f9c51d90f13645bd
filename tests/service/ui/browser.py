"""A Chromium that a test drives by clicks and keys, without a window; it finds no other machine than this."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.batch.browser import CHROMIUM
from tests.service.ui.checks import ELSEWHERE

DRIVER = shutil.which("chromedriver")
MISSING = "no Chromium with its chromedriver here: on Debian, apt-get install chromium-driver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
WAIT_S = 90

#: Runs before anything of a page does: keeps what the page's policy forbids, and what went wrong in its scripts.
LISTEN = """
window.complaints = [];
document.addEventListener("securitypolicyviolation", (e) => complaints.push(`${e.violatedDirective} ${e.blockedURI}`));
addEventListener("error", (e) => complaints.push(`error: ${e.message}`));
addEventListener("unhandledrejection", (e) => complaints.push(`rejection: ${e.reason}`));
"""


class Browser:
    """One window on one server's page.

    Attributes:
        complaints: what the policy forbade and what scripts raised, of every page that was left.
        elsewhere: every address of another origin that was asked for.
    """

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver, self.url = driver, url
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTEN})

    def open(self, address: str = "") -> None:
        """Load the page anew, at one of its sections."""
        if self.driver.current_url.startswith(self.url):
            self.complaints += self.ask("window.complaints")
            self.elsewhere += self.ask(ELSEWHERE)
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}/ui{address}")

    def find(self, css: str) -> WebElement:
        """The first element that is seen, waited for."""

        def look(driver: webdriver.Chrome) -> WebElement | None:
            return next((one for one in driver.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()), None)

        found = WebDriverWait(self.driver, WAIT_S, ignored_exceptions=[]).until(look, f"nothing is seen of {css}")
        assert isinstance(found, WebElement)
        return found

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def click(self, css: str) -> None:
        self.find(css).click()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def until(self, script: str, *words: Any) -> Any:
        """What an expression of JavaScript is, once it is something."""
        return WebDriverWait(self.driver, WAIT_S).until(
            lambda driver: driver.execute_script(f"return {script}", *words), f"never: {script}"
        )

    def ask(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script.strip()}")

    def wait(self, look: Callable[[], object]) -> None:
        """Until something that is not of the page is so."""
        WebDriverWait(self.driver, WAIT_S).until(lambda _: look())

    def download_to(self, folder: Path) -> None:
        """Where files go that the page gives; for as long as the browser lives."""
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})

    def says(self, css: str, words: str) -> None:
        """Wait until an element has these words among its own."""
        self.until(
            f"[...document.querySelectorAll({json.dumps(css)})].some(e => e.innerText.includes(arguments[0]))", words
        )

    def size(self, width: int, height: int) -> None:
        """A viewport of exactly this size: a window has a least width, a screen's metrics have none."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefer(self, **features: str) -> None:
        """What the person prefers: scheme="dark", motion="reduce"."""
        named = [{"name": f"prefers-{ {'scheme': 'color-scheme', 'motion': 'reduced-motion'}[name]}", "value": value}
                 for name, value in features.items()]  # fmt: skip
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})

    def offline(self, is_so: bool) -> None:
        """Whether no request of the page reaches anybody."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        conditions = {"offline": is_so, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def take(self, *, whole: bool = True) -> bytes:
        """A PNG of the page, as far down as it goes, or of what is in the window."""
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        return base64.b64decode(taken["data"])

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Keep one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.take(whole=whole))


@contextlib.contextmanager
def browsing(url: str) -> Iterator[Browser]:
    """A browser with a profile of its own, until the block ends."""
    assert CHROMIUM, MISSING
    assert DRIVER, MISSING
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield Browser(driver, url)
        finally:
            driver.quit()
