"""What a conversation from the cache takes, beside AutoGen 0.2's: `python -m bench.agents [rounds]`.

Two agents with a model hold 20 messages on a disk cache, in a process of their own that has held them before; what
is timed is the whole chat. AutoGen is asked in the same rounds where `OSTINATO_BENCH_AUTOGEN` names the Python of an
environment with `autogen-agentchat==0.2.40` and `diskcache`. Without it, the figures stand alone.

What the imports take is timed by the clock, in a process of its own each: of the package, and with the names bound that
the chat uses.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from ostinato.testing.emulator import Emulator

TURNS = 10
CHAT = """
import json, sys, time
url, folder, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
{imports}
config = {{"config_list": [{{"model": "gpt-4o", "base_url": url, "api_key": "sk-any"}}]}}
def agent(name):
    return ConversableAgent(name, system_message="You are %s." % name, llm_config=config, human_input_mode="NEVER")
def chat():
    one, other = agent("one"), agent("other")
    with Cache.disk(cache_seed=42, cache_path_root=folder) as cache:
        return one.initiate_chat(other, message="Let us talk.", max_turns={turns}, cache=cache, silent=True)
history = chat().chat_history
took = []
for _ in range(repeats):
    began = time.process_time()
    again = chat().chat_history
    took.append(time.process_time() - began)
    assert again == history and len(history) == 2 * {turns}, len(history)
print("TOOK " + json.dumps(took))
"""
OURS = "from ostinato.agents import Cache, ConversableAgent"
THEIRS = "from autogen import Cache, ConversableAgent"


def chats(python: str, imports: str, url: str, folder: Path, repeats: int) -> list[float]:
    """Return the CPU seconds of each chat, in a process of its own."""
    code = CHAT.format(imports=imports, turns=TURNS)
    command = [python, "-W", "ignore", "-c", code, url, str(folder), str(repeats)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)  # noqa: S603
    if ran.returncode != 0:
        raise SystemExit(ran.stderr[-2000:])
    return list(json.loads(next(line[5:] for line in ran.stdout.splitlines() if line.startswith("TOOK "))))


def import_ms(python: str, imports: str) -> float:
    """Return the milliseconds that imports take in a new process."""
    code = f"import time; began = time.perf_counter(); {imports}; print((time.perf_counter() - began) * 1e3)"
    ran = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return float(ran.stdout.split()[-1])


def print_imports(rounds: int, peer: str | None) -> None:
    rows = [(sys.executable, "import ostinato.agents"), (sys.executable, OURS), *([(peer, THEIRS)] if peer else [])]
    table = [[import_ms(*row) for row in rows] for _ in range(rounds)]
    for (_, imports), column in zip(rows, zip(*table, strict=True), strict=True):
        print(f"{imports:60} {statistics.median(column):8.1f} ms")


def main(rounds: int) -> None:
    peer = os.environ.get("OSTINATO_BENCH_AUTOGEN")
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Emulator() as vendor:
        for _ in range(rounds):
            ours.append(statistics.median(chats(sys.executable, OURS, vendor.base_url, Path(folder, "ours"), 10)))
            if peer:
                theirs.append(statistics.median(chats(peer, THEIRS, vendor.base_url, Path(folder, "theirs"), 10)))
    print(f"20 messages from the cache, ostinato     {statistics.median(ours) * 1e3:8.2f} ms of CPU")
    if theirs:
        ratio = statistics.median(other / one for one, other in zip(ours, theirs, strict=True))
        print(f"20 messages from the cache, AutoGen      {statistics.median(theirs) * 1e3:8.2f} ms of CPU")
        print(f"AutoGen takes {ratio:.1f} times as long  (goal 10)")
    print_imports(rounds, peer)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
