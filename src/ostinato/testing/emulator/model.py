"""The deterministic "model" behind every dialect: plain words out of a hash, and the tokens they count as.

Tokens, without a network and without a vendor's vocabulary:

- In a prompt, a token is four UTF-8 bytes of a block's text, a begun one included (`count_tokens`). The tokens of
  a text are therefore a prefix of the tokens of any longer text, but for the last one, and a test can build a
  prompt of exactly 1,024 tokens.
- In an answer, a token is a word with the space before it, or a run of punctuation (`cut`): what one stream event
  carries, and what `max_tokens` counts.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

BYTES_PER_TOKEN = 4

_WORDS = """
amber anchor apple arrow autumn barley basket beacon birch bramble bridge bright brook candle canvas cedar chalk
cherry cinder circle clover cobalt copper coral cotton cradle crystal curtain daisy dawn delta desert dusk eagle
early echo ember engine evening falcon feather fern field flint forest fountain fox frost garden garnet gentle glacier
golden granite grove harbor harvest hazel heron hollow honey horizon island ivory jasmine juniper kettle lantern
lark laurel lemon lilac linen lively lunar maple marble meadow mellow mirror mist morning mountain narrow north oak
oat ocean olive orchard otter paper pebble pepper pilot pine planet plum pond prairie quarry quiet rain raven reed
river robin saffron sail sandal scarlet shadow shore silent silver slate snow sparrow spring spruce stone
""".split()  # noqa: SIM905 - 128 quoted words are harder to read

_PIECE = re.compile(r"\s?\w{1,16}|\s?[^\w\s]{1,4}|\s+")


def count_tokens(text: str | bytes) -> int:
    """Return how many tokens a prompt's `text` is: one for every four UTF-8 bytes begun."""
    size = len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def cut(text: str) -> list[str]:
    """Return the tokens of an answer's `text`, in order; joined they are `text` again."""
    return _PIECE.findall(text)


def cut_json(text: str) -> list[str]:
    """Return the tokens of JSON text: pieces of four characters."""
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def digest(*parts: Any) -> bytes:
    """Return 32 bytes that stand for JSON values: equal for equal values, whatever the order of their keys."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).digest()


def words(seed: bytes, count: int) -> list[str]:
    """Return `count` words that `seed` picks."""
    picked = hashlib.shake_128(seed).digest(count)
    return [_WORDS[byte % len(_WORDS)] for byte in picked]


def speak(seed: bytes) -> str:
    """Return two or three plain sentences that `seed` picks, about 25 words."""
    sentences = []
    for index in range(2 + seed[0] % 2):
        sentence = " ".join(words(seed + bytes([index]), 7 + seed[index + 1] % 6))
        sentences.append(sentence.capitalize() + ".")
    return " ".join(sentences)


def letters(seed: bytes, count: int) -> str:
    """Return `count` letters and digits, as vendors' ids are made of."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join([alphabet[byte % 62] for byte in hashlib.shake_128(seed).digest(count)])
