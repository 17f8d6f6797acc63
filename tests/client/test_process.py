"""Forks, spawned processes, event loops side by side, and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ostinato import Cache, acompletion
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO, LONG_S, MODEL

SETTING = """
import asyncio, multiprocessing, os, sys, threading
import ostinato
from ostinato import Cache, acompletion, completion
MODEL, HELLO = "openai/gpt-4o", [{"role": "user", "content": "hello"}]
def ask(**settings): return completion(MODEL, HELLO, **settings).choices[0].message.content
"""


@pytest.fixture
def environment(emulator: Emulator) -> dict[str, str]:
    source = Path(__file__).parents[2] / "src"
    return {
        **os.environ,
        "PYTHONPATH": str(source),
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": emulator.base_url,
    }


def script(code: str) -> list[str]:
    return [sys.executable, "-c", SETTING + textwrap.dedent(code)]


def run(code: str, environment: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(
        script(code), check=False, env=environment, cwd=cwd, capture_output=True, text=True, timeout=LONG_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_child_forked_in_mid_flight_asks_for_itself_and_harms_nobody(
    emulator: Emulator, environment: dict[str, str], gate: threading.Event, tmp_path: Path
) -> None:
    emulator.script(Reply(text="slow", gate=gate))
    emulator.script(Reply(text="child"))
    code = """
    cache = Cache.memory()
    answers = []
    leader = threading.Thread(target=lambda: answers.append(ask(cache=cache)))
    leader.start()
    sys.stdin.readline()  # the leader's request has arrived
    child = os.fork()
    if child == 0:
        print(ask(cache=cache), completion(MODEL, HELLO, cache=cache).cache_hit, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("forked", flush=True)
    leader.join()
    print(answers[0], completion(MODEL, HELLO, cache=cache).cache_hit, len(cache.flights))
    """
    with subprocess.Popen(
        script(code), env=environment, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        emulator.wait_for_calls(1, LONG_S)
        process.stdin.write("\n")
        process.stdin.flush()
        child, forked = process.stdout.readline(), process.stdout.readline()
        gate.set()
        rest = process.stdout.read()

    assert (child.strip(), forked.strip(), rest.strip()) == ("child True", "forked", "slow True 0")


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_pools_of_processes_share_a_disk_cache(
    how: str, emulator: Emulator, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text(
        SETTING
        + textwrap.dedent("""
        def work(number):
            with Cache.disk(cache_path_root="cache"):
                return completion(MODEL, [{"role": "user", "content": f"{number % 3}"}]).choices[0].message.content
        """)
    )
    code = f"""
    sys.path.insert(0, os.getcwd())
    from work import work
    if __name__ == "__main__":
        first = [work(number) for number in range(3)]
        with multiprocessing.get_context("{how}").Pool(3) as pool:
            print(pool.map(work, range(12)) == first * 4)
    """
    assert run(code, environment, tmp_path) == "True"
    assert len(emulator.calls) == 3


def test_event_loops_in_two_threads_pay_once(emulator: Emulator, gate: threading.Event) -> None:
    emulator.script(Reply(gate=gate))
    cache = Cache.memory()

    async def ask_many() -> set[str | None]:
        answers = await asyncio.gather(*(acompletion(MODEL, HELLO, cache=cache) for _ in range(10)))
        return {answer.choices[0].message.content for answer in answers}

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(asyncio.run, ask_many()) for _ in range(2)]
        while cache.stats()["joins"] < 19:
            pass
        gate.set()
        assert futures[0].result(LONG_S) == futures[1].result(LONG_S)
    assert len(emulator.calls) == 1


def test_one_event_loop_after_another(emulator: Emulator) -> None:
    for number in range(3):
        question = [{"role": "user", "content": f"{number}"}]
        assert asyncio.run(acompletion(MODEL, question)).choices
    assert len(emulator.calls) == 3


WAITS = {
    "leader": "ask(cache=Cache.memory())",
    "without a cache": "ask()",
    "stream": "list(completion(MODEL, HELLO, cache=Cache.memory(), stream=True))",
    "task": "asyncio.run(acompletion(MODEL, HELLO, cache=Cache.memory()))",
    "follower": """
    cache = Cache.memory()
    threading.Thread(target=lambda: ask(cache=cache), daemon=True).start()
    while not len(cache.flights): pass
    ask(cache=cache)
    """,
    "between two tries": "ask(cache=Cache.memory(), num_retries=5)",
}


@pytest.mark.parametrize("who", WAITS)
def test_ctrl_c_is_felt_at_once(
    who: str, emulator: Emulator, environment: dict[str, str], gate: threading.Event, tmp_path: Path
) -> None:
    if who == "between two tries":
        emulator.script(Reply(status=503, headers={"retry-after": "55"}), times=None)
    else:
        emulator.script(Reply(gate=gate), times=None)
    body = textwrap.indent(textwrap.dedent(WAITS[who]), "    ")
    code = f"try:\n{body}\nexcept KeyboardInterrupt:\n    print('felt', flush=True)\n    os._exit(0)\n"
    with subprocess.Popen(script(code), env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            emulator.wait_for_calls(1, LONG_S)
            if who == "between two tries":
                emulator.wait_until_idle(LONG_S)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=LONG_S)
        finally:
            process.kill()

    assert output.strip() == "felt"
