"""The two agents that most conversations are held between: one with a model, and one for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ostinato.agents.conversable import ConversableAgent
from ostinato.agents.tool_user import LLMConfig
from ostinato.agents.turns import HumanInputMode

_Test = Callable[[Mapping[str, Any]], Any]


class AssistantAgent(ConversableAgent):
    """An agent that solves tasks with its model, and never asks a person."""

    DEFAULT_SYSTEM_MESSAGE: ClassVar[str] = (
        "You are a helpful assistant who solves tasks by reasoning and by code.\n"
        "Where code helps, to look something up or to do the work itself, give it in a block that names its language: "
        "```python or ```sh. The user runs each block as it is, in full, and reports what it printed; the user changes "
        "nothing and fills nothing in. So print what you need to know, write every file whole, and give one block at a "
        "time for one step at a time.\n"
        "To have a block saved as a file, make `# filename: <name>` its first line.\n"
        "When a run failed, find the cause, and give the whole block again. When it worked, check the result before "
        "you go on.\n"
        "When the task is done, say so in words, and end your message with TERMINATE."
    )
    DEFAULT_DESCRIPTION: ClassVar[str] = (
        "A helpful assistant with a language model that solves tasks by reasoning and code."
    )

    def __init__(
        self,
        name: str,
        system_message: str | None = DEFAULT_SYSTEM_MESSAGE,
        llm_config: LLMConfig = None,
        is_termination_msg: _Test | None = None,
        max_consecutive_auto_reply: int | None = None,
        human_input_mode: HumanInputMode = "NEVER",
        description: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Make an assistant; the parameters are those of `ConversableAgent`."""
        if description is None and system_message == self.DEFAULT_SYSTEM_MESSAGE:
            description = self.DEFAULT_DESCRIPTION
        super().__init__(
            name,
            system_message,
            is_termination_msg,
            max_consecutive_auto_reply,
            human_input_mode,
            llm_config=llm_config,
            description=description,
            **kwargs,
        )


class UserProxyAgent(ConversableAgent):
    """An agent that stands for a person: it asks them, and carries out tools for the others."""

    DEFAULT_USER_PROXY_AGENT_DESCRIPTIONS: ClassVar[dict[str, str]] = {
        "ALWAYS": "A person who is asked at every turn.",
        "TERMINATE": "A person who is asked when a task seems done or stuck, and who carries out tools.",
        "NEVER": "A user who carries out tools, and says nothing else.",
    }

    def __init__(
        self,
        name: str,
        is_termination_msg: _Test | None = None,
        max_consecutive_auto_reply: int | None = None,
        human_input_mode: HumanInputMode = "ALWAYS",
        function_map: Mapping[str, Callable[..., Any]] | None = None,
        code_execution_config: Mapping[str, Any] | bool = False,
        default_auto_reply: Any = "",
        llm_config: LLMConfig = False,
        system_message: Any = "",
        description: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Make a proxy; the parameters are those of `ConversableAgent`.

        Unlike AutoGen's it runs no code unless `code_execution_config` asks for it.
        """
        if description is None:
            description = self.DEFAULT_USER_PROXY_AGENT_DESCRIPTIONS[human_input_mode]
        super().__init__(
            name,
            system_message,
            is_termination_msg,
            max_consecutive_auto_reply,
            human_input_mode,
            function_map,
            code_execution_config,
            llm_config,
            default_auto_reply,
            description,
            **kwargs,
        )
