"""What a miss and a streamed chunk cost this process, beside the official client: `python -m bench.misses`.

CPU time of the whole process, the server in another one. Contenders alternate within each round; figures are
medians of rounds, ratios medians of the paired rounds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import openai

import ostinato
from ostinato import Cache

CALLS, STREAMS, CHUNKS = 60, 12, 50
MODEL = "gpt-4o"

SERVER = """
import json, socket, sys, threading
head = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-2024-08-06",
        "system_fingerprint": "fp_1", "service_tier": "default"}
usage = {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70,
         "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
         "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
                                       "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}
message = {"role": "assistant", "content": "word " * 120, "refusal": None, "annotations": []}
whole = json.dumps({**head, "object": "chat.completion", "usage": usage,
    "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]}).encode()
def chunk(delta, finish=None, **more):
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {**head, "object": "chat.completion.chunk", "choices": choices, "usage": None, **more}
chunks = [chunk({"role": "assistant", "content": "", "refusal": None}),
          *[chunk({"content": " word"}) for _ in range(CHUNKS - 3)],
          chunk({}, "stop"), {**chunk({}), "choices": [], "usage": usage}]
body = b"".join(b"data: %s\\n\\n" % json.dumps(c).encode() for c in chunks) + b"data: [DONE]\\n\\n"
def answer(kind, body):
    return b"HTTP/1.1 200 OK\\r\\ncontent-type: %s\\r\\ncontent-length: %d\\r\\n\\r\\n" % (kind, len(body)) + body
json_answer, sse_answer = answer(b"application/json", whole), answer(b"text/event-stream", body)
def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    while True:
        while b"\\r\\n\\r\\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return
            data += piece
        top, _, rest = data.partition(b"\\r\\n\\r\\n")
        length = int(next(l for l in top.lower().split(b"\\r\\n") if l.startswith(b"content-length")).split(b":")[1])
        while len(rest) < length:
            rest += connection.recv(65536)
        connection.sendall(sse_answer if b'"stream":true' in rest.replace(b" ", b"") else json_answer)
        data = rest[length:]
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

fresh = itertools.count()


def messages() -> list[Any]:
    return [{"role": "user", "content": f"{next(fresh):08d} " + "why " * 75}]


def cpu(run: Callable[[], object], count: int) -> float:
    """Return the microseconds of CPU that one of `count` runs takes."""
    began = time.process_time()
    for _ in range(count):
        run()
    return (time.process_time() - began) / count * 1e6


def async_cpu(run: Callable[[], Any], count: int, loop: asyncio.AbstractEventLoop) -> float:
    async def many() -> None:
        for _ in range(count):
            await run()

    began = time.process_time()
    loop.run_until_complete(many())
    return (time.process_time() - began) / count * 1e6


class Contenders:
    """The same work, done by us and by the official client."""

    def __init__(self, base_url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.official = openai.OpenAI(base_url=base_url, api_key="k")
        self.official_async = openai.AsyncOpenAI(base_url=base_url, api_key="k")
        self.settings: dict[str, Any] = {"api_base": base_url, "api_key": "k"}
        self.cache = Cache.memory()
        self.loop = loop

    def rows(self) -> dict[str, tuple[Callable[[], float], Callable[[], float], float, str]]:
        per_chunk = 1 / CHUNKS
        return {
            "miss, sync": (lambda: cpu(self.ours, CALLS), lambda: cpu(self.theirs, CALLS), 1 / 3, "a call"),
            "miss, async": (
                lambda: async_cpu(self.ours_async, CALLS, self.loop),
                lambda: async_cpu(self.theirs_async, CALLS, self.loop),
                1 / 3,
                "a call",
            ),
            "streamed chunk, sync": (
                lambda: cpu(self.our_stream, STREAMS) * per_chunk,
                lambda: cpu(self.their_stream, STREAMS) * per_chunk,
                1 / 6,
                "a chunk",
            ),
            "streamed chunk, async": (
                lambda: async_cpu(self.our_stream_async, STREAMS, self.loop) * per_chunk,
                lambda: async_cpu(self.their_stream_async, STREAMS, self.loop) * per_chunk,
                1 / 3,
                "a chunk",
            ),
            "what the cache adds to a miss": (
                lambda: cpu(self.ours, CALLS),
                lambda: cpu(self.ours_uncached, CALLS),
                float("nan"),
                "a call, with and without",
            ),
        }

    def ours(self) -> None:
        answer = ostinato.completion(f"openai/{MODEL}", messages(), cache=self.cache, **self.settings)
        answer.choices[0].message.content  # noqa: B018  # the reading is part of what is timed

    def ours_uncached(self) -> None:
        answer = ostinato.completion(f"openai/{MODEL}", messages(), caching=False, **self.settings)
        answer.choices[0].message.content  # noqa: B018

    def theirs(self) -> None:
        answer = self.official.chat.completions.create(model=MODEL, messages=messages())
        answer.choices[0].message.content  # noqa: B018

    async def ours_async(self) -> None:
        answer = await ostinato.acompletion(f"openai/{MODEL}", messages(), cache=self.cache, **self.settings)
        answer.choices[0].message.content  # noqa: B018

    async def theirs_async(self) -> None:
        answer = await self.official_async.chat.completions.create(model=MODEL, messages=messages())
        answer.choices[0].message.content  # noqa: B018

    def our_stream(self) -> None:
        stream = ostinato.completion(f"openai/{MODEL}", messages(), stream=True, cache=self.cache, **self.settings)
        for chunk in stream:
            chunk.choices[0].delta.content  # noqa: B018

    def their_stream(self) -> None:
        for chunk in self.official.chat.completions.create(model=MODEL, messages=messages(), stream=True):
            chunk.choices[0].delta.content if chunk.choices else None

    async def our_stream_async(self) -> None:
        stream = await ostinato.acompletion(
            f"openai/{MODEL}", messages(), stream=True, cache=self.cache, **self.settings
        )
        async for chunk in stream:
            chunk.choices[0].delta.content  # noqa: B018

    async def their_stream_async(self) -> None:
        stream = await self.official_async.chat.completions.create(model=MODEL, messages=messages(), stream=True)
        async for chunk in stream:
            chunk.choices[0].delta.content if chunk.choices else None


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    code = SERVER.replace("CHUNKS", str(CHUNKS))
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:  # noqa: S603  # ours
        try:
            assert server.stdout is not None
            base_url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            loop = asyncio.new_event_loop()
            table = Contenders(base_url, loop).rows()
            results: dict[str, list[tuple[float, float]]] = {name: [] for name in table}
            for round_number in range(rounds + 1):
                for name, (ours, theirs, _, _) in table.items():
                    pair = (ours(), theirs())
                    if round_number:  # the first round warms up
                        results[name].append(pair)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        finally:
            server.kill()
    for name, pairs in results.items():
        ours_us, theirs_us = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        _, _, goal, unit = table[name]
        print(f"{name:32} {ours_us:8.1f} us {theirs_us:8.1f} us {unit:26} ratio {ratio:.3f}  goal {goal:.3f}")


if __name__ == "__main__":
    main()
