"""What a model is told of a function, and how its arguments become what the function takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

_REF = "#/$defs/{name}"
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def tool_schema(function: Callable[..., Any], *, name: str, description: str) -> dict[str, Any]:
    """Return the tool that `function` is to a model: OpenAI's shape, its parameters from the type hints.

    An `Annotated[int, "how many"]` describes its parameter; dataclasses, TypedDicts, enums, literals, msgspec structs
    and pydantic models become schemas of their own.

    Raises: TypeError: a parameter without a type hint, or with one that JSON cannot say.
    """
    parameters = parameters_of(function)
    bare = [parameter for parameter, hint in parameters.items() if hint is inspect.Parameter.empty]
    if bare:
        raise TypeError(
            f"all parameters of the function {function.__name__!r} must be annotated; missing for: {', '.join(bare)}"
        )
    signature = inspect.signature(function).parameters
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for parameter, hint in parameters.items():
        properties[parameter] = _schema_of(hint, definitions)
        default = signature[parameter].default
        if default is not inspect.Parameter.empty:
            properties[parameter]["default"] = msgspec.to_builtins(default, enc_hook=_dumped)
    required = [key for key in parameters if signature[key].default is inspect.Parameter.empty]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if definitions:
        schema["$defs"] = definitions
    return {"type": "function", "function": {"description": description, "name": name, "parameters": schema}}


def parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the type hints of the parameters that a model can give, `Parameter.empty` where there is none."""
    hints = get_type_hints(function, include_extras=True)
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return {
        name: hints.get(name, parameter.annotation)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in variadic
    }


def _schema_of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    bare, description = _apart(hint)
    if hasattr(bare, "model_json_schema"):  # a pydantic model, known by what it can do
        schema = dict(bare.model_json_schema(ref_template="#/$defs/{model}"))
        definitions.update(schema.pop("$defs", {}))
    elif get_origin(bare) is Literal:
        schema = {"enum": list(get_args(bare))}  # in the order in which they were written
    else:
        try:
            (schema,), found = msgspec.json.schema_components([bare], ref_template=_REF)
        except (TypeError, msgspec.ValidationError) as exc:
            raise TypeError(f"no JSON schema for the type {bare!r}: {exc}") from exc
        definitions.update(found)
        schema = dict(schema)
    if "enum" in schema and "type" not in schema:
        kinds = {_JSON_TYPES.get(type(value)) for value in schema["enum"]}
        if len(kinds) == 1 and None not in kinds:
            schema["type"] = kinds.pop()
    if description:
        schema["description"] = description
    return schema


def _apart(hint: Any) -> tuple[Any, str | None]:
    """Return a hint without its notes, and the text among them."""
    if get_origin(hint) is not Annotated:
        return hint, None
    bare, *notes = get_args(hint)
    for note in notes:
        text = note if isinstance(note, str) else getattr(note, "description", None)
        if isinstance(text, str):
            return (hint if any(isinstance(note, msgspec.Meta) for note in notes) else bare), text
    return hint, None


def arguments_for(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's arguments as `function` takes them.

    Raises: ValueError: one does not fit its type hint; the message says which and why.
    """
    hints = parameters_of(function)
    return {name: _converted(name, value, hints.get(name)) for name, value in given.items()}


def _converted(name: str, value: Any, hint: Any) -> Any:
    if hint is None or hint is inspect.Parameter.empty:
        return value
    bare, _ = _apart(hint)
    if hasattr(bare, "model_validate"):
        return bare.model_validate(value)
    try:
        return msgspec.convert(value, bare, strict=False)
    except msgspec.ValidationError as exc:
        raise ValueError(f"argument {name!r}: {exc}") from exc
    except TypeError:
        return value  # a type that msgspec does not know is the function's own affair


def result_text(result: Any) -> str:
    """Return what a function brought, as the text that a model reads: itself, or its JSON."""
    if isinstance(result, str):
        return result
    try:
        return msgspec.json.encode(result, enc_hook=_dumped).decode()
    except (TypeError, ValueError, RecursionError):
        return str(result)


def _dumped(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    raise TypeError(f"no JSON for a {type(value).__name__}")
