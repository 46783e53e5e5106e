"""Take the pictures in docs/screenshots anew: ``make screenshots`` (about two minutes).

The whole service runs with the demo's real data; a bad version is released, the alarm comes, the
remedy that is proposed is approved on the page, and a real Chromium (Debian: apt-get install
chromium) takes the pictures on the way.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from leadsman.connection import Connection
from leadsman.demo.stage import Stage, staged

FOLDER = Path(__file__).parent / "screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
SPEED = 40
"""Rows a second: half a minute of quiet before the bad version, and as much after it."""
UNTIL = 10_200
SETTINGS = {"MONITOR_REMEDY_MODE": "propose", "MONITOR_SERIES_STEP": "PT1S"}
PATIENCE_MS = 120_000
MOST_BYTES = 1_500_000
"""Of all pictures together: they are part of every clone."""


class Camera:
    """Opens views of the console and takes pictures of them."""

    def __init__(self, browser: Browser, where: Connection) -> None:
        self._browser = browser
        self._where = where

    def page(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> Page:
        """A page that is signed in."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE_MS)
        made = context.new_page()
        made.add_init_script(f"sessionStorage.setItem('leadsman-key', '{self._where.key}')")
        return made

    def open(self, page: Page, view: str) -> None:
        """Go to a view and wait until it is drawn."""
        page.goto(f"{self._where.monitor_url}/livez")
        page.goto(f"{self._where.monitor_url}/{view}")
        page.locator("main h1").wait_for()
        page.get_by_text("live", exact=True).wait_for(state="attached")
        page.wait_for_timeout(700)

    def take(
        self, name: str, view: str, *, width: int = 1280, height: int = 800, dark: bool = False
    ) -> None:
        """Take a picture of a view."""
        page = self.page(width=width, height=height, dark=dark)
        self.open(page, view)
        page.screenshot(path=FOLDER / f"{name}.png")
        page.context.close()
        print(f"{name}.png", file=sys.stderr)


def play(stage: Stage, camera: Camera) -> None:
    """Let the first act happen, and take its pictures."""
    onlooker = camera.page()
    camera.open(onlooker, "#/")
    stage.begin()
    onlooker.get_by_text("is in alarm.").wait_for()
    onlooker.get_by_role("link", name="errs more than market:v1").first.click()
    onlooker.get_by_role("button", name="Approve…").wait_for()
    incident = onlooker.url.partition("#")[2]
    camera.take("fleet", "#/", height=440)
    camera.take("incident", f"#{incident}", height=1000)
    onlooker.get_by_role("button", name="Approve…").click()
    dialog = onlooker.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("v2 reads the price in another unit")
    dialog.get_by_role("button", name="Approve").click()
    onlooker.get_by_text("recovered", exact=True).first.wait_for()
    stage.finish()
    onlooker.wait_for_timeout(3_000)
    onlooker.context.close()
    camera.take("application", "#/applications/electricity", height=1300)
    camera.take("application-dark", "#/applications/electricity", height=1300, dark=True)
    camera.take("fleet-narrow", "#/", width=390, height=700)
    camera.take("application-narrow", "#/applications/electricity", width=390, height=700)
    camera.take("models", "#/models", height=440)
    camera.take("prediction", f"#/predictions/{stage.traffic.ids[1_000]}", height=900)
    camera.take("settings", "#/settings", height=1000)


def main() -> None:
    """Run the service, play, and see that the pictures stay small."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("expected chromium on the path; Debian: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="leadsman-screenshots-") as folder,
        staged(Path(folder) / "demo", speed=SPEED, until=UNTIL, extra=SETTINGS) as stage,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        play(stage, Camera(browser, stage.service.connection))
        browser.close()
    size = sum(one.stat().st_size for one in FOLDER.glob("*.png"))
    print(f"{size / 1e6:.2f} MB in all", file=sys.stderr)
    if size > MOST_BYTES:
        raise SystemExit(f"expected at most {MOST_BYTES:,} bytes of pictures, made {size:,}")


if __name__ == "__main__":
    main()
