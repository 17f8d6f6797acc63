"""The dashboard in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ostinato.gateway.books import Books
from ostinato.testing.emulator import Emulator
from tests.gateway.serving import CACHE, Serving, config_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MASTER = "sk-master-0123456789abcdef"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is on PATH (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


@pytest.fixture
def team(emulator: Emulator, tmp_path: Path) -> Iterator[Serving]:
    more = f"{CACHE}\ngeneral_settings: {{master_key: {MASTER}}}\n"
    with Serving(config_for(emulator, more), books=Books(tmp_path / "gateway.db")) as serving:
        yield serving


@pytest.fixture
def page(browser: Any, team: Serving) -> Iterator[Any]:
    """Open the page; whatever it complains of in its console fails the test."""
    shown = browser.new_page()
    complaints: list[str] = []
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    shown.goto(f"{team.url}/ui")
    yield shown
    shown.close()
    assert complaints == []


def enter(page: Any) -> None:
    page.get_by_label("Master key").fill(MASTER)
    page.get_by_role("button", name="Look").click()
    page.get_by_role("heading", name="Where it went").wait_for()


def test_the_page_asks_for_the_key_and_says_when_it_is_wrong(page: Any) -> None:
    page.get_by_label("Master key").fill("sk-wrong")
    page.get_by_role("button", name="Look").click()
    page.get_by_text("this API key is not known here").wait_for()

    enter(page)


def test_the_page_shows_what_was_paid_and_saved(page: Any, team: Serving) -> None:
    body = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}]}
    for _ in range(4):
        httpx2.post(
            f"{team.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {MASTER}"}
        ).raise_for_status()
    enter(page)
    cards = page.get_by_role("region", name="In all")

    assert cards.get_by_text("calls", exact=True).locator("..").inner_text().startswith("4")
    assert cards.get_by_text("answered without asking").locator("..").inner_text().startswith("75.0 %")
    row = page.get_by_role("row").filter(has_text="gpt")
    assert row.first.inner_text().split("\t")[1] == "4"
    assert page.locator("canvas").count() == 1
    first, last = (
        date.fromisoformat(day) for day in re.findall(r"\S+-\S+", page.get_by_role("img").get_attribute("aria-label"))
    )
    assert (last - first).days == 6
    cache = page.get_by_role("region", name="Response cache")
    assert cache.get_by_text("hits").locator("..").inner_text().startswith("3")
    assert cache.get_by_text("misses").locator("..").inner_text().startswith("1")
    assert cache.get_by_text("broken").count() == 0
    page.get_by_role("button", name="today").click()
    page.get_by_role("img").wait_for(state="detached")
    page.get_by_role("button", name="tenant").click()
    page.get_by_role("row").filter(has_text="default").first.wait_for()


def test_a_key_is_made_and_revoked_on_the_page(page: Any, team: Serving) -> None:
    enter(page)
    form = page.get_by_role("form", name="New key")
    form.get_by_label("id").fill("laptop")
    form.get_by_label("tenant").fill("research")
    form.get_by_role("button", name="Create").click()
    secret = page.locator("code.secret").inner_text()
    models = f"{team.url}/v1/models"

    assert httpx2.get(models, headers={"authorization": f"Bearer {secret}"}).status_code == 200
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("row").filter(has_text="laptop").get_by_role("button", name="Revoke").click()
    page.get_by_role("row").filter(has_text="laptop").get_by_text("revoked").wait_for()
    assert httpx2.get(models, headers={"authorization": f"Bearer {secret}"}).status_code == 401
    form.get_by_label("id").fill("laptop")
    form.get_by_role("button", name="Create").click()
    page.get_by_text("there is a key 'laptop' already").wait_for()
