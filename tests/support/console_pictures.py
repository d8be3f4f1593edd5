"""The pictures of docs/guides/console.md: the console on a desktop and a phone, light and dark."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize

from tests.support.console_scene import Scene
from tests.support.consoles import running_console
from tests.support.databases import fresh_database, migrated_cluster
from tests.support.small_png import small_picture

DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
ROW = "select message_id from operator_actions where action = 'requeue'"


def take_console_pictures(browser: Browser, folder: Path) -> None:
    """Write the overview and a message in all variants, and the other pages once."""
    with migrated_cluster() as cluster, fresh_database(cluster) as database, running_console(database) as console:
        scene = Scene(database)
        token = scene.put()
        with database.connect() as owner:
            [(message_id,)] = owner.execute(ROW).fetchall()
        shown = {"overview": "/", "message": f"/messages/{message_id}"}
        once = {
            "messages": "/messages?status=dead&dead_reason=rejected&channel=sms",
            "bulk": "/bulk/new?dead_reason=expired",
        }
        for scheme in ("light", "dark"):
            for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
                with _signed_in(browser, console.base_url, token, scheme, size) as page:
                    is_first = (scheme, device) == ("light", "desktop")
                    for name, path in (shown | (once if is_first else {})).items():
                        scene.stay()
                        page.goto(path)
                        picture = folder / f"console-{name}-{device}-{scheme}.png"
                        picture.write_bytes(small_picture(page, size["width"]))


@contextmanager
def _signed_in(browser: Browser, url: str, token: str, scheme: str, size: ViewportSize) -> Iterator[Page]:
    with browser.new_context(viewport=size, base_url=url) as context:
        page = context.new_page()
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto("/")
        page.get_by_label("Your operator token").fill(token)
        page.keyboard.press("Enter")
        page.wait_for_selector(".figures")
        yield page
