"""Streams as the caller reads them, live and replayed: one translation for both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from ostinato.records import Chunk, Usage
    from ostinato.wire.contract import Event, Wire


class _Reading:
    """What a stream knows of itself while it is read."""

    def __init__(self, wire: Wire, *, include_usage: bool, cache_hit: bool, cache_key: bytes | None) -> None:
        self._translator = wire.translator()
        self._include_usage = include_usage
        self.cache_hit = cache_hit
        """Whether the response cache answers."""
        self._cache_key = cache_key
        self.usage: Usage | None = None
        """The usage, once it has come, whether or not `include_usage` asked for its chunk."""

    @property
    def _hidden_params(self) -> dict[str, Any]:
        return {"cache_hit": self.cache_hit, "cache_key": None if self._cache_key is None else self._cache_key.hex()}

    def _shown(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return the chunks that the caller sees, marked with where they come from."""
        for chunk in chunks:
            chunk._cache_hit = self.cache_hit  # noqa: SLF001  # ours
            chunk._cache_key = self._cache_key  # noqa: SLF001
            if dict.get(chunk, "usage") is not None:
                self.usage = chunk.usage
                if not self._include_usage and not dict.get(chunk, "choices"):
                    return [other for other in chunks if other is not chunk]
        return chunks


class Stream(_Reading):
    """An iterator of chunks. Leave it early with `close()`, or use it as a context manager."""

    def __init__(
        self,
        wire: Wire,
        events: Iterator[Event],
        *,
        include_usage: bool,
        cache_hit: bool,
        cache_key: bytes | None,
        leave: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(wire, include_usage=include_usage, cache_hit=cache_hit, cache_key=cache_key)
        self._leave = leave
        self._chunks = self._translated(events)

    def _translated(self, events: Iterator[Event]) -> Generator[Chunk, None, None]:
        try:
            for event in events:
                yield from self._shown(self._translator.feed(event))
            yield from self._shown(self._translator.end())
        finally:
            self._part()

    def _part(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def __iter__(self) -> Iterator[Chunk]:
        return self._chunks

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def close(self) -> None:
        """Stop reading. Others who read the same answer go on; the last to leave ends the call."""
        self._chunks.close()
        self._part()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._part()


class AsyncStream(_Reading):
    """An asynchronous iterator of chunks. Leave it early with `aclose()`, or use it as a context manager."""

    def __init__(
        self,
        wire: Wire,
        events: AsyncIterator[Event] | Iterator[Event],
        *,
        include_usage: bool,
        cache_hit: bool,
        cache_key: bytes | None,
        leave: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(wire, include_usage=include_usage, cache_hit=cache_hit, cache_key=cache_key)
        self._leave = leave
        self._chunks = self._translated(events)

    async def _translated(self, events: AsyncIterator[Event] | Iterator[Event]) -> AsyncGenerator[Chunk, None]:
        try:
            if isinstance(events, AsyncIterator):
                async for event in events:
                    for chunk in self._shown(self._translator.feed(event)):
                        yield chunk
            else:
                for event in events:
                    for chunk in self._shown(self._translator.feed(event)):
                        yield chunk
            for chunk in self._shown(self._translator.end()):
                yield chunk
        finally:
            self._part()

    def _part(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self._chunks

    async def __anext__(self) -> Chunk:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Stop reading. Others who read the same answer go on; the last to leave ends the call."""
        await self._chunks.aclose()
        self._part()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._part()
