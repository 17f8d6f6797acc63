"""What a configuration says of the response cache, as the settings of `Cache`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.caching.stores.opening import ALIASES
from ostinato.errors import ConfigurationError
from ostinato.gateway.section import File, Node, Section

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache

SEED = "gateway"
"""The gateway's own entries in a cache folder."""

NEAR_BYTES = 4 << 20
"""What each worker keeps in memory of a disk cache, unless told otherwise: there are several on a machine."""

_TTLS = ("ttl", "default_in_memory_ttl", "default_in_redis_ttl", "default_redis_ttl")
_UNHEEDED = (
    "max_messages", "redis_flush_size", "semantic_cache_embedding_max_input_tokens", "semantic_cache_embedding_timeout",
    "semantic_cache_scope", "similarity_threshold",
)  # fmt: skip
_OTHER_CALL_TYPES = {
    **dict.fromkeys(("anthropic_messages", "aanthropic_messages", "responses", "aresponses"), "completion"),
    **dict.fromkeys(("text_completion", "atext_completion"), "completion"),
    **dict.fromkeys(("transcription", "atranscription", "rerank", "arerank"), None),
}
"""Call types of LiteLLM's, and what they are here: its messages and responses are chat; None: nothing."""


def cache_folder(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return the user's folder for what can be made again, as the platform has it; ours inside.

    Sources: https://specifications.freedesktop.org/basedir-spec/latest/, https://developer.apple.com/library/archive/
    documentation/FileManagement/Conceptual/FileSystemProgrammingGuide/, https://learn.microsoft.com/windows/win32/shell/
    knownfolderid, and CacheDirectory= in https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html
    (read 2026-11-24).
    """
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    service = environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "ostinato" / "Cache"
    if platform == "darwin":
        return home / "Library" / "Caches" / "ostinato"
    given = Path(environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else home / ".cache") / "ostinato"


def disk_cache(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a disk cache in the user's folder."""
    folder = str(cache_folder(environ))
    return {"type": "disk", "cache_path_root": folder, "cache_seed": SEED, "near_bytes": NEAR_BYTES}


class CacheSettings(msgspec.Struct, frozen=True):
    """What `Cache` is made of, and where that stands. What may be secret in it does not show."""

    settings: Mapping[str, Any]
    lines: Mapping[str, int] = msgspec.field(default_factory=dict)
    place: File | None = None

    @property
    def type(self) -> str:
        """The kind of store."""
        return str(self.settings["type"])

    def open(self) -> Cache:
        """Return a new cache.

        Raises: ConfigurationError: a setting is wrong; the message names the line. MissingDependencyError.
        """
        from ostinato.caching.cache import Cache

        try:
            return Cache(**self.settings)
        except ConfigurationError as error:
            if self.place is None:
                raise
            named = [line for name, line in self.lines.items() if repr(name) in error.message or name in error.message]
            error.args = (f"{self.place.name}:{(named or [*self.lines.values(), 1])[0]}: {error.message}",)
            raise

    def __repr__(self) -> str:
        return f"CacheSettings(type={self.type!r}, settings={sorted(self.settings)!r})"


def read_cache(root: Section, litellm: Section, notes: list[str]) -> CacheSettings | None:
    """Return the settings of the cache that the file asks for, None where it asks for none.

    There are two spellings: `cache:` at the top, and LiteLLM's `litellm_settings.cache` with `cache_params`.

    Raises: ConfigurationError: both are there, or a setting is wrong.
    """
    on, params, own = litellm.flag("cache"), litellm.take("cache_params"), root.take("cache")
    if own is not None and (on is not None or params is not None):
        raise root.wrong("cache and litellm_settings.cache are one setting; keep one", own.line)
    if own is None:
        section = Section(root.file, "cache_params", params or Node({}, litellm.line))
        return _read(section, "redis", notes) if on else None
    if isinstance(own.value, str):
        own = Node({"type": own}, own.line)
    elif isinstance(own.value, bool):
        if not own.value:
            return None
        own = Node({}, own.line)
    return _read(Section(root.file, "cache", own), "disk", notes)


def _read(section: Section, usual: str, notes: list[str]) -> CacheSettings:
    """Return the settings of a section whose type is `usual` unless it says another."""
    lines = section.lines
    kind = section.text("type") or usual
    kind = ALIASES.get(kind, kind)
    notes += section.unheeded(*_UNHEEDED)
    settings: dict[str, Any] = {
        "ttl": section.number(*_TTLS, least=0.001),
        "soft_ttl": section.number("soft_ttl"),
        "ttl_jitter": section.number("ttl_jitter"),
        "namespace": section.text("namespace"),
        "mode": section.text("mode"),
        "max_bytes": section.whole("max_bytes", least=1),
        "supported_call_types": _call_types(section),
        "cache_seed": section.plain("cache_seed"),
        "stall_timeout_s": section.number("stall_timeout_s", least=0.001),
        "finish_on_disconnect": section.flag("finish_on_disconnect"),
    }
    if kind == "disk":
        defaults = disk_cache(section.file.environ)
        settings["cache_path_root"] = section.text("cache_path_root", "disk_cache_dir") or defaults["cache_path_root"]
        settings["cache_seed"] = settings["cache_seed"] or SEED
        near_bytes = section.whole("near_bytes", least=0)
        settings["near_bytes"] = NEAR_BYTES if near_bytes is None else near_bytes
    if kind in {"disk", "memory"}:
        section.end()
    given = {name: value for name, value in (settings | section.rest()).items() if value is not None}
    return CacheSettings({"type": kind, **given}, lines, section.file)


def _call_types(section: Section) -> list[str] | None:
    """Return which calls are cached, as far as they are kinds here."""
    named = section.plain("supported_call_types")
    if not isinstance(named, list):
        return None
    ours = [_OTHER_CALL_TYPES.get(name, name) for name in named]
    return list(dict.fromkeys(name for name in ours if name is not None))
