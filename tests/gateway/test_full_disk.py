"""A ledger whose disk is full, or cannot be written at all: calls are answered, and the log says what is wrong."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostinato.testing.emulator import Emulator
from tests.client.calls import until
from tests.gateway.served import LONG_S, Served, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and sysfs, are Linux's")

APP = "ostinato.gateway.endpoints:build_app"
CONFIG = """
model_list:
  - {{model_name: gpt, params: {{model: openai/gpt-4o, api_base: "{base_url}", api_key: any}}}}
general_settings: {{ledger: "{ledger}"}}
cache: {{type: memory}}
"""
FULL_BYTES = 16 << 10
"""No file may grow beyond this: the ledger's log is longer already, the gateway's own is not."""


@contextmanager
def gateway(folder: Path, ledger: Path, emulator: Emulator) -> Iterator[Served]:
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(base_url=emulator.base_url, ledger=ledger))
    with serving(config, app=APP) as served:
        yield served


def ask(served: Served, words: str) -> str:
    """Return how a call was answered, as its header has it."""
    body = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": words}]}).encode()
    request = urllib.request.Request(served.url + "/v1/chat/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=LONG_S) as answer:
        answer.read()
        return str(answer.headers["x-ostinato-cache"])


def calls_in(served: Served) -> int:
    return sum(row["calls"] for row in json.loads(served.get("/spend"))["data"])


def limit_files(served: Served, most_bytes: int) -> None:
    """Have every write of the gateway beyond so many bytes of a file refused, as a full disk refuses it."""
    import resource

    _, hard = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (most_bytes, hard))


def test_a_full_disk_under_the_ledger_turns_nobody_away_and_loses_no_line(tmp_path: Path, emulator: Emulator) -> None:
    import resource

    with gateway(tmp_path, tmp_path / "gateway.db", emulator) as served:
        told = [ask(served, "before")]
        until(lambda: calls_in(served) == 1)
        limit_files(served, FULL_BYTES)
        told += [ask(served, "while it is full"), ask(served, "before")]
        said = served.logged("the ledger cannot be written")
        told += [ask(served, "still full")]
        limit_files(served, resource.RLIM_INFINITY)
        until(lambda: calls_in(served) == 4)

    assert told == ["miss", "miss", "hit", "miss"]
    assert "calls go on and their sums wait" in said
    assert str(tmp_path / "gateway.db") in said


def test_a_place_that_cannot_be_written_turns_nobody_away(tmp_path: Path, emulator: Emulator) -> None:
    ledger = Path("/sys/ostinato/gateway.db")  # nobody can make files there, an administrator neither
    with gateway(tmp_path, ledger, emulator) as served:
        told = [ask(served, "hello"), ask(served, "hello")]
        said = served.logged("the ledger cannot be written")
        told.append(ask(served, "hello"))
        code, last = served.end()

    assert told == ["miss", "hit", "hit"]
    assert str(ledger) in said
    assert code == 0
    assert any("is lost" in line for line in last)
