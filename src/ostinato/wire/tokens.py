"""The inner truth of every usage: disjoint counts of tokens, by how they are billed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Tokens(msgspec.Struct, frozen=True):
    """What one model was given and gave back in one run. The four counters share no token.

    A call is one run, or several where a vendor says so (`usage.iterations`).
    """

    uncached: int = 0
    """Prompt tokens neither read from nor written to the prompt cache."""
    read: int = 0
    """Prompt tokens read from the prompt cache."""
    written: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Prompt tokens written to the prompt cache, by the time they are kept: `5m`, `1h`, `30m`, `12h`;
    `""` where the vendor names none."""
    output: int = 0
    """All output tokens, reasoning included."""
    reasoning: int = 0
    """The part of `output` that was reasoning."""
    audio_input: int = 0
    """The part of `uncached` that was audio."""
    audio_read: int = 0
    """The part of `read` that was audio."""
    audio_output: int = 0
    """The part of `output` that was audio."""
    image_input: int = 0
    """The part of `uncached` that was images, where the vendor counts them apart."""
    image_read: int = 0
    """The part of `read` that was images."""
    image_output: int = 0
    """The part of `output` that was images."""
    calls: Mapping[str, int] = msgspec.field(default_factory=dict)
    """How often each tool of the vendor's own ran: `web_search`, `file_search` …; no tokens, and billed apart."""
    model: str | None = None
    """The model that ran, where it is another than the answer's."""
    service_tier: str | None = None
    """The tier the vendor says it was served in (`flex`, `priority`, `batch` …); None is the standard one."""
    region: str | None = None
    """Where the vendor says it ran, where that has a price of its own (`us`)."""

    @property
    def prompt(self) -> int:
        """The whole prompt."""
        return self.uncached + self.read + sum(self.written.values())
