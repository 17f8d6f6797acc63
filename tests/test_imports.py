"""What importing costs: which modules may be loaded when. Who may import whom is import-linter's (pyproject.toml)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.testing.emulator import Emulator

OPTIONAL = {
    "aiohttp", "anthropic", "azure", "boto3", "botocore", "cryptography", "genai_prices", "hiredis", "httptools",
    "hypothesis", "openai", "opentelemetry", "prometheus_client", "pytest", "redis", "starlette", "uvicorn", "uvloop",
    "yaml", "zstandard",
}  # fmt: skip
"""Import names of what the extras bring."""

OWN_FILES = ("ostinato.caching.stores.redis", "ostinato.gateway.redis_vault", "ostinato.transport.aiohttp_pool")
"""Modules that only who opens such a store or transport loads, and that may import its package at their top."""

HEAVY = {
    "asyncio", "concurrent", "email", "http", "multiprocessing", "selectors", "socket", "sqlite3", "ssl", "subprocess",
    "unittest",
}  # fmt: skip
"""Parts of the standard library that a memory hit has no use for."""

OF_MSGSPEC = {"typing_extensions"}
"""What msgspec imports itself where it is installed."""

NOT_FOR_A_HIT = {"ostinato.cli", "ostinato.testing", "ostinato.caching.stores.disk"}


def loaded_by(code: str) -> set[str]:
    """Return the modules that `code` loads in a fresh interpreter."""
    listing = "loaded = sorted(set(sys.modules) - before); import json; print(json.dumps(loaded))"
    program = f"import sys; before = set(sys.modules)\n{code}\n{listing}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


def roots(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def third_party(modules: set[str]) -> set[str]:
    return {root for root in roots(modules) if root not in sys.stdlib_module_names and not root.startswith("_")}


def test_import_alone_loads_nothing_of_others() -> None:
    loaded = loaded_by("import ostinato")

    assert third_party(loaded) == {"ostinato"}
    assert roots(loaded) & HEAVY == set()


def test_names_and_a_first_memory_hit_load_no_network_no_database_no_loop(emulator: Emulator) -> None:
    import ostinato

    messages = [{"role": "user", "content": "hello"}]
    cache = ostinato.Cache.memory()
    settings: dict[str, Any] = {"api_base": emulator.base_url, "api_key": "any"}
    paid = ostinato.completion("openai/gpt-4o", messages, cache=cache, **settings)
    key = cache.tag + bytes.fromhex(paid._hidden_params["cache_key"])
    record = cache.store.get(key)
    assert record is not None

    loaded = loaded_by(
        "import ostinato\n"
        "for name in ostinato.__all__: getattr(ostinato, name)\n"
        "cache = ostinato.Cache.memory()\n"
        f"cache.store.set({key!r}, {record!r})\n"
        f"hit = ostinato.completion('openai/gpt-4o', {messages!r}, cache=cache, **{settings!r})\n"
        "assert hit.cache_hit and hit.choices[0].message.content\n"
    )

    assert third_party(loaded) - OF_MSGSPEC == {"ostinato", "msgspec"}
    assert roots(loaded) & HEAVY == set()
    assert loaded & NOT_FOR_A_HIT == set()


def test_every_module_can_be_imported_without_the_extras_but_their_own() -> None:
    loaded = loaded_by(
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {OPTIONAL!r}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib, ostinato, pkgutil\n"
        "for module in pkgutil.walk_packages(ostinato.__path__, 'ostinato.'):\n"
        f"    if not module.name.startswith({OWN_FILES!r}): importlib.import_module(module.name)\n"
    )

    assert "ostinato.client" in loaded
    assert "ostinato.caching.stores.contract" in loaded
