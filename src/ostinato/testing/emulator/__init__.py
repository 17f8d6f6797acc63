"""A provider to test against: a real HTTP server on loopback that answers as the vendors' APIs do.

    from ostinato.testing.emulator import Emulator, Reply

    def test_one_payment():
        with Emulator() as emulator:
            ask_twice(base_url=emulator.base_url)
            assert len(emulator.paid_calls) == 1

- **Answers.** A deterministic model writes plain words, calls the tools it is given with arguments that satisfy
  their schemas, fills JSON formats, and stops where `max_tokens` or `stop` says. With `seed` in the request the
  same request is answered the same, streamed or not; without, the text carries the call's number, so that a second
  payment shows.
- **Scripts.** `emulator.script(Reply(…), times=3)` says what the next calls get: a text, tools, an error, a status,
  raw bytes, delays, cuts at an event or a byte, a stall, or a gate that the test opens. See `Reply`. From another
  process the same goes over HTTP: see `ostinato.testing.emulator.admin`.
- **Records.** `emulator.calls` holds every request, what was billed for it, and whether its client hung up.
- **Prompt caches.** The vendors' published rules, on a clock that `emulator.advance(seconds)` moves.
- **Vendors.** OpenAI (chat, embeddings, models), Anthropic (messages, token counts, models), Bedrock (Converse, and
  Invoke with Anthropic's body, both streamed or not, token counts). A vendor is a `Dialect`.
"""

from __future__ import annotations

from ostinato.testing.emulator.anthropic import Anthropic
from ostinato.testing.emulator.bedrock import Bedrock
from ostinato.testing.emulator.calls import Outcome, RecordedCall
from ostinato.testing.emulator.dialect import Answer, Dialect, World
from ostinato.testing.emulator.openai import OpenAI, count_prompt_tokens
from ostinato.testing.emulator.prompt_cache import PromptCache
from ostinato.testing.emulator.script import Reply
from ostinato.testing.emulator.server import Emulator, serve

__all__ = [
    "Answer",
    "Anthropic",
    "Bedrock",
    "Dialect",
    "Emulator",
    "OpenAI",
    "Outcome",
    "PromptCache",
    "RecordedCall",
    "Reply",
    "World",
    "count_prompt_tokens",
    "serve",
]
