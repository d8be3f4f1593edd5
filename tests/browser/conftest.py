import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from devstack.cluster import Cluster
from tests.support.consoles import RunningConsole, operators_token, running_console
from tests.support.databases import Database, fresh_database
from tests.support.outbox import Outbox

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
"""Debian's names. The first has no windows and starts in half the time."""

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
    "--renderer-process-limit=1",
)


# Module scope: playwright's event loop runs as long as the browser, and blocks async tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if chromium is None:
        pytest.skip("this machine has no chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def shared_outbox(shared_database: Database) -> Outbox:
    return Outbox(shared_database)


@pytest.fixture(scope="module")
def token(shared_database: Database) -> str:
    return operators_token(shared_database)


@pytest.fixture(scope="module")
def console(shared_database: Database) -> Iterator[RunningConsole]:
    with running_console(shared_database) as console:
        yield console
