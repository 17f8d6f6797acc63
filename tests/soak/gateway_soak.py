"""Many requests of all kinds at one gateway: every answer is right, and its memory stays what it is.

    python -m tests.soak.gateway_soak --requests 200000

The gateway is a process of its own in front of the emulator. Hits, misses, streams, wrong requests, names that clients
make up and clients that leave take turns, over connections that are kept. Exit status 0 when every answer was the
expected one, the process held less than 70 MB and did not grow between the middle and the end.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ostinato.testing.emulator import Emulator
from tests.gateway.served import serving

CONNECTIONS = 12
SAMPLES = 20
HOT = 50
"""Prompts that are asked again and again."""
MOST_GROWTH = 0.05
"""How much of its memory the process may grow by between the middle and the end."""
MOST_MB = 70
"""What the process may hold, with its cache and all it remembers full."""
APP = "ostinato.gateway.endpoints:build_app"
CONFIG = """
model_list:
  - {{model_name: gpt, params: {{model: openai/gpt-4o, api_base: "{openai}", api_key: any}}}}
  - {{model_name: claude, params: {{model: anthropic/claude-sonnet-4-5, api_base: "{anthropic}", api_key: any}}}}
  - {{model_name: "any/*", params: {{model: "openai/*", api_base: "{openai}", api_key: any}}}}
cache: {{type: memory, max_bytes: 8000000}}
"""
"""The cache is small, so that it is full before the middle: what grows then is no cache."""


@dataclass
class Outcome:
    asked: int
    rss_kb: list[int] = field(default_factory=list)
    """Of the gateway, at even distances from the first request to the last."""
    seen: Counter[str] = field(default_factory=Counter)
    """Kinds of requests by what became of them."""
    wrong: list[str] = field(default_factory=list)
    """Answers that were not the expected ones."""

    @property
    def growth(self) -> float:
        """How much larger the process was in the last quarter than just after the middle, as a part of it."""
        middle, end = len(self.rss_kb) // 2, 3 * len(self.rss_kb) // 4
        before, after = max(self.rss_kb[middle:end]), max(self.rss_kb[end:])
        return after / before - 1

    @property
    def ok(self) -> bool:
        return not self.wrong and self.growth < MOST_GROWTH and self.most_mb < MOST_MB

    @property
    def most_mb(self) -> float:
        """Megabytes of the process at its largest."""
        return max(self.rss_kb) / 1024

    def __str__(self) -> str:
        sizes = " ".join(f"{size / 1024:.1f}" for size in self.rss_kb)
        return f"{dict(self.seen)}\nMB: {sizes}\ngrowth {self.growth:.1%}\nwrong: {self.wrong[:5]}"


def chat(model: str, text: str, **more: Any) -> bytes:
    return msgspec.json.encode(
        {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 20, **more}
    )


def message(text: str, **more: Any) -> bytes:
    return chat("claude", text, **more)


CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
Request = tuple[str, bytes, int]
"""Path, body, and the status that is right for it."""
KINDS: dict[str, Callable[[int], Request]] = {
    "hit": lambda number: (CHAT, chat("gpt", f"hot {number % HOT}"), 200),
    "hit of the other dialect": lambda number: (MESSAGES, message(f"hot {number % HOT}"), 200),
    "streamed hit of the other dialect": lambda number: (MESSAGES, message(f"hot {number % HOT}", stream=True), 200),
    "streamed hit": lambda number: (CHAT, chat("gpt", f"hot {number % HOT}", stream=True), 200),
    "miss": lambda number: (CHAT, chat("gpt", f"cold {number} " + "x" * (number % 3000)), 200),
    "streamed miss": lambda number: (MESSAGES, message(f"cold {number}", stream=True), 200),
    "long miss": lambda number: (CHAT, chat("gpt", f"long {number} " + "y" * 6000), 200),
    "no JSON": lambda number: (CHAT, b'{"model": ' + b"[" * (number % 200), 400),
    "no model": lambda number: (CHAT, chat(f"nobody-{number}", "hello"), 404),
    "made-up model": lambda number: (CHAT, chat(f"any/model-{number}", "hello"), 200),
    "no path": lambda number: (f"/v1/{number}", b"{}", 404),
    "client that leaves": lambda number: (CHAT, chat("gpt", f"gone {number}", stream=True), 0),
}
TURNS = ("hit",) * 8 + ("hit of the other dialect", "streamed hit", *(name for name in KINDS if name != "hit"))


class Driver:
    """Asks over some connections at once."""

    def __init__(self, url: str, rss_kb: Callable[[], int], outcome: Outcome) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._rss_kb = rss_kb
        self._outcome = outcome
        self._left = outcome.asked

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for seed in range(CONNECTIONS):
                group.create_task(self._ask_on(random.Random(seed)))

    async def _ask_on(self, chance: random.Random) -> None:
        streams = None
        while self._left > 0:
            self._left -= 1
            number = self._left
            if number % (self._outcome.asked // SAMPLES) == 0:
                self._outcome.rss_kb.append(self._rss_kb())
            kind = chance.choice(TURNS)
            path, body, status = KINDS[kind](number)
            streams = streams or await asyncio.open_connection(self._host, self._port)
            got = await ask(*streams, path, body, leaves=status == 0)
            self._outcome.seen[kind] += 1
            if got != status:
                self._outcome.wrong.append(f"{kind} {number}: {got}")
            if status == 0:
                streams[1].close()
                streams = None
        if streams is not None:
            streams[1].close()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes, *, leaves: bool
) -> int:
    """Return the status of an answer that was read to its end; 0 without reading it where the client `leaves`."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    if leaves:
        await writer.drain()
        return 0
    told = await reader.readuntil(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in told.lower():
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        length = told.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
    return int(told[9:12])


def soak(folder: Path, requests: int) -> Outcome:
    """Return what became of so many requests."""
    outcome = Outcome(requests)
    config = folder / "config.yaml"
    with Emulator() as emulator:
        config.write_text(CONFIG.format(openai=emulator.base_url, anthropic=emulator.anthropic_url))
        with serving(config, app=APP) as served:
            status = Path(f"/proc/{served.process.pid}/status")

            def rss_kb() -> int:
                return int(status.read_text().partition("VmRSS:")[2].split()[0])

            asyncio.run(Driver(served.url, rss_kb, outcome).run())
            outcome.rss_kb.append(rss_kb())
            code, logged = served.end()
    said = [line for line in logged if "is not priced" not in line]
    if code or said:
        outcome.wrong.append(f"it ended with {code} and said {said[:3]}")
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=200_000)
    with tempfile.TemporaryDirectory() as folder:
        outcome = soak(Path(folder), parser.parse_args().requests)
    sys.stdout.write(f"{outcome}\n")
    sys.exit(not outcome.ok)


if __name__ == "__main__":
    main()
