"""Deployments that fail, are slow or rate-limited, behind one name; and models that stand in for each other."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ostinato.gateway.config import read
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import until
from tests.gateway.served import serving
from tests.gateway.serving import Serving

CHAT = "/v1/chat/completions"
ROUTES = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-sonnet-4-5"}
CACHE = "cache: memory\n"
QUICK = "router_settings: {cooldown_time: 0.05, num_retries: 0}\n"


class Place:
    """A gateway before some emulators, each a deployment of the model `m` and the only one of its own name."""

    def __init__(self, serving: Serving, http: httpx2.Client, emulators: list[Emulator]) -> None:
        self.serving = serving
        self.http = http
        self.emulators = emulators

    def ask(self, text: str, model: str = "m", **more: Any) -> httpx2.Response:
        body = {"model": model, "max_tokens": 30, "messages": [{"role": "user", "content": text}], **more}
        return self.http.post(CHAT, json=body)

    @property
    def paid(self) -> list[int]:
        return [len(emulator.paid_calls) for emulator in self.emulators]

    @property
    def asked(self) -> list[int]:
        return [len(emulator.calls) for emulator in self.emulators]

    def texts_for(self, index: int, count: int) -> list[str]:
        """Return prompts that belong to the deployment of an emulator."""
        found: list[str] = []
        number = 0
        while len(found) < count:
            before = self.asked[index]
            assert self.ask(f"question {number}", cache={"no-store": True}).status_code == 200
            if self.asked[index] > before:
                found.append(f"question {number}")
            number += 1
        return found

    def forget(self) -> None:
        for emulator in self.emulators:
            emulator.reset()


@contextmanager
def place(*vendors: str, more: str = CACHE + QUICK, params: str = "") -> Iterator[Place]:
    """Serve the model `m` with a deployment a vendor, and `m0`, `m1` … with one of them each."""
    with ExitStack() as stack:
        emulators = [stack.enter_context(Emulator()) for _ in vendors]
        text = "model_list:\n"
        for index, (vendor, emulator) in enumerate(zip(vendors, emulators, strict=True)):
            base = emulator.base_url if vendor == "openai" else emulator.anthropic_url
            for name in ("m", f"m{index}"):
                inner = f'model: {ROUTES[vendor]}, api_key: any, api_base: "{base}"{params}'
                text += f"  - {{model_name: {name}, params: {{{inner}}}, model_info: {{id: {name}-{index}}}}}\n"
        serving = stack.enter_context(Serving(text + more))
        http = stack.enter_context(httpx2.Client(base_url=serving.url, timeout=30))
        yield Place(serving, http, emulators)


FAULTS: dict[str, Callable[[], Reply]] = {
    "failing": lambda: Reply(status=500),
    "rate-limited": lambda: Reply(status=429, headers={"retry-after": "0.05"}),
    "refusing the key": lambda: Reply(status=401),
    "hanging up": lambda: Reply(close_before_headers=True),
    "slow": lambda: Reply(delay_s=30),
    "slow after the head": lambda: Reply(first_byte_delay_s=30),
    "cut before the first event": lambda: Reply(cut_after_events=0),
    "answering what is no answer": lambda: Reply(raw_body="{}"),
}


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_no_client_sees_a_deployment_that_fails_and_it_comes_back_by_itself(fault: str, stream: bool) -> None:
    with place("openai", "openai", "openai", params=", timeout: 0.2") as at:
        texts = at.texts_for(1, 3)
        at.forget()
        at.emulators[1].script(FAULTS[fault](), times=None)
        answers = [at.ask(text, stream=stream, cache={"no-store": True}) for text in texts]
        failures = at.asked[1]
        at.forget()
        until(lambda: at.ask(texts[0], cache={"no-store": True}).status_code == 200 and at.paid[1] > 0)

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert failures >= 1


def test_a_deployment_that_rests_is_left_alone() -> None:
    with place("openai", "openai", "openai", more=CACHE + "router_settings: {cooldown_time: 60}\n") as at:
        texts = at.texts_for(0, 5)
        at.forget()
        at.emulators[0].script(Reply(status=503), times=None)
        statuses = {at.ask(text, cache={"no-store": True}).status_code for text in texts}

        assert statuses == {200}
        assert at.asked[0] == 1


@pytest.mark.parametrize("vendors", [("openai", "openai", "openai"), ("openai", "anthropic")], ids=["alike", "mixed"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_however_many_wait_there_is_one_sequence_of_tries(vendors: tuple[str, ...], stream: bool) -> None:
    more = CACHE + "router_settings: {cooldown_time: 60, num_retries: 2}\n"
    with place(*vendors, more=more) as at, ThreadPoolExecutor(20) as pool:
        for emulator in at.emulators:
            emulator.script(Reply(status=500, delay_s=0.1), times=1)
        answers = list(pool.map(lambda _: at.ask("the same of all", stream=stream), range(20)))

        assert {answer.status_code for answer in answers} == {200}
        assert sum(at.asked) == len(vendors) + 1
        assert sum(at.paid) == 1


def test_however_many_wait_a_model_that_is_down_is_tried_as_often_as_it_is_told_to() -> None:
    more = CACHE + "router_settings: {cooldown_time: 60, num_retries: 1}\n"
    with place("openai", more=more) as at, ThreadPoolExecutor(20) as pool:
        at.emulators[0].script(Reply(status=500, delay_s=0.1), times=None)
        answers = list(pool.map(lambda _: at.ask("the same of all"), range(20)))

        assert {answer.status_code for answer in answers} == {500}
        assert at.asked == [2]


def test_deployments_of_one_name_share_their_entries_whichever_answered() -> None:
    with place("openai", "openai", "openai") as at:
        texts = [f"question {number}" for number in range(9)]
        for text in texts:
            at.ask(text)
        hits = [at.ask(text).headers["x-ostinato-cache"] for text in texts]

        assert hits == ["hit"] * 9
        assert sum(at.paid) == 9
        assert min(at.paid) > 0


def test_vendors_of_one_name_answer_for_each_other_in_either_dialect() -> None:
    with place("openai", "anthropic") as at:
        for emulator in at.emulators:
            emulator.script(Reply(text="the same words"), times=None)
        body = {"model": "m", "max_tokens": 30, "messages": [{"role": "user", "content": "hello"}]}
        chat = at.http.post(CHAT, json=body)
        messages = at.http.post("/v1/messages", json=body)

        assert chat.json()["choices"][0]["message"]["content"] == "the same words"
        assert messages.json()["content"][0]["text"] == "the same words"
        assert messages.headers["x-ostinato-cache"] == "hit"
        assert sum(at.paid) == 1


FALLBACK = CACHE + "router_settings: {cooldown_time: 0.05, num_retries: 0, fallbacks: [{m0: [m1]}]}\n"


def test_a_fallback_s_answer_is_its_own_and_never_the_primary_s() -> None:
    with place("openai", "openai", more=FALLBACK) as at:
        at.emulators[0].script(Reply(status=500), times=1)
        at.emulators[1].script(Reply(text="of the fallback"), times=None)
        stood_in = at.ask("hello", "m0")
        of_fallback = at.ask("hello", "m1")
        at.emulators[0].script(Reply(text="of the primary"), times=None)
        until(lambda: at.ask("is it back?", "m0").headers["x-litellm-model-group"] == "m0")
        of_primary = at.ask("hello", "m0")

        assert stood_in.json()["choices"][0]["message"]["content"] == "of the fallback"
        assert stood_in.headers["x-litellm-model-group"] == "m1"
        assert of_fallback.headers["x-ostinato-cache"] == "hit"
        assert of_primary.json()["choices"][0]["message"]["content"] == "of the primary"
        assert of_primary.headers["x-ostinato-cache"] == "miss"


def test_while_the_primary_rests_the_cache_still_answers_for_it_and_the_fallback_for_the_rest() -> None:
    more = CACHE + "router_settings: {cooldown_time: 60, num_retries: 0, fallbacks: [{m0: [m1]}]}\n"
    with place("openai", "openai", more=more) as at:
        at.ask("known", "m0")
        at.emulators[0].script(Reply(status=500), times=None)
        for text in ("unknown", "unknown", "another"):
            assert at.ask(text, "m0").status_code == 200
        turned = {"messages": [{"content": "known", "role": "user"}], "max_tokens": 30, "model": "m0"}
        known = at.http.post(CHAT, json=turned)

        assert known.headers["x-ostinato-cache"] == "hit"
        assert known.headers["x-litellm-model-group"] == "m0"
        assert at.asked == [2, 2]


def test_a_prompt_that_is_too_long_goes_to_the_model_that_takes_it() -> None:
    more = CACHE + "router_settings: {context_window_fallbacks: [{m0: [m1]}]}\n"
    with place("openai", "openai", more=more) as at:
        error = {"message": "too long", "code": "context_length_exceeded", "type": "invalid_request_error"}
        at.emulators[0].script(Reply(status=400, error=error), times=None)
        answer = at.ask("a long one", "m0")

        assert (answer.status_code, answer.headers["x-litellm-model-group"]) == (200, "m1")
        assert at.asked == [1, 1]


def test_a_name_that_points_elsewhere_does_not_answer_for_what_it_was() -> None:
    with place("openai", "openai", more=CACHE) as at:
        before = at.ask("hello", "m0")
        text = at.serving.config.text
        assert text is not None
        urls = [emulator.base_url for emulator in at.emulators]
        swapped = read(text.replace(urls[0], "there").replace(urls[1], urls[0]).replace("there", urls[1]))
        asyncio.run(at.serving.app.reload(swapped))
        after = at.ask("hello", "m0")

        assert before.status_code == after.status_code == 200
        assert after.headers["x-ostinato-cache"] == "miss"
        assert at.paid == [1, 1]


def test_after_a_reload_nothing_is_answered_with_what_a_name_was(tmp_path: Path) -> None:
    """By SIGHUP, over an entry on disk, in every dialect, streamed and not, and for embeddings."""
    with Emulator() as old, Emulator() as new:
        config = tmp_path / "config.yaml"

        def point_at(emulator: Emulator) -> None:
            where = f'api_key: any, api_base: "{emulator.base_url}"'
            config.write_text(f"""
model_list:
  - {{model_name: m, params: {{model: openai/gpt-4o, {where}}}}}
  - {{model_name: e, params: {{model: openai/text-embedding-3-small, {where}}}}}
cache: {{type: disk, cache_path_root: "{tmp_path / "cache"}"}}
""")

        point_at(old)
        with serving(config, 1, "ostinato.gateway.endpoints:build_app") as served:
            before = ask_everything(served.url)
            point_at(new)
            served.tell(signal.SIGHUP)
            served.logged("read the configuration anew")
            paid_before = len(old.paid_calls)
            after = [told for _ in range(2) for told in ask_everything(served.url)]

        assert {status for status, _ in before + after} == {200}
        assert {cache for _, cache in before} == {cache for _, cache in after} == {"hit", "miss"}
        assert len(old.paid_calls) == paid_before == len(new.paid_calls)


def ask_everything(url: str) -> list[tuple[int, str]]:
    """Ask the same in every way, on a connection of its own. Return the statuses, and what the cache did."""
    messages = [{"role": "user", "content": "hello"}]
    asked: list[tuple[str, dict[str, Any]]] = [("embeddings", {"model": "e", "input": "hello"})]
    for stream in (False, True):
        said = {"model": "m", "max_tokens": 30, "messages": messages, "stream": stream}
        asked += [("chat/completions", said), ("messages", said)]
        asked.append(("responses", {"model": "m", "max_output_tokens": 30, "input": "hello", "stream": stream}))
    with httpx2.Client(base_url=f"{url}/v1", timeout=30) as http:
        answers = [http.post(path, json=body) for path, body in asked]
    return [(answer.status_code, answer.headers["x-ostinato-cache"]) for answer in answers]
