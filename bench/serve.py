"""How soon the gateway answers and what it holds, beside a bare uvicorn: `python -m bench.serve [rounds]`.

Both start as a command, in turn; the figures are medians of the wall time to the first answer, of the CPU time until
then, and of the memory after it. The least of each stands beside it: what a machine at rest would take.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            await send({"type": (await receive())["type"] + ".complete"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})
"""
CONFIG = "model_list:\n  - {model_name: gpt, params: {model: openai/gpt-4o, api_key: any}}\n"


def first_answer(command: list[str], port: int, folder: str) -> tuple[float, float, float]:
    """Return milliseconds to the first answer, milliseconds of CPU until then, and megabytes."""
    environ = {**os.environ, "PYTHONPATH": folder, "XDG_STATE_HOME": folder}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environ) as process:  # noqa: S603  # our own
        try:
            while not answers(port):
                time.sleep(0.002)
            wall = time.perf_counter() - began
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            rss_kb = int(Path(f"/proc/{process.pid}/status").read_text().partition("VmRSS:")[2].split()[0])
        finally:
            process.kill()
    return wall * 1000, (int(fields[11]) + int(fields[12])) * 1000 / TICKS, rss_kb / 1024


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/readiness", timeout=1) as answer:
            return bool(answer.read())
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bare.py").write_text(APP)
        Path(folder, "config.yaml").write_text(CONFIG)
        bare = [sys.executable, "-m", "uvicorn", "bare:app", "--no-access-log", "--log-level", "critical", "--port"]
        ours = [str(Path(sys.executable).with_name("ostinato")), "serve", "--config", f"{folder}/config.yaml", "--port"]
        seen: dict[str, list[tuple[float, float, float]]] = {"bare uvicorn": [], "ostinato serve": []}
        for _ in range(rounds):
            for (_, figures), command in zip(seen.items(), (bare, ours), strict=True):
                port = free_port()
                figures.append(first_answer([*command, str(port)], port, folder))
    print(f"{'':16}{'first answer':>20}{'CPU':>17}{'memory':>10}")
    for name, figures in seen.items():
        columns = list(zip(*figures, strict=True))
        wall, cpu, memory = map(statistics.median, columns)
        print(
            f"{name:16}{wall:>9.0f} ({min(columns[0]):.0f}) ms{cpu:>8.0f} ({min(columns[1]):.0f}) ms{memory:>7.0f} MB"
        )


if __name__ == "__main__":
    main()
