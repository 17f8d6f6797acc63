"""`ostinato cache`, run over real caches: disk, and every Redis and Valkey there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ostinato import Cache, completion, embedding
from ostinato.cli.main import cli
from ostinato.testing.emulator import Emulator, Reply
from tests.stores.cosmos_emulator import CosmosEmulator
from tests.stores.redis_server import PASSWORD, RedisServer, binaries, cluster

MODEL = "openai/gpt-4o"
OTHER = "openai/gpt-4o-mini"
KEY = "correct horse battery staple 1"


class Command:
    """The command line on one cache."""

    def __init__(self, name: str, open_cache: Callable[..., Cache], env: dict[str, str] | None = None) -> None:
        self.name = name
        self.open = open_cache
        self.env = env or {}

    def __call__(self, *words: str, code: int = 0, **given: Any) -> Result:
        ran = CliRunner().invoke(cli, ["cache", words[0], "--cache", self.name, *words[1:]], env=self.env, **given)
        assert ran.exit_code == code, ran.output
        return ran

    def rows(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self("ls", "--json", *words).stdout.splitlines()]


def _disk(tmp_path: Path) -> Iterator[Command]:
    def opened(**settings: Any) -> Cache:
        return Cache.disk(cache_path_root=tmp_path, cache_seed=42, **settings)

    (tmp_path / "42").mkdir(mode=0o700)
    yield Command(f"disk:{tmp_path / '42'}", opened)


def _redis(binary: str) -> Iterator[Command]:
    with RedisServer(binary, password=PASSWORD) as server:
        url = f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
        yield Command(url, lambda **settings: Cache.redis(url, **settings))


@pytest.fixture(params=["disk", *binaries()], ids=lambda name: Path(name).name)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Command]:
    yield from _disk(tmp_path) if request.param == "disk" else _redis(request.param)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Command]:
    yield from _disk(tmp_path)


@pytest.fixture(autouse=True)
def _openai(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)


def ask(text: str, model: str = MODEL, **controls: Any) -> Any:
    return completion(model, [{"role": "user", "content": text}], cache=controls or None)


def fill(command: Command, **settings: Any) -> list[str]:
    """Ask three questions, and return the texts of their answers."""
    with command.open(**settings):
        answers = [ask("heron"), ask("stork", OTHER, ttl=3600), ask("crane", namespace="theirs", tags=["bird"])]
    return [answer.choices[0].message.content for answer in answers]


def asked_again(command: Command, **settings: Any) -> list[Any]:
    with command.open(**settings):
        return [ask("heron"), ask("stork", OTHER), ask("crane", namespace="theirs")]


def test_listing_says_what_is_there_and_nothing_of_what_was_said(run: Command) -> None:
    texts = fill(run)
    rows = run.rows()
    shown = run("ls").stdout

    assert sorted(row["model"] for row in rows) == [MODEL, MODEL, OTHER]
    assert [row["tags"] for row in rows if row["tags"]] == [["bird"]]
    assert [row["expires_at"] - row["stored_at"] for row in rows if row["expires_at"]] == [3600]
    assert all(row["key"][:16] in shown for row in rows)
    for secret in (*texts, "heron", "stork"):
        assert secret not in shown
        assert secret not in json.dumps(rows)


def test_listing_keeps_to_a_namespace_a_model_and_a_tag(run: Command) -> None:
    fill(run)

    assert len(run.rows("--namespace", "theirs")) == 1
    assert len(run.rows("--namespace", "")) == 2
    assert len(run.rows("--namespace", "theirs", "--seed", "7")) == 0
    assert len(run.rows("--model", OTHER)) == 1
    assert len(run.rows("--tag", "bird")) == 1


def test_entry_is_shown_by_the_first_digits_of_its_key(run: Command) -> None:
    text = fill(run)[1]
    (row,) = run.rows("--model", OTHER)

    assert text in run("show", row["key"][:10]).stdout
    shown = json.loads(run("show", row["key"], "--json").stdout)
    assert shown["body"]["choices"][0]["message"]["content"] == text
    assert "stork" not in run("show", row["key"]).stdout
    assert "only record mode keeps it" in run("show", row["key"], "--request").stdout


def test_prompt_is_shown_where_record_mode_kept_it_and_only_when_asked_for(disk: Command) -> None:
    fill(disk, mode="record")
    (row,) = disk.rows("--model", OTHER)

    assert "stork" not in disk("show", row["key"]).stdout
    assert "stork" not in disk("show", row["key"], "--json").stdout
    assert "stork" in disk("show", row["key"], "--request").stdout
    assert "stork" in disk("show", row["key"], "--request", "--json").stdout


@pytest.mark.parametrize("key", ["xyz", "ab", "0" * 64, ""])
def test_key_that_names_no_entry_is_an_error(key: str, disk: Command) -> None:
    fill(disk)

    assert "key" in disk("show", key, code=1).output
    assert "key" in disk("rm", key, code=1).output


def test_entries_are_removed_by_key_model_and_tag(run: Command) -> None:
    fill(run)
    (stork,) = run.rows("--model", OTHER)

    assert run("rm", stork["key"][:12]).stdout == "1 removed\n"
    assert run("rm", "--tag", "bird").stdout == "1 removed\n"
    assert [answer.cache_hit for answer in asked_again(run)] == [True, False, False]
    assert run("rm", "--model", MODEL).stdout == "2 removed\n"
    assert "say what to remove" in run("rm", code=2).output


def test_clearing_asks_first_and_keeps_to_the_namespace(run: Command) -> None:
    fill(run)

    assert "say what to clear" in run("clear", code=2).output
    assert "say what to clear" in run("clear", "--all", "--namespace", "theirs", code=2).output
    run("clear", "--namespace", "theirs", input="n\n", code=1)
    assert len(run.rows()) == 3
    assert run("clear", "--namespace", "theirs", input="y\n").stdout.endswith("1 removed\n")
    assert len(run.rows()) == 2
    run("clear", "--all", "--yes")
    assert run.rows() == []


def test_export_clear_and_import_give_the_same_answers(run: Command, tmp_path: Path) -> None:
    texts = fill(run)
    file = tmp_path / "export.jsonl"
    assert run("export", str(file)).stderr == "3 exported\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["v"] for line in file.read_text().splitlines()] == [1] * 4
    run("clear", "--all", "--yes")

    assert "3 imported" in run("import", str(file)).stdout
    again = asked_again(run)
    assert [answer.cache_hit for answer in again] == [True] * 3
    assert [answer.choices[0].message.content for answer in again] == texts
    assert "3 kept" in run("import", str(file)).stdout


def test_export_goes_into_another_cache_of_another_kind(disk: Command, tmp_path: Path) -> None:
    texts = fill(disk)
    exported = disk("export", "-").stdout
    moved = tmp_path / "elsewhere" / "42"
    other = Command(f"disk:{moved}", lambda **_: Cache.disk(cache_path_root=moved.parent))
    other("import", "-", input=exported)

    assert [answer.choices[0].message.content for answer in asked_again(other)] == texts


def test_export_of_an_encrypted_cache_is_encrypted_and_opens_with_the_key(disk: Command, tmp_path: Path) -> None:
    texts = fill(disk, encryption_key=KEY)
    keys, wrong = tmp_path / "keys", tmp_path / "wrong"
    keys.write_text(f"{KEY}\n")
    wrong.write_text("another key, of which nobody knows\n")
    file = str(tmp_path / "export.jsonl")
    disk("export", file, "--key-file", str(keys))
    assert not any(text in Path(file).read_text() for text in texts)
    assert texts[0] in disk("export", "-", "--plain", "--key-file", str(keys)).stdout
    disk("clear", "--all", "--yes")

    assert "3 locked" in disk("import", file, "--key-file", str(wrong)).stdout
    assert "3 locked" in disk("import", file).stdout
    assert "3 imported" in disk("import", file, "--key-file", str(keys)).stdout
    assert [answer.cache_hit for answer in asked_again(disk, encryption_key=KEY)] == [True] * 3


def test_encrypted_entries_are_listed_with_the_key_of_the_environment_alone(disk: Command) -> None:
    fill(disk, encryption_key=KEY)

    assert disk.rows() == []
    assert "3 more cannot be read here" in disk("ls").stderr
    disk.env = {"OSTINATO_ENCRYPTION_KEY": KEY}
    assert len(disk.rows()) == 3
    (row,) = disk.rows("--tag", "bird")
    disk.env = {}
    assert "cannot be read" in disk("show", row["key"], code=1).stderr
    assert disk("rm", row["key"]).stdout == "1 removed\n"


def test_shredded_namespace_stays_unreadable_also_after_its_entries_come_back(disk: Command) -> None:
    fill(disk, encryption_key=KEY)
    with disk.open(encryption_key=KEY, namespace="theirs") as cache:
        saved = dict(cache.store.scan(cache.tag))
    disk("clear", "--namespace", "theirs", "--shred", "--yes")
    with disk.open(encryption_key=KEY, namespace="theirs") as cache:
        for key, blob in saved.items():
            cache.store.set(key, blob)
        cache.flush()

    assert [answer.cache_hit for answer in asked_again(disk, encryption_key=KEY)] == [True, True, False]


def test_damaged_lines_are_counted_and_the_others_imported(disk: Command, tmp_path: Path) -> None:
    fill(disk)
    file = tmp_path / "export.jsonl"
    disk("export", str(file))
    lines = file.read_bytes().splitlines(keepends=True)
    disk("clear", "--all", "--yes")
    file.write_bytes(lines[0].replace(b"chat", b"cart") + b"garbage\n" + b"".join(lines[2:]))

    ran = disk("import", str(file), code=1)
    assert "1 imported" in ran.stdout
    assert "2 damaged" in ran.stdout


def test_file_without_its_end_is_told(disk: Command, tmp_path: Path) -> None:
    fill(disk)
    file = tmp_path / "export.jsonl"
    disk("export", str(file))
    lines = file.read_bytes().splitlines(keepends=True)
    for whole in (lines[:-1], lines[1:]):
        file.write_bytes(b"".join(whole))

        assert "not whole" in disk("import", str(file), code=1).stderr


def test_export_replaces_a_file_only_when_told_to(disk: Command, tmp_path: Path) -> None:
    fill(disk)
    file = tmp_path / "export.jsonl"
    file.write_text("precious")

    assert "--force" in disk("export", str(file), code=1).stderr
    assert file.read_text() == "precious"
    disk("export", str(file), "--force")
    assert len(file.read_text().splitlines()) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["42", "export.jsonl"]


def test_stats_count_by_kind_and_model(run: Command) -> None:
    fill(run)
    counted = json.loads(run("stats", "--json").stdout)

    assert (counted["entries"], counted["unreadable"]) == (3, 0)
    assert counted["kinds"] == {"chat": 3}
    assert counted["models"] == {MODEL: 2, OTHER: 1}
    assert f"models {MODEL}" in run("stats").stdout


@pytest.mark.parametrize("name", ["disk:/nowhere/at/all", "disk:", "memory", "cosmos:a/b", "http://:secret@host"])
def test_name_that_is_no_cache_is_refused_and_not_repeated(name: str) -> None:
    ran = CliRunner().invoke(cli, ["cache", "ls", "--cache", name])

    assert ran.exit_code == 2
    assert "secret" not in ran.output


def test_letters_that_move_the_cursor_are_not_shown(disk: Command, emulator: Emulator) -> None:
    emulator.script(Reply(text="\x1b[2Jboo"))
    with disk.open() as cache:
        cache.set("k", 1, tags=["\x1b[2J"])
        ask("heron")
    key = next(row["key"] for row in disk.rows() if row["kind"] == "chat")

    assert "\x1b" not in disk("ls").stdout + disk("show", key).stdout + disk("stats").stdout


def test_cosmos_is_named_by_its_database_and_container() -> None:
    with CosmosEmulator() as emulator:
        string = emulator.connection_string
        settings: dict[str, Any] = {"database_id": "caches", "container_id": "answers", "timeout_ms": 10_000}
        run = Command(
            "cosmos:caches/answers",
            lambda **more: Cache.cosmos_db(string, **settings, **more),
            {"COSMOS_CONNECTION_STRING": string},
        )
        texts = fill(run)

        assert len(run.rows("--namespace", "theirs")) == 1
        exported = run("export", "-").stdout
        run("clear", "--all", "--yes")
        assert run.rows() == []
        run("import", "-", input=exported)
        assert [answer.choices[0].message.content for answer in asked_again(run)] == texts


def _cluster(binary: str) -> Iterator[Command]:
    with cluster(binary, password=PASSWORD) as servers:
        url = f"redis+cluster://127.0.0.1:{servers[0].port},127.0.0.1:{servers[1].port}"
        yield Command(
            url,
            lambda **settings: Cache.redis(url, password=PASSWORD, timeout_ms=10_000, **settings),
            {"REDIS_PASSWORD": PASSWORD},
        )


@pytest.fixture(params=["disk", "redis", "cluster"])
def any_kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Command]:
    made = {"disk": lambda: _disk(tmp_path), "redis": lambda: _redis(binaries()[0])}
    yield from made.get(request.param, lambda: _cluster(binaries()[0]))()


def test_every_kind_of_entry_comes_back_as_it_was_from_any_kind_of_cache(any_kind: Command, tmp_path: Path) -> None:
    run, file = any_kind, str(tmp_path / "export.jsonl")

    def asked() -> list[tuple[bool, Any]]:
        with run.open(encryption_key=KEY, namespace="mine") as cache:
            streamed = list(completion(MODEL, [{"role": "user", "content": "egret"}], stream=True))
            answers = [
                ask("heron", tags=["bird"]),
                ask("stork", ttl=3600),
                embedding("openai/text-embedding-3-small", "ibis"),
            ]
            cache.set("greeting", "hello")
            hits = [answer.cache_hit for answer in answers]
            return [
                *zip(hits, answers, strict=True),
                (True, "".join(c.choices[0].delta.content or "" for c in streamed)),
            ]

    run.env = {**run.env, "OSTINATO_ENCRYPTION_KEY": KEY}
    first = asked()
    rows = {row["key"]: row for row in run.rows()}
    run("export", file)
    run("clear", "--all", "--yes")
    assert run.rows() == []

    assert "5 imported" in run("import", file).stdout
    again = {row["key"]: row for row in run.rows()}
    assert again.keys() == rows.keys()
    for key, row in rows.items():
        assert again[key]["expires_at"] == row["expires_at"]
        assert again[key]["tags"] == row["tags"]
    assert asked() == [(True, answer) for _, answer in first]
    run("rm", "--tag", "bird")
    assert len(run.rows("--namespace", "mine")) == 4
    assert json.loads(run("stats", "--json").stdout)["kinds"] == {"chat": 2, "embedding": 1, "value": 1}


def test_redis_alone_is_what_the_variables_name() -> None:
    with RedisServer(binaries()[0], password=PASSWORD) as server:
        there = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port), "REDIS_PASSWORD": PASSWORD}
        run = Command("redis", lambda **settings: Cache.redis(server.url, **settings), there)
        fill(run)

        assert len(run.rows()) == 3


def test_bar_shows_on_a_terminal_and_only_there(disk: Command) -> None:
    pty = pytest.importorskip("pty", reason="there are no terminals of this kind here")
    fill(disk)
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", "from ostinato.cli.main import cli; cli()", "cache", "ls", "--cache", disk.name]
    ran = subprocess.run(
        program, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}, check=True, text=True
    )
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)

    assert b"listing" in shown
    assert ran.stdout == disk("ls").stdout
