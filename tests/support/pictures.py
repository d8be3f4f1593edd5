"""The pictures in the docs: each e-mail on a desktop and a phone, light and dark, and the console.

`make pictures` takes them again, with Chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from outbox_relay.rendering.branding import Sender
from outbox_relay.rendering.preview import SAMPLE_KEYS, preview
from outbox_relay.rendering.renderer import Renderer
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, Locale
from tests.support.console_pictures import take_console_pictures
from tests.support.small_png import small_picture

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
RENDERER = Renderer(SAMPLE_KEYS, "https://signpost.example", Sender("Signpost", "no-reply@signpost.example"))
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
SCHEMES = ("light", "dark")
WIDTH = 1008
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-lcd-text")

SIDE_BY_SIDE = """<!doctype html><meta name="color-scheme" content="light dark">
<style>body{margin:0;display:flex;gap:8px;width:100%;background:#8b94a3}iframe{border:0;display:block}</style>
<iframe width="640"></iframe><iframe width="360"></iframe>"""
FILL = """async html => {
  const frames = [...document.querySelectorAll("iframe")];
  await Promise.all(frames.map(frame => new Promise(done => { frame.onload = done; frame.srcdoc = html; })));
  const height = Math.max(...frames.map(frame => frame.contentDocument.body.scrollHeight));
  frames.forEach(frame => { frame.height = height; });
}"""


def take_pictures() -> None:
    """Take a picture for each template and colour scheme, and those of the console."""
    chromium = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if chromium is None:
        sys.exit("pictures need chromium, which this machine does not have")
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(OPTIONS))
        for scheme in SCHEMES:
            _take_all(browser, scheme)
        take_console_pictures(browser, PICTURES)
        browser.close()


def _take_all(browser: Browser, scheme: str) -> None:
    with browser.new_context(viewport={"width": WIDTH, "height": 400}) as context:
        page = context.new_page()
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for template in TEMPLATES:
            _take(page, template, PICTURES / f"{template}-{scheme}.png")


def _take(page: Page, template: Template, path: Path) -> None:
    page.set_content(SIDE_BY_SIDE)
    page.evaluate(FILL, preview(RENDERER, template, Channel.EMAIL, Locale.EN).html)
    path.write_bytes(small_picture(page, WIDTH))


if __name__ == "__main__":
    take_pictures()
