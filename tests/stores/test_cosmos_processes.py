"""What is set is not lost when a process, a thread or an event loop ends, and nothing is left running."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from itertools import count

import pytest

from ostinato.caching.stores.cosmos import CosmosStore
from ostinato.testing.store_face import key_of
from tests.stores.cosmos_emulator import CosmosEmulator

NUMBERS = count()


def store_on(server: CosmosEmulator, name: str) -> CosmosStore:
    return CosmosStore(server.connection_string, container_id=name, timeout_ms=10_000)


@pytest.fixture
def name() -> str:
    return f"process-{next(NUMBERS)}"


SET = "store.get(key_of(0)); store.set(key_of(0), b'v')"
NEVER_READ = {"a script that never read", "an event loop that never read", "a worker"}
"""They open the container while the process ends, where the SDK cannot check its health any more, and says so."""
PROGRAMS = {
    "a script": SET,
    "a script that never read": "store.set(key_of(0), b'v')",
    "an event loop": """
async def main():
    await store.aget(key_of(0))
    await store.aset(key_of(0), b'v')

asyncio.run(main())
""",
    "an event loop that never read": "asyncio.run(store.aset(key_of(0), b'v'))",
    "a store that is forgotten": f"{SET}; del store; gc.collect()",
    "a worker": """
def work():
    store.set(key_of(0), b'v')

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
sys.exit(worker.exitcode)
""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_was_set_is_there_when_it_has_ended(cosmos: CosmosEmulator, name: str, program: str) -> None:
    if program in NEVER_READ and sys.version_info[:2] == (3, 12) and sys.version_info.micro < 2:
        pytest.skip("this Python starts no thread in a process that is ending, and the SDK's client needs one")
    code = f"""
import asyncio, gc, multiprocessing, sys
from ostinato.caching.stores.cosmos import CosmosStore
from ostinato.testing.store_face import key_of

store = CosmosStore({cosmos.connection_string!r}, container_id={name!r}, timeout_ms=10_000)
{PROGRAMS[program]}
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    store = store_on(cosmos, name)

    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == "" or program in NEVER_READ
    assert store.get(key_of(0)) == b"v"
    store.close()


def test_writer_ends_with_close(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    store.set(key_of("k"), b"v")
    store.close()

    assert "ostinato-cosmos-writer" not in {thread.name for thread in threading.enumerate()}


def test_many_tasks_open_one_client_for_their_loop(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    store.set(key_of("k"), b"v")
    store.flush()
    cosmos.requests()

    async def read_all() -> set[bytes | None]:
        return set(await asyncio.gather(*(store.aget(key_of("k")) for _ in range(20))))

    assert asyncio.run(read_all()) == {b"v"}
    asked = cosmos.requests()
    assert sum("/docs/" in path for path in asked) == 20
    assert sum(path.endswith(f"/colls/{name}/") for path in asked) == 1
    store.close()


def test_a_cancelled_reader_harms_nobody(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    store.set(key_of("k"), b"v")
    store.flush()

    async def read() -> bytes | None:
        for _ in range(3):
            task = asyncio.ensure_future(store.aget(key_of("k")))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        return await store.aget(key_of("k"))

    assert asyncio.run(read()) == b"v"
    assert store.stats()["errors"] == 0
    store.close()
