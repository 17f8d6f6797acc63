"""Sound and pictures in an answer of chat's. No block or item of the other dialects holds them.

What is spoken is told as text, and the sound and the pictures stand on the answer itself, under chat's own names, where
clients keep what they do not know.

Source: https://platform.openai.com/docs/guides/audio and
https://openrouter.ai/docs/features/multimodal/image-generation (read 2026-11-24).
"""

from __future__ import annotations

from typing import Any

from ostinato.wire.contract import Json

_NAMES = ("audio", "images")
_JOINED = ("data", "transcript")


def media_of(message: Json) -> Json:
    """Return the sound and the pictures of a message, by their names."""
    return {name: message[name] for name in _NAMES if dict.get(message, name)}


def spoken_in(message: Json) -> str:
    """Return what the sound of a message, or a piece of it, says in words."""
    text = sound_in(message).get("transcript")
    return text if isinstance(text, str) else ""


def sound_in(message: Json) -> Json:
    """Return the sound of a message, or a piece of it; nothing where there is none."""
    sound: Any = dict.get(message, "audio")
    return sound if isinstance(sound, dict) else {}


class Media:
    """Gathers the sound and the pictures of one stream."""

    __slots__ = ("_images", "_said", "_sound", "_texts")

    def __init__(self) -> None:
        self._sound: Json = {}
        self._texts: dict[str, list[str]] = {}
        self._images: list[Any] = []
        self._said = False
        """Whether there was a text other than what is spoken."""

    def feed(self, delta: Json, text: Any) -> Any:
        """Take what a delta holds of them. Return its text, or what is spoken where there was no text so far."""
        for name, value in dict.items(sound_in(delta)):
            if name in _JOINED and isinstance(value, str):
                self._texts.setdefault(name, []).append(value)
            elif value is not None:
                self._sound[name] = value
        images = dict.get(delta, "images")
        if isinstance(images, list):
            self._images += images
        self._said = self._said or bool(text)
        return text if self._said else spoken_in(delta)

    def body(self) -> Json:
        """Return what there is of them, by their names."""
        sound = self._sound | {name: "".join(pieces) for name, pieces in self._texts.items()}
        return ({"audio": sound} if sound else {}) | ({"images": self._images} if self._images else {})
