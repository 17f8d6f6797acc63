"""Every vendor under the agents, without their knowing: tools, groups and streams, each repeated for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ostinato.agents import ConversableAgent, GroupChat, GroupChatManager, UserProxyAgent
from ostinato.providers import PROVIDERS
from ostinato.testing.emulator import Emulator, Reply

Chat = Callable[..., Any]
VENDORS: dict[str, dict[str, Any]] = {
    "openai": {"model": "gpt-4o"},
    "responses": {"model": "openai/responses/gpt-4o"},
    "anthropic": {"model": "claude-3-5-haiku-20241022", "api_type": "anthropic", "api_key": "k"},
    "bedrock": {"model": "anthropic.claude-3-haiku-20240307-v1:0", "api_type": "bedrock"},
    "invoke": {"model": "invoke/anthropic.claude-3-haiku-20240307-v1:0", "api_type": "bedrock"},
    "deepseek": {"model": "deepseek-chat", "api_type": "deepseek", "api_key": "k"},
    "azure": {"model": "gpt-4o", "api_type": "azure", "api_key": "k", "api_version": "2024-10-21"},
    **{
        name: {"model": f"{name}/some-model", "api_key": "k"}
        for name in PROVIDERS.keys() - {"openai", "anthropic", "bedrock", "deepseek", "azure"}
    },
}


@pytest.fixture(params=sorted(VENDORS))
def llm(request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return settings of an agent for one vendor, each of them at the emulator."""
    for name, url in (
        ("ANTHROPIC_BASE_URL", emulator.anthropic_url),
        ("AZURE_OPENAI_ENDPOINT", emulator.url),
        *(
            (f"{name.upper()}_BASE_URL", emulator.base_url)
            for name in PROVIDERS.keys() - {"anthropic", "azure", "bedrock"}
        ),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url),
        ("AWS_BEARER_TOKEN_BEDROCK", "planted"),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, url)
    return {"config_list": [VENDORS[request.param]]}


@pytest.mark.parametrize("stream", [False, True])
def test_group_with_tools_is_held_and_repeated(
    chat: Chat, emulator: Emulator, llm: dict[str, Any], stream: bool
) -> None:
    emulator.script(
        Reply(tool_calls=({"name": "double", "arguments": '{"a": 4}'},)), Reply(text="8."), Reply(text="Yes.")
    )

    def double(a: int) -> int:
        return 2 * a

    def hold() -> Any:
        user = UserProxyAgent("user", human_input_mode="NEVER", default_auto_reply="Go on.")
        asker, helper = (
            ConversableAgent(name, llm_config={**llm, "stream": stream}, human_input_mode="NEVER")
            for name in ("asker", "helper")
        )
        asker.register_for_llm(description="Double a number")(double)
        helper.register_for_execution()(double)
        group = GroupChat([user, asker, helper], max_round=6, speaker_selection_method="round_robin")
        return chat(user, GroupChatManager(group), message="Double 4.")

    cold = hold()
    calls = len(emulator.calls)
    warm = hold()

    assert [message["content"] for message in cold.chat_history][2:] == ["8", "Go on.", "8.", "Yes."]
    assert warm.chat_history == cold.chat_history
    assert len(emulator.paid_calls) == len(emulator.calls) == calls == 3
    assert warm.cost["usage_including_cached_inference"] == cold.cost["usage_excluding_cached_inference"]
