"""What a gateway says of itself: one JSON object a line, on stderr. Never a prompt, an answer or a key."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

import msgspec

_encode = msgspec.json.Encoder().encode

LOGGER = logging.getLogger("ostinato.gateway")


class JsonLines(logging.Formatter):
    """Writes a record as a JSON object: time, level, event, and what was passed as `extra={"said": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
        }
        line |= getattr(record, "said", {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def set_up(stream: TextIO | None = None) -> None:
    """Send everything that ostinato and uvicorn log to `stream`, or stderr, as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("ostinato", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)


def say(event: str, *, level: int = logging.INFO, **said: Any) -> None:
    """Log an event with what belongs to it."""
    LOGGER.log(level, "%s", event, extra={"said": said})


def warn_of(notes: tuple[str, ...]) -> None:
    """Say once what a configuration asks for and does not get."""
    for note in notes:
        say("ignored, it is not carried out here", level=logging.WARNING, setting=note)
