"""What the gateway takes for a request, beside its own server's constant answer: `python -m bench.gateway [rounds]`.

Needs `wrk` on PATH. Each server is one process; loads alternate between the servers within each round; the figures
are medians: requests a second, CPU time of the server per request, p50 and p99. The gateway runs with a master key,
a virtual key, a ttl, the ledger and metrics on; its hits come out of memory, and out of a Redis without a near cache.
The provider emulator behind all of them is a process of its own.

Peers are measured in the same run where these variables name them:

    OSTINATO_BENCH_LITELLM    the `litellm` command of an environment with `litellm[proxy]`
    OSTINATO_BENCH_PORTKEY    `build/start-server.js` of `@portkey-ai/gateway`
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.stores.redis_server import RedisServer, binaries

SECONDS = 2
OSTINATO = str(Path(sys.executable).with_name("ostinato"))
MEMORY = {"type": "local"}
MASTER = "sk-bench-" + "m" * 24
CONSTANT = """
BODY = b"x" * {size}
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}})
    await send({{"type": "http.response.body", "body": BODY}})
"""


class Server(NamedTuple):
    """A server that is up, as a load sees it."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    headers: dict[str, str]


class Load(NamedTuple):
    """What is asked, how many at once."""

    name: str
    connections: int
    stream: bool = False
    fresh: bool = False
    """Whether every prompt is another."""


class Figures(NamedTuple):
    """One round of one load on one server."""

    rps: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    errors: int


LOADS = (
    Load("hit", 1),
    Load("hit", 32),
    Load("hit", 256),
    Load("hit, streamed", 32, stream=True),
    Load("miss", 32, fresh=True),
    Load("miss, streamed", 32, stream=True, fresh=True),
)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, name: str, env: dict[str, str], path: str, key: str) -> Iterator[Server]:
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    try:
        _until_up(process, port, path, headers)
        yield Server(name, port, process, headers)
    finally:
        process.terminate()
        process.wait()


def _until_up(process: subprocess.Popen[bytes], port: int, path: str, headers: dict[str, str]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        try:
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=5)
        except OSError as exc:
            if getattr(exc, "code", None) is not None:
                return
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"{process.args!r} does not answer on {port}")


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU seconds of a process and its living children."""
    pids, total = [process.pid], 0.0
    while pids:
        pid = pids.pop()
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        pids += map(int, children)
    return total


def script(folder: Path, server: Server, load: Load, number: int) -> Path:
    body: dict[str, Any] = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "why " * 75 + "@@"}],
        "temperature": 0.2,
    }
    if load.stream:
        body["stream"] = True
    text = json.dumps(body)
    lines = ['wrk.method = "POST"', f"wrk.path = {json.dumps('/v1/chat/completions')}"]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in server.headers.items()]
    if load.fresh:
        before, after = text.split("@@")
        lines += [
            f"local n, before, after = 0, [==[{before}{number}-{load.name}-]==], [==[{after}]==]",
            "local id = 0",
            "function setup(thread) thread:set('id', id); id = id + 1 end",
            "request = function() n = n + 1; return wrk.format(nil, nil, nil, before .. id .. '-' .. n .. after) end",
        ]
    else:
        lines.append(f"wrk.body = [==[{text.replace('@@', '')}]==]")
    lines.append(
        "done = function(s, l, r) io.write(string.format('FIGURES %d %d %.3f %.3f %d\\n', s.requests, s.duration,"
        " l:percentile(50) / 1000, l:percentile(99) / 1000, s.errors.status + s.errors.connect + s.errors.read"
        " + s.errors.write + s.errors.timeout)) end"
    )
    path = folder / "load.lua"
    path.write_text("\n".join(lines))
    return path


def measured(folder: Path, server: Server, load: Load, number: int) -> Figures:
    before = cpu_s(server.process)
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{SECONDS}s", "-s", str(script(folder, server, load, number))]
    command.append(f"http://127.0.0.1:{server.port}")
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    found = re.search(r"FIGURES (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", out)
    assert found is not None, out
    requests, duration_us, p50, p99, errors = (float(group) for group in found.groups())
    used = cpu_s(server.process) - before
    return Figures(requests / duration_us * 1e6, used / max(requests, 1) * 1e6, p50, p99, int(errors))


def ostinato_config(folder: Path, upstream: str, cache: dict[str, Any]) -> Path:
    path = folder / f"ostinato-{cache['type']}.yaml"
    path.write_text(
        f"""
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_base: "{upstream}/v1", api_key: sk-up-{"u" * 20}}}
general_settings: {{master_key: {MASTER}}}
litellm_settings: {{cache: true, cache_params: {json.dumps({**cache, "ttl": 3600})}}}
"""
    )
    return path


def virtual_key(server: Server) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/key/generate", b"{}", server.headers)
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return str(json.load(answer)["key"])


@contextmanager
def constant(folder: Path, size: int) -> Iterator[Server]:
    (folder / "constant.py").write_text(CONSTANT.format(size=size))
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "constant:app", "--port", str(port), "--log-level", "error"]
    command += ["--app-dir", str(folder), "--http", "httptools", "--loop", "uvloop", "--no-access-log"]
    with running(command, port, "constant answer", {}, "/", "none") as server:
        yield server


@contextmanager
def emulator() -> Iterator[str]:
    port = free_port()
    with running([OSTINATO, "emulate", "--port", str(port)], port, "emulator", {}, "/", "none"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def ostinato(folder: Path, upstream: str, cache: dict[str, Any]) -> Iterator[Server]:
    port = free_port()
    command = [OSTINATO, "serve", "--config"]
    command += [str(ostinato_config(folder, upstream, cache)), "--port", str(port)]
    env = {"XDG_DATA_HOME": str(folder), "XDG_CACHE_HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    with running(command, port, f"ostinato, {cache['type']}", env, "/health/readiness", MASTER) as server:
        key = virtual_key(server)
        yield server._replace(headers={**server.headers, "authorization": f"Bearer {key}"})


@contextmanager
def litellm(folder: Path, upstream: str, command: str) -> Iterator[Server]:
    port, path = free_port(), ostinato_config(folder, upstream, MEMORY)
    env = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    env["PYTHONDONTWRITEBYTECODE"] = ""
    options = ["--config", str(path), "--port", str(port), "--host", "127.0.0.1"]
    with running([command, *options], port, "litellm", env, "/health/liveliness", MASTER) as server:
        yield server


@contextmanager
def portkey(upstream: str, start: str) -> Iterator[Server]:
    port = free_port()
    env = {"NODE_ENV": "production", "PORT": str(port)}
    with running(["node", start, f"--port={port}", "--headless"], port, "portkey", env, "/", "x") as server:
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"}
        yield server._replace(headers={**server.headers, **headers})


def serves(server: Server, load: Load) -> bool:
    """Return whether a row makes sense: Portkey has no cache here, the constant answer no stream, a miss no store."""
    if server.name == "ostinato, redis":
        return not load.fresh
    if server.name == "portkey":
        return load.fresh and not load.stream
    return not (server.name == "constant answer" and (load.stream or load.fresh))


def main(rounds: int) -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk on PATH (Debian: apt-get install wrk)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(emulator())
        servers = [
            stack.enter_context(constant(folder, 1200)),
            stack.enter_context(ostinato(folder, upstream, MEMORY)),
        ]
        for binary in binaries()[:1]:
            redis = stack.enter_context(RedisServer(binary))
            servers.append(stack.enter_context(ostinato(folder, upstream, {"type": "redis", **redis.settings})))
        if command := os.environ.get("OSTINATO_BENCH_LITELLM"):
            servers.append(stack.enter_context(litellm(folder, upstream, command)))
        if start := os.environ.get("OSTINATO_BENCH_PORTKEY"):
            servers.append(stack.enter_context(portkey(upstream, start)))
        found: dict[tuple[str, Load], list[Figures]] = {}
        for number in range(rounds):
            for load in LOADS:
                for server in servers:
                    if serves(server, load):
                        figures = measured(folder, server, load, number)
                        found.setdefault((server.name, load), []).append(figures)
    show(found)


def show(found: dict[tuple[str, Load], list[Figures]]) -> None:
    print(f"{'load':<16}{'c':>4}  {'server':<20}{'req/s':>9}{'CPU us':>9}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}")
    for load in LOADS:
        for (name, other), rows in found.items():
            if other == load:
                rps, cpu_us, p50, p99 = (
                    statistics.median(getattr(row, field) for row in rows) for field in Figures._fields[:4]
                )
                errors = sum(row.errors for row in rows)
                print(
                    f"{load.name:<16}{load.connections:>4}  {name:<20}{rps:>9.0f}{cpu_us:>9.1f}{p50:>9.2f}{p99:>9.2f}"
                    f"{errors:>8}"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
