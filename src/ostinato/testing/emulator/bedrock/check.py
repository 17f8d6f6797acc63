"""The mistakes in a Converse request that the vendor answers with a ValidationException.

They are worded as in recorded traffic where that has the case; the others are modelled on those.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

Json = dict[str, Any]

_KNOWN = frozenset(
    """
messages system inferenceConfig toolConfig guardrailConfig additionalModelRequestFields outputConfig promptVariables
additionalModelResponseFieldPaths requestMetadata performanceConfig serviceTier
""".split()  # noqa: SIM905 - quoted names are harder to read
)
_BLOCKS = frozenset(
    """
text image document video audio toolUse toolResult guardContent cachePoint reasoningContent citationsContent
searchResult
""".split()  # noqa: SIM905 - the same
)
_DOCUMENT_NAME = re.compile(r"[\w\-()\[\]]+(?: [\w\-()\[\]]+)*", re.ASCII)
_POINTS = 4


class Refused(Exception):  # noqa: N818  (an answer, not a failure)
    """The request is one that the vendor refuses."""

    def __init__(self, message: str, kind: str = "ValidationException", status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": kind, "message": message}


def malformed(what: str) -> Refused:
    """Return the answer to a body that breaks the vendor's schema."""
    return Refused(f"Malformed input request: {what}, please reformat your input and try again.")


def check_converse(body: Any) -> None:
    """Return when the request can be answered.

    Raises: Refused: the vendor would not.
    """
    if not isinstance(body, dict):
        raise Refused("Unexpected token: the body is no JSON object.", "SerializationException")
    for name in body:
        if name not in _KNOWN:
            raise malformed(f"#: extraneous key [{name}] is not permitted")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(
            "A conversation must start with a user message. Try again with a conversation that starts with a "
            "user message."
        )
    for index, message in enumerate(messages):
        _check_message(message, index)
    _check_order(messages)
    _check_tools(body)
    _check_settings(body)
    _check_points(body)


def _check_message(message: Any, index: int) -> None:
    if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
        raise malformed(f"#/messages/{index}/role: {message!r} is not a valid enum value")
    content = message.get("content")
    if not isinstance(content, list) or not content:
        raise Refused(
            f"The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the "
            "content field and try again."
        )
    for position, block in enumerate(content):
        _check_block(block, index, position)
    if any("document" in block for block in content) and not any("text" in block for block in content):
        raise Refused("A text block must be included in the message when documents are present.")


def _check_block(block: Any, index: int, position: int) -> None:
    kinds = block.keys() & _BLOCKS if isinstance(block, dict) else set()
    if len(kinds) != 1:
        raise malformed(
            f"#/messages/{index}/content/{position}: exactly one of the members of ContentBlock is required"
        )
    if "text" in block and not block["text"]:
        raise Refused(
            f"The text field in the ContentBlock object at messages.{index}.content.{position} is blank. Add text to "
            "the text field, and try again."
        )
    if "document" in block and not _DOCUMENT_NAME.fullmatch(block["document"].get("name") or ""):
        raise Refused(
            "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, "
            "parentheses, and square brackets. The name can't contain more than one consecutive whitespace character."
        )
    use = block.get("toolUse")
    if use is not None and not isinstance(use.get("input"), dict):
        raise Refused(
            f"The format of the value at messages.{index}.content.{position}.toolUse.input is invalid. Provide a json "
            "object for the field and try again."
        )


def _check_order(messages: list[Json]) -> None:
    """Turns alternate, the user's first, and every call of a tool is answered in the next."""
    turns = [message for message in messages if message["role"] != "system"]
    if not turns or turns[0]["role"] != "user":
        raise Refused(
            "A conversation must start with a user message. Try again with a conversation that starts with a "
            "user message."
        )
    asked: set[str] = set()
    for index, message in enumerate(turns):
        if index and message["role"] == turns[index - 1]["role"]:
            raise Refused(
                "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
                "between user and assistant roles and try again."
            )
        if message["role"] == "user":
            _check_results(message["content"], asked, index)
            asked = set()
        else:
            answered = {block["toolResult"].get("toolUseId") for block in message["content"] if "toolResult" in block}
            asked = {block["toolUse"].get("toolUseId") for block in message["content"] if "toolUse" in block} - answered


def _check_results(content: list[Json], asked: set[str], index: int) -> None:
    answered = {block["toolResult"].get("toolUseId") for block in content if "toolResult" in block}
    if asked - answered:
        ids = ", ".join(sorted(asked - answered))
        raise Refused(f"Expected toolResult blocks at messages.{index}.content for the following Ids: {ids}")
    if answered - asked:
        raise Refused(
            f"The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of "
            "previous turn."
        )


def _check_tools(body: Json) -> None:
    config = body.get("toolConfig")
    if config is None:
        if any("toolUse" in block or "toolResult" in block for each in body["messages"] for block in each["content"]):
            raise Refused("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
        return
    tools = config.get("tools")
    if not isinstance(tools, list) or not tools:
        raise Refused("The value at toolConfig.tools failed to satisfy constraint: length greater than or equal to 1")
    names = set()
    for index, tool in enumerate(tools):
        spec = tool.get("toolSpec")
        if spec is None:
            continue
        schema = (spec.get("inputSchema") or {}).get("json")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise Refused(
                f"The value at toolConfig.tools.{index}.toolSpec.inputSchema.json.type must be one of the following: "
                "object."
            )
        names.add(spec.get("name"))
    choice = config.get("toolChoice") or {}
    if "tool" in choice and choice["tool"].get("name") not in names:
        raise Refused("The tool named in toolConfig.toolChoice is not among toolConfig.tools.")


def _check_settings(body: Json) -> None:
    limit = (body.get("inferenceConfig") or {}).get("maxTokens")
    if limit is not None and limit < 1:
        raise Refused("The value at inferenceConfig.maxTokens must be greater than or equal to 1.")
    wanted = (body.get("outputConfig") or {}).get("textFormat")
    if wanted is None:
        return
    schema: Any = ((wanted.get("structure") or {}).get("jsonSchema") or {}).get("schema")
    try:
        valid = isinstance(msgspec.json.decode(schema), dict)
    except (TypeError, msgspec.DecodeError):
        valid = False
    if not valid:
        raise Refused(
            "The value at outputConfig.textFormat.structure.jsonSchema.schema is not a JSON object in a string."
        )


def _check_points(body: Json) -> None:
    lists = [(body.get("toolConfig") or {}).get("tools") or [], body.get("system") or []]
    lists += [message["content"] for message in body["messages"]]
    points = [block["cachePoint"] for blocks in lists for block in blocks if "cachePoint" in block]
    if len(points) > _POINTS:
        raise Refused(f"A maximum of {_POINTS} cachePoint blocks may be provided. Found {len(points)}.")
    short = False
    for point in points:
        if point.get("type") != "default":
            raise malformed(f"#/cachePoint/type: {point.get('type')} is not a valid enum value")
        if short and point.get("ttl") == "1h":
            raise Refused("A cachePoint with ttl='1h' must not come after a cachePoint with ttl='5m'.")
        short = short or point.get("ttl", "5m") == "5m"
