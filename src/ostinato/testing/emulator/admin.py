"""The emulator's own routes, for tests that run in another process than the emulator.

    POST /_emulator/script   {"reply": {…} or "replies": [{…}], "times": 1, "path": "/v1/embeddings"}
    GET  /_emulator/calls    {"calls": […], "in_flight": 0}
    POST /_emulator/reset    forgets calls, script and prompt cache
    POST /_emulator/clock    {"advance_s": 300} → {"now": …}

Requests to these routes are not recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import ConfigurationError
from ostinato.testing.emulator.calls import as_json
from ostinato.testing.emulator.script import reply_from_json

if TYPE_CHECKING:
    from ostinato.testing.emulator.server import Emulator

PREFIX = "/_emulator/"


def administer(emulator: Emulator, method: str, path: str, raw: bytes) -> tuple[int, bytes]:
    """Return status and JSON body of the answer to one request to the emulator itself."""
    try:
        asked = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
        answer = _answer(emulator, f"{method} {path.removeprefix(PREFIX)}", asked)
    except (msgspec.MsgspecError, ConfigurationError) as exc:
        return 400, msgspec.json.encode({"error": str(exc)})
    if answer is None:
        return 404, msgspec.json.encode({"error": f"there is no {method} {path}; see ostinato.testing.emulator.admin"})
    return 200, msgspec.json.encode(answer)


def _answer(emulator: Emulator, route: str, asked: dict[str, Any]) -> dict[str, Any] | None:
    match route:
        case "POST script":
            return _script(emulator, asked)
        case "GET calls":
            return {"calls": [as_json(call) for call in emulator.calls], "in_flight": emulator.in_flight}
        case "POST reset":
            emulator.reset()
            return {}
        case "POST clock":
            advance_s = asked.get("advance_s", 0)
            if not isinstance(advance_s, int | float):
                raise ConfigurationError(f"advance_s is a number of seconds, not {advance_s!r}")
            emulator.advance(advance_s)
            return {"now": emulator.now()}
    return None


def _script(emulator: Emulator, asked: dict[str, Any]) -> dict[str, Any]:
    unknown = asked.keys() - {"reply", "replies", "times", "path"}
    listed = asked.get("replies", [asked.get("reply", {})])
    times = asked.get("times", 1)
    if unknown or not isinstance(listed, list) or not (times is None or isinstance(times, int)):
        raise ConfigurationError('a script is {"reply": {…} or "replies": […], "times": 1 or null, "path": "/…"}')
    replies = [reply_from_json(item) for item in listed]
    path = asked.get("path")
    emulator.script(*replies, times=times, when=None if path is None else lambda call: call.path == path)
    return {"scripted": len(replies)}
