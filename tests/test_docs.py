"""What the documentation says is run: snippets against the emulator, commands against the command line."""

from __future__ import annotations

import inspect
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
import pytest

from ostinato import errors
from ostinato.caching import policy
from ostinato.caching.cache import Cache
from ostinato.caching.stores import redis_settings
from ostinato.cli.main import cli
from ostinato.testing.emulator import Emulator, Reply
from tests.stores.redis_server import RedisServer, binaries

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w+)(?P<marks>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Snippet:
    code: str
    """Begins with as many empty lines as stand above it, so that a traceback names the page's own line."""
    marks: str


def snippets(page: Path, language: str) -> Iterator[Snippet]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if found["language"] == language:
            yield Snippet("\n" * text.count("\n", 0, found.start("code")) + found["code"], found["marks"].strip())


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def _reader(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand in an empty folder, with a key of every vendor, and with the emulator behind every address."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI", "DEEPSEEK"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-of-the-documentation")
        monkeypatch.setenv(f"{name}_BASE_URL", emulator.base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-documentation")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", emulator.anthropic_url)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "sk-of-the-documentation")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url)


@pytest.fixture
def _redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the environment name a Redis."""
    with RedisServer(binaries()[0]) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        yield


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("page", [page for page in PAGES if next(snippets(page, "python"), None)], ids=named)
def test_the_snippets_of_a_page_run_in_order(page: Path, request: pytest.FixtureRequest) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    if page.name == "redis.md":
        request.getfixturevalue("_redis")

    for snippet in snippets(page, "python"):
        code = compile(snippet.code, page, "exec", dont_inherit=True)
        if snippet.marks != "no-run":
            exec(code, namespace)


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_an_example_runs_twice(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["record"], []):
        monkeypatch.setattr(sys, "argv", [str(example), *arguments])
        runpy.run_path(str(example), run_name="__main__")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_marks_its_snippets_in_known_ways(page: Path) -> None:
    marks = {snippet.marks for snippet in snippets(page, "python")}

    assert marks <= {"", "no-run"}


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for snippet in snippets(page, "console"):
            for line in snippet.code.splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words:
                    yield named(page), words


def unknown_words(command: click.Command, words: list[str]) -> list[str]:
    """Return the words of a command line that `command` and its sub-commands do not know."""
    context = click.Context(command)
    options = {name for parameter in command.get_params(context) for name in parameter.opts}
    unknown = []
    for position, word in enumerate(words):
        if word.startswith("-"):
            if word.partition("=")[0] not in options:
                unknown.append(word)
        elif isinstance(command, click.Group):
            inner = command.get_command(context, word)
            return [*unknown, word] if inner is None else [*unknown, *unknown_words(inner, words[position + 1 :])]
    return unknown


@pytest.mark.parametrize(("page", "words"), [shown for shown in shown_commands() if shown[1][0] == "ostinato"])
def test_a_command_that_is_shown_exists(page: str, words: list[str]) -> None:
    assert unknown_words(cli, words[1:]) == [], page


def test_words_that_no_command_knows_are_found() -> None:
    assert unknown_words(cli, ["emulate", "--host", "::1", "--hots", "::1"]) == ["--hots"]
    assert unknown_words(cli, ["emulat", "--port", "0"]) == ["emulat"]


@pytest.mark.parametrize(("page", "words"), [shown for shown in shown_commands() if shown[1][0] == "make"])
def test_a_make_target_that_is_shown_exists(page: str, words: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert [word for word in words[1:] if "=" not in word and word not in targets] == [], page


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_link_to_a_file_leads_to_one(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    missing = []
    for name, anchor in LINK.findall(text):
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append((name, anchor))

    assert missing == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the pages are built with them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_every_page_is_in_the_navigation() -> None:
    shown = re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(shown) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_every_error_is_documented() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    names = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}

    assert {name for name in names if name not in page} == set()


def test_every_control_and_mode_of_the_cache_is_documented() -> None:
    page = (ROOT / "docs" / "response-cache.md").read_text(encoding="utf-8")

    assert {name for name in (*policy.CONTROLS, *policy.MODES) if f"`{name}`" not in page} == set()


def test_every_setting_and_counter_of_the_cache_is_documented() -> None:
    page = (ROOT / "docs" / "response-cache.md").read_text(encoding="utf-8")
    names = {*inspect.signature(Cache).parameters, *Cache.memory().stats()}

    assert {name for name in names if f"`{name}`" not in page} == set()


def test_every_setting_variable_and_counter_of_redis_is_documented() -> None:
    page = (ROOT / "docs" / "redis.md").read_text(encoding="utf-8")
    settings = (*redis_settings.OURS, *redis_settings.PLACES, *redis_settings.SAME, *redis_settings.SENTINEL)
    with Cache.redis("redis://127.0.0.1:1", near_bytes=1) as cache:
        counters = cache.stats()["store"]
    names = {*settings, *redis_settings.ENVIRONMENT, *counters, *counters["near"]}

    assert {name for name in names if f"`{name}`" not in page} == set()


def test_every_member_of_a_scripted_reply_is_documented() -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")

    assert {item.name for item in fields(Reply) if f"`{item.name}`" not in page} == set()


def named_in(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the name and the options of a command, and those of its sub-commands."""
    yield name
    yield from (option for parameter in command.params for option in parameter.opts if option.startswith("-"))
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            sub = command.get_command(context, inner)
            assert sub is not None
            yield from named_in(f"{name} {inner}", sub, context)


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    context = click.Context(cli)
    wanted = {*named_in("ostinato", cli, context)} - {"--version"}

    wanted |= {f"## ostinato {name}" for name in cli.list_commands(context)}

    assert {text for text in wanted if text not in page} == set()
