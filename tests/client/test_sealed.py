"""Calls on an encrypted cache: the same answers, and nothing of them in the file."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ostinato import Cache, completion, embedding
from ostinato.caching.record import unpack
from ostinato.errors import ReplayMissError
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import MODEL, text, until

KEY = "correct horse battery staple 1"
PROMPT = [{"role": "user", "content": "foxglove"}]


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_hit_is_the_answer_that_was_paid(ask: Any, stream: bool, tmp_path: Path, emulator: Emulator) -> None:
    with Cache.disk(cache_path_root=tmp_path, encryption_key=KEY) as cache:
        paid = ask(MODEL, PROMPT, stream=stream)
        cache.flush()
        hit = ask(MODEL, PROMPT, stream=stream)
    with Cache.disk(cache_path_root=tmp_path, encryption_key=KEY):
        later = ask(MODEL, PROMPT, stream=stream)

    assert hit == later
    assert text(hit) == text(paid) if stream else hit == paid
    assert len(emulator.calls) == 1


def test_nothing_of_a_call_is_in_the_file_the_log_or_an_error(
    ask: Any, tmp_path: Path, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "ostinato")
    emulator.script(Reply(text="hemlock"), times=None)
    settings: dict[str, Any] = {"cache_path_root": tmp_path, "encryption_key": KEY, "namespace": "hellebore"}
    with Cache.disk(
        mode="record", **{**settings, "encryption_key": None, "cache_path_root": tmp_path / "plain"}
    ) as plain:
        ask(MODEL, PROMPT)
        ((key, blob),) = plain.store.scan(plain.tag)
        entry = unpack(blob, key[8:])
        assert entry is not None
        digests = list(entry.meta["parts"].values())
    settings["cache_path_root"] = tmp_path / "sealed"
    with Cache.disk(mode="record", **settings):
        ask(MODEL, PROMPT, cache={"tags": ["aconite"]})
        embedding("openai/text-embedding-3-small", input=["oleander"])
    wrong = Cache.disk(mode="replay", **{**settings, "encryption_key": "another key, of which nobody knows"})
    with wrong, pytest.raises(ReplayMissError) as raised:
        ask(MODEL, PROMPT)
    written = everything_in(tmp_path / "sealed")

    assert digests[-1] in everything_in(tmp_path / "plain")
    assert wrong.counters.undecryptable > 0
    said = (caplog.text + str(raised.value)).encode()
    words = ("foxglove", "hemlock", "oleander", "hellebore", "aconite", "gpt-4o", KEY)
    for secret in (*(word.encode() for word in words), *digests):
        assert secret not in written
        assert secret not in said


def test_replay_names_the_nearest_encrypted_record(ask: Any, tmp_path: Path) -> None:
    with Cache.disk(cache_path_root=tmp_path, encryption_key=KEY, mode="record"):
        ask(MODEL, PROMPT)
    with Cache.disk(cache_path_root=tmp_path, encryption_key=KEY, mode="replay"):
        assert ask(MODEL, PROMPT).cache_hit
        with pytest.raises(ReplayMissError, match=r"messages\[0\]"):
            ask(MODEL, [{"role": "user", "content": "another"}])


def test_cache_that_lost_its_key_asks_again_and_goes_on(ask: Any, tmp_path: Path) -> None:
    for key in (KEY, "another key, of which nobody knows"):
        with Cache.disk(cache_path_root=tmp_path, encryption_key=key) as cache:
            assert not ask(MODEL, PROMPT).cache_hit
            assert ask(MODEL, PROMPT).cache_hit
            assert cache.stats()["broken"] == 0


def test_namespace_of_a_call_has_a_data_key_of_its_own(ask: Any) -> None:
    with Cache.memory(encryption_key=KEY) as cache:
        for namespace in ("ours", "theirs"):
            ask(MODEL, PROMPT, cache={"namespace": namespace})
        cache.shred(namespace="theirs")

        assert ask(MODEL, PROMPT, cache={"namespace": "ours"}).cache_hit
        assert not ask(MODEL, PROMPT, cache={"namespace": "theirs"}).cache_hit


@pytest.mark.parametrize("mode", ["default_on", "record"])
def test_answer_on_its_way_while_its_namespace_is_shredded_is_unreadable(
    ask: Any, mode: Any, emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    cache = Cache.memory(encryption_key=KEY, mode=mode)
    emulator.script(Reply(gate=gate))

    def asked() -> None:
        with cache:
            ask(MODEL, PROMPT)

    late = pool.submit(asked)
    until(lambda: emulator.in_flight == 1)
    cache.shred()
    gate.set()
    late.result()

    assert len(list(cache.store.scan(cache.tag))) == 1
    assert list(cache.entries()) == []


def test_answer_keeps_its_vendors_words_with_the_cache_encrypted(emulator: Emulator) -> None:
    emulator.script(Reply(text="hemlock"))
    with Cache.memory(encryption_key=KEY) as cache:
        completion(MODEL, PROMPT)
        stored = b"".join(blob for _, blob in cache.store.scan())
        hit = completion(MODEL, PROMPT)

    assert b"hemlock" not in stored
    assert hit.choices[0].message.content == "hemlock"
