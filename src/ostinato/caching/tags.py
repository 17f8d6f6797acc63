"""Tags: many entries forgotten by one write.

A tag has a generation, 16 bytes of chance in the store's `Register`. An entry carries the generations of
its tags from before its answer was asked for, and answers only while all of them are still those. So a
tag is invalidated by giving it another generation, however many entries have it; an answer that was on
its way meanwhile is stored under the old one. A generation that the store evicted matches nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.caching.register import Register, Steps

MOST_TAGS = 64
LONGEST_TAG = 256

Generations = dict[str, bytes]


class Tags:
    """The tags of one store's entries, by the 8 bytes of their scope."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def stand(self, scope: bytes, generations: Mapping[str, bytes]) -> Steps[bool]:
        """Return whether none of the tags was invalidated since."""
        for name, generation in generations.items():
            if (yield from self._register.look(_key(scope, name))) != generation:
                return False
        return True

    def hold(self, scope: bytes, names: Iterable[str]) -> Steps[Generations]:
        """Return the generations of these tags, begun where there is none."""
        generations: Generations = {}
        for name in names:
            key = _key(scope, name)
            generation = yield from self._register.look(key)
            if generation is None:
                generation = os.urandom(16)
                yield from self._register.begin(key, generation)
            generations[name] = generation
        return generations

    def adopt(self, scope: bytes, generations: Mapping[str, bytes]) -> Steps[bool]:
        """Return whether the tags are of these generations; those that have none here are given them."""
        for name, generation in generations.items():
            key = _key(scope, name)
            current = yield from self._register.look(key)
            if current is None:
                yield from self._register.begin(key, generation)
            elif current != generation:
                return False
        return True

    def invalidate(self, scope: bytes, name: str) -> Steps[None]:
        """Give the tag another generation, and have every process hear of it."""
        yield from self._register.begin(_key(scope, name), os.urandom(16))
        yield from self._register.announce()


@lru_cache(10_000)
def _key(scope: bytes, name: str) -> bytes:
    where = sha256(b"ostinato tags" + scope).digest()[:8]
    return where + sha256(name.encode("utf-8", "surrogatepass")).digest()


def checked_tags(value: object) -> tuple[str, ...]:
    """Return tags in their order, each once.

    Raises: ConfigurationError: they are no short list of short texts.
    """
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ConfigurationError(f"tags must be a list of texts, not {type(value).__name__}")
    for name in value:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_TAG:
            raise ConfigurationError(f"a tag must be a text of 1 to {LONGEST_TAG} characters")
    if len(value) > MOST_TAGS:
        raise ConfigurationError(f"a call may have {MOST_TAGS} tags, not {len(value)}")
    return tuple(dict.fromkeys(sorted(value) if isinstance(value, (set, frozenset)) else value))
