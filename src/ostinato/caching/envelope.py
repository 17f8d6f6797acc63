"""Live streams that only who has the cache's key can read: each frame sealed for its place in one stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ostinato.caching.frames import CUT
from ostinato.caching.register import run

if TYPE_CHECKING:
    from ostinato.caching.seal import Seal
    from ostinato.caching.stores.contract import Store


class Envelope:
    """Seals what is told and opens what is heard. Waits for the store where a data key is not at hand."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal

    def close(self, stream: bytes, position: int, told: Iterable[bytes]) -> list[bytes]:
        """Return frames sealed as those of `stream`, its key and its token, from `position` on.

        Raises: StoreError: the data key is in the store, and that is failing.
        """
        return [
            run(self._store, self._seal.seal(_place(stream, index), frame))
            for index, frame in enumerate(told, position)
        ]

    def open(self, stream: bytes, position: int, heard: Iterable[bytes]) -> list[bytes]:
        """Return frames as they were told. One that was changed, moved or is another stream's ends the stream.

        Raises: StoreError: the data key is in the store, and that is failing.
        """
        opened = []
        for index, sealed in enumerate(heard, position):
            frame = run(self._store, self._seal.open(_place(stream, index), sealed))
            opened.append(CUT if frame is None else frame)
        return opened


def _place(stream: bytes, index: int) -> bytes:
    return stream + index.to_bytes(8, "big")
