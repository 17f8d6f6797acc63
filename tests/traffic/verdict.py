"""The judgement on one record: every call that is made for it, and what is wrong with what came back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ostinato import Cache
from tests.traffic import chat, converse, failures, heard, messages, responses
from tests.traffic.asking import Caller, Heard, provider_of, vendor_of
from tests.traffic.replay import Replay
from tests.traffic.told import Call, Json, Spoken, Told, at_paths, decoded, found, lost

READERS: dict[str, Callable[[Json], Told]] = {
    "chat": chat.told,
    "messages": messages.told,
    "converse": converse.told,
    "converse-stream": converse.told,
    "invoke": messages.told,
    "invoke-stream": messages.told,
    "responses": responses.told,
}
CHECKS = ("whole", "text", "tools", "finish", "usage", "error", "cache", "request")
"""What a record is held to, in the order of the table."""

_ANTHROPIC = {"text": ("content",), "completion": ("content",), "stop_reason": ("native_finish_reason",)}
_CONVERSE = {
    "text": ("content", "thinking"),
    "toolUseId": ("id",),
    "stopReason": ("native_finish_reason",),
    "redactedContent": ("data",),
}
_SAID = frozenset({("type", '"text"'), ("type", '"tool_use"')})
RENAMED: dict[str, tuple[dict[str, tuple[str, ...]], frozenset[tuple[str, str]]]] = {
    "messages": (_ANTHROPIC, _SAID),
    "invoke": (_ANTHROPIC, _SAID),
    "invoke-stream": (_ANTHROPIC, _SAID),
    "converse": (_CONVERSE, _SAID),
    "converse-stream": (_CONVERSE, _SAID),
    "responses": ({}, frozenset()),
}
"""Where the members of a body stand in a Completion, and what its shape itself says."""


@dataclass
class Verdict:
    """What became of one record."""

    record: Json
    skipped: str | None = None
    """Why no call is made for it."""
    faults: dict[str, list[str]] = field(default_factory=dict)
    """What is wrong, by check."""
    held_to: set[str] = field(default_factory=set)
    """The checks that apply."""

    @property
    def name(self) -> str:
        return str(self.record["id"])

    @property
    def vendor(self) -> str:
        return vendor_of(self.record)

    def hold(self, check: str, wrong: list[str] | str | None) -> None:
        """Take the outcome of a check: nothing, or what is wrong."""
        self.held_to.add(check)
        if wrong:
            self.faults.setdefault(check, []).extend([wrong] if isinstance(wrong, str) else wrong)


def skipped(record: Json) -> str | None:
    """Return why no call can be made for a record, or None."""
    api = record["api"]
    if "non-anthropic-body" in record["tags"]:
        return "a body of InvokeModel that is not Anthropic's: Converse speaks for the others"
    if api in READERS or api == "embeddings":
        return None
    return f"there is no public call for {api}"


class Judge:
    """Asks for records at a replay server, and judges what comes."""

    def __init__(self, caller: Caller, server: Replay, index: dict[str, Json]) -> None:
        self._caller = caller
        self._server = server
        self._index = index

    def judge(self, record: Json) -> Verdict:
        """Return the verdict on one record."""
        verdict = Verdict(record, skipped(record))
        if verdict.skipped is None:
            if record["api"] == "embeddings":
                self._embeddings(verdict)
            elif record["response"]["status"] >= 400:
                self._refused(verdict)
            else:
                self._answered(verdict)
        return verdict

    # Errors by their status.

    def _refused(self, verdict: Verdict) -> None:
        record, cache = verdict.record, Cache.memory()
        self._failure(verdict, self._caller.ask(record, stream=record["stream"], cache=cache), cache)
        if self._has_chat(record):
            self._failure(verdict, self._caller.ask_recorded(record), None)
            self._request(verdict)

    def _failure(self, verdict: Verdict, got: Heard, cache: Cache | None) -> None:
        record = verdict.record
        if got.error is None:
            verdict.hold("error", "nothing was raised")
            return
        if got.chunks:
            verdict.hold("error", f"{len(got.chunks)} chunks came before an error that stands in the status")
        want = failures.expected(record["response"])
        sdk = self._index.get(record["id"], {}).get("sdk")
        verdict.hold("error", failures.faults(got.error, want, provider_of(record), sdk))
        if cache is not None:
            verdict.hold("cache", "an error was stored" if cache.stats()["stored"] else None)

    def _has_chat(self, record: Json) -> bool:
        return record["api"] == "chat" and isinstance(record["request"]["json"], dict)

    def _request(self, verdict: Verdict) -> None:
        """Hold the request that arrived to the recorded one."""
        record = verdict.record
        came = json.loads(self._server.asked[record["id"]])
        verdict.hold("request", request_faults(record["request"]["json"], came))

    # Answers.

    def _answered(self, verdict: Verdict) -> None:
        record, cache = verdict.record, Cache.memory()
        want = READERS[record["api"]](record["response"])
        streamed = "json" not in record["response"]
        live = self._caller.ask(record, stream=streamed, cache=cache)
        self._heard(verdict, want, live)
        self._indexed(verdict, want)
        if self._has_chat(record):
            self._heard(verdict, want, self._caller.ask_recorded(record))
            self._request(verdict)
        kept = want.failure is None and want.whole and storable(record["api"], want)
        stored = cache.stats()["stored"]
        if stored != kept:
            verdict.hold("cache", f"{stored} stored, and it is {'an answer to keep' if kept else 'none to keep'}")
        elif kept:
            self._again(verdict, want, live, cache)
        else:
            verdict.held_to.add("cache")

    def _heard(self, verdict: Verdict, want: Told, got: Heard) -> None:
        """Hold what came to what the record says."""
        record = verdict.record
        if want.failure is not None:
            self._broken(verdict, want, got)
            return
        streamed = "json" not in record["response"]
        if streamed and not want.whole:
            self._cut(verdict, want, got)
            return
        if got.error is not None:
            verdict.hold("whole", f"it raised {type(got.error).__name__}: {got.error}")
            return
        if streamed:
            ours = heard.streamed(got.chunks)
            verdict.hold("whole", _lost_in_chunks(record["api"], want, ours))
            usage = got.stream.usage
        else:
            ours = heard.whole(got.whole)
            verdict.hold("whole", lost_leaves(record["api"], want, ours))
            usage = got.whole.usage
        compare(verdict, want, ours)
        verdict.hold("usage", heard.sums(usage) if usage is not None else None)

    def _broken(self, verdict: Verdict, want: Told, got: Heard) -> None:
        """Hold an error inside a 200 to the record, and the chunks that came before it."""
        if got.error is None:
            verdict.hold("error", "nothing was raised for an error inside a 200")
            return
        record = verdict.record
        expected = failures.expected(record["response"], want.failure)
        verdict.hold("error", failures.faults(got.error, expected, provider_of(record), None))
        self._so_far(verdict, want, got)

    def _cut(self, verdict: Verdict, want: Told, got: Heard) -> None:
        name = type(got.error).__name__
        if name not in {"APIResponseError", "APIConnectionError"}:
            verdict.hold("error", f"it is cut short, and {name} was raised")
        verdict.held_to.add("error")
        self._so_far(verdict, want, got)

    def _so_far(self, verdict: Verdict, want: Told, got: Heard) -> None:
        ours = heard.streamed(got.chunks)
        verdict.hold("text", _text_faults(want, ours))

    def _indexed(self, verdict: Verdict, want: Told) -> None:
        """Hold the oracle itself to what the corpus says of the record."""
        row = self._index.get(verdict.record["id"])
        if row is None or want.failure is not None:
            return
        if row["finish"] != want.status:
            verdict.hold("finish", f"the index says {row['finish']!r}, the record {want.status!r}")
        calls = sum(len(spoken.calls) for spoken in want.spoken.values())
        if row["tool_calls"] != calls and not _vendor_ran(want.body):
            verdict.hold("tools", f"the index counts {row['tool_calls']} calls, the record has {calls}")
        counted = {name: value for name, value in (row["usage"] or {}).items() if value is not None}
        off = [name for name, value in counted.items() if (want.raw_usage or {}).get(name) != value]
        if off and verdict.record["api"] not in {"invoke", "invoke-stream"}:
            verdict.hold("usage", f"the index counts {off} otherwise")

    def _again(self, verdict: Verdict, want: Told, live: Heard, cache: Cache) -> None:
        """Hold the hit, unstreamed and streamed, to the answer that was paid for."""
        record = verdict.record
        whole = self._caller.ask(record, stream=False, cache=cache)
        again = self._caller.ask(record, stream=True, cache=cache)
        if whole.error or again.error:
            verdict.hold("cache", f"a hit raised {whole.error or again.error!r}")
            return
        if not whole.whole.cache_hit or not again.stream.cache_hit:
            verdict.hold("cache", "it is stored, and the next call is no hit")
        told = heard.whole(whole.whole)
        shadow = Verdict(record)
        compare(shadow, want, told)
        compare(shadow, want, heard.streamed(again.chunks))
        shadow.hold("whole", lost_leaves(record["api"], want, told))
        verdict.hold("cache", [f"a hit: {text}" for texts in shadow.faults.values() for text in texts])
        if live.whole is not None:
            verdict.hold("cache", None if live.whole == whole.whole else "the hit is not equal to the miss")
        else:
            verdict.hold("cache", replay_faults(live.chunks, again.chunks))

    # Embeddings.

    def _embeddings(self, verdict: Verdict) -> None:
        record, cache = verdict.record, Cache.memory()
        plain, got = self._caller.embed(record), self._caller.embed(record, cache=cache)
        if record["response"]["status"] >= 400:
            self._failure(verdict, plain, None)
            self._failure(verdict, got, cache)
            return
        body = record["response"]["json"]
        for answer in (plain, got):
            if answer.error is not None:
                verdict.hold("whole", f"it raised {answer.error!r}")
                return
        beside = {name: value for name, value in body.items() if name != "usage"}
        for path, leaf in at_paths(beside):
            if found(plain.whole.model_dump(), path) != leaf or found(got.whole.model_dump(), path) != leaf:
                verdict.hold("whole", f"{path} is lost")
        verdict.held_to.add("whole")
        prompt = (body.get("usage") or {}).get("prompt_tokens")
        for answer in (plain, got):
            usage = answer.whole.usage
            if (usage.prompt_tokens if usage else None) != prompt:
                verdict.hold("usage", f"prompt_tokens is not {prompt!r} but {usage!r}")
        verdict.held_to.add("usage")
        hit = self._caller.embed(record, cache=cache)
        if hit.error or not hit.whole.cache_hit or hit.whole != got.whole:
            verdict.hold("cache", "the hit is not equal to the miss")
        verdict.held_to.add("cache")


def compare(verdict: Verdict, want: Told, ours: Told) -> None:
    """Hold what was heard to what was told: text, tools, finish, usage."""
    verdict.hold("text", _text_faults(want, ours))
    for number, spoken in want.spoken.items():
        said = ours.spoken.get(number, Spoken())
        verdict.hold("tools", _call_faults(spoken.calls, said.calls))
        if spoken.finish != said.finish:
            verdict.hold("finish", f"finish_reason is {said.finish!r}, not {spoken.finish!r}")
    verdict.held_to.add("finish")
    if want.model is not None and ours.model != want.model:
        verdict.hold("whole", f"model is {ours.model!r}, not {want.model!r}")
    if ours.usage != want.usage:
        verdict.hold("usage", f"{ours.usage}, not {want.usage}")
    if want.raw_usage and plain(ours.raw_usage) != plain(want.raw_usage):
        verdict.hold("usage", f"usage.raw is {ours.raw_usage}, not {want.raw_usage}")
    verdict.held_to.add("usage")


def plain(value: Any) -> Any:
    """Return JSON without the classes of records."""
    return json.loads(json.dumps(value))


def _text_faults(want: Told, ours: Told) -> list[str]:
    wrong = []
    if not want.spoken.keys() >= {number for number, spoken in ours.spoken.items() if spoken != Spoken()}:
        wrong.append(f"answers {sorted(ours.spoken)} came, not {sorted(want.spoken)}")
    for number, spoken in want.spoken.items():
        said = ours.spoken.get(number, Spoken())
        for name in ("text", "reasoning", "refusal"):
            told, came = getattr(spoken, name), getattr(said, name)
            if told != came:
                wrong.append(f"{name} of answer {number} is {came[:80]!r} ({len(came)}), not {told[:80]!r} ({len(told)})")
    return wrong


def _call_faults(want: list[Call], ours: list[Call]) -> list[str]:
    def shown(call: Call) -> tuple[Any, ...]:
        return call.id, call.name, decoded(call.arguments)

    if list(map(shown, want)) != list(map(shown, ours)):
        return [f"calls are {ours}, not {want}"]
    return []


def _vendor_ran(body: Json | None) -> bool:
    """Return whether the index counts calls that the vendor made itself."""
    text = json.dumps(body)
    return any(mark in text for mark in ('"server_tool_use"', "_search_call", "code_interpreter_call", "mcp_call", '_call"'))


def lost_leaves(api: str, want: Told, ours: Told) -> list[str]:
    """Return which members of a body are not in the Completion."""
    body, kept = want.body, ours.body
    if body is None or kept is None:
        return []
    body = {name: value for name, value in body.items() if name != "usage"}
    if api == "chat":
        return [f"{path} is lost" for path, leaf in at_paths(body) if found(kept, path) != leaf]
    renamed, said = RENAMED[api]
    missing = lost(body, _with_inputs(kept) if api != "responses" else kept, renamed, said)
    return [f"{name}: {value[:80]} is lost" for name, value in missing]


def _with_inputs(value: Any) -> Any:
    """Return a Completion with the arguments of its calls decoded."""
    if isinstance(value, dict):
        return {
            name: decoded(item) if name == "arguments" and isinstance(item, str) else _with_inputs(item)
            for name, item in value.items()
        }
    return [_with_inputs(item) for item in value] if isinstance(value, list) else value


def _lost_in_chunks(api: str, want: Told, ours: Told) -> list[str]:
    """Return which members of the events of a chat are in no chunk; other wires name them anew."""
    if api != "chat":
        return []
    if len(want.events) != len(ours.events):
        return []
    wrong = []
    for number, (event, chunk) in enumerate(zip(want.events, ours.events, strict=True)):
        for path, leaf in at_paths({name: value for name, value in event.items() if name != "usage"}):
            if found(chunk, path) != leaf:
                wrong.append(f"{path} of event {number} is lost: {leaf!r} reads {found(chunk, path)!r}")
    return wrong[:3]


def replay_faults(live: list[Any], again: list[Any]) -> list[str]:
    """Return in what a replayed stream has other pieces than the live one."""
    one, other = list(_pieces(live)), list(_pieces(again))
    if one == other:
        return []
    first = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    where = min(len(one), len(other)) if first is None else first
    return [f"replay differs at piece {where} of {len(one)}/{len(other)}: {one[where:where + 1]} {other[where:where + 1]}"]


def _pieces(chunks: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield every piece of a text, a thought, a refusal, or arguments, and how each answer ended."""
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta or {}
            for name in ("content", "reasoning_content", "reasoning", "refusal"):
                if delta.get(name):
                    yield choice.index, name, delta[name]
            for call in delta.get("tool_calls") or ():
                named = call.get("function") or call.get("custom") or {}
                text = named.get("arguments") or named.get("input")
                if text:
                    yield choice.index, call.index, text
            if choice.finish_reason:
                yield choice.index, "finish", choice.finish_reason


def storable(api: str, want: Told) -> bool:
    """Return whether an answer is complete and worth keeping, as `flight.md` says it."""
    finishes = Counter(spoken.finish for spoken in want.spoken.values())
    if not finishes or None in finishes or "content_filter" in finishes or "error" in finishes:
        return False
    if api == "responses" and (want.body or {}).get("background"):
        return False
    return all(_worth(api, spoken, want) for spoken in want.spoken.values())


def _worth(api: str, spoken: Spoken, want: Told) -> bool:
    cut = spoken.finish == "length"
    if any(not isinstance(decoded(call.arguments), dict) for call in spoken.calls):
        return False
    if cut and spoken.calls and (api not in {"chat", "converse", "converse-stream"}):
        return False
    if any(cut and not call.arguments for call in spoken.calls):
        return False
    body = want.body or {}
    beside = len(body.get("content") or body.get("output") or ()) > 0 if api in {"messages", "responses"} else False
    return bool(spoken.text or spoken.refusal or spoken.calls or cut or beside)


REQUEST_ASIDE = {"model", "stream", "stream_options"}


def request_faults(recorded: Json, came: Json) -> list[str]:
    """Return in what the request that arrived is not the recorded one; a null is no parameter."""
    want = {name: value for name, value in recorded.items() if value is not None and name not in REQUEST_ASIDE}
    got = {name: value for name, value in came.items() if name not in REQUEST_ASIDE}
    return [f"{name} is sent as {got.get(name)!r:.200}, not {want.get(name)!r:.200}" for name in sorted(want.keys() | got.keys()) if got.get(name) != want.get(name)]
