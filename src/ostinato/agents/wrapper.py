"""A client over a list of configurations, as AutoGen's users know it: cached, with failover and usage summaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ostinato.agents.clients import Ask, CustomClient, Used, VendorClient
from ostinato.agents.deployment import OWN, Deployment, deployment_of
from ostinato.agents.pace import paced
from ostinato.agents.precedence import choose_cache
from ostinato.agents.response import Response, texts_or_messages
from ostinato.agents.session import count_usage, current
from ostinato.agents.steps import Steps, twins
from ostinato.agents.usage import Ledger, Summary, print_summaries
from ostinato.api import _async_client, _client
from ostinato.errors import (
    APIError,
    ConfigurationError,
    ContentPolicyViolationError,
    OstinatoError,
    ReplayMissError,
    Timeout,
)

_DAILY = OWN | {"messages", "stream"}
"""What a call may say that changes nothing of where it goes."""
_CONNECTION = frozenset(
    {
        "api_base", "api_key", "api_version", "azure_deployment", "azure_endpoint", "base_url", "default_headers",
        "default_query", "http_client", "max_retries", "organization", "project", "timeout",
    }
)  # fmt: skip
"""What a client's constructor takes, and a custom client is not told again at every call."""


class ModelTimeoutError(Timeout, TimeoutError):
    """Every configuration timed out; caught as ostinato's `Timeout` and as Python's `TimeoutError`."""


class _Entry:
    """One configuration, and who answers for it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.wanted: str | None = config.get("model_client_cls")
        """The custom client's name, until it is registered."""
        self.client: VendorClient | CustomClient | None = None
        if self.wanted is None:
            rate = config.get("api_rate_limit")
            pair = (_client, _async_client) if rate is None else paced(_client, _async_client, rate)
            self.client = VendorClient(*pair)
        self._deployment: Deployment | None = None

    def amend(self, settings: Mapping[str, Any]) -> None:
        """Change settings. None takes one out."""
        self.config.update(settings)
        self._deployment = None

    def settle(self, call: Mapping[str, Any]) -> Ask:
        """Return what is asked, for a call with these settings; the call's go before the configuration's.

        Raises: ConfigurationError: a setting that cannot be kept, or no messages.
        """
        if self.wanted is not None:
            merged = {**self.config, **call}
            deployment = Deployment("", {})
            params = {name: value for name, value in merged.items() if name not in OWN | _CONNECTION}
        elif call.keys() <= _DAILY:
            if self._deployment is None:
                self._deployment = deployment_of(self.config)
            deployment, params = self._deployment, {"stream": call["stream"]} if "stream" in call else {}
        else:
            deployment, params = deployment_of({**self.config, **call}), {}
        cache = call.get("cache")
        return Ask(
            deployment,
            instantiated(call, self.config),
            params,
            choose_cache(call, self.config),
            cache if isinstance(cache, Mapping) else None,
            _sample_index(call, self.config),
        )


class OpenAIWrapper:
    """Asks the configurations of a list in turn, until one answers."""

    def __init__(self, *, config_list: list[dict[str, Any]] | None = None, **base_config: Any) -> None:
        """Take a list of configurations, and what they have in common.

        Args:
            config_list: each with `model`, and where it is asked: `api_key`, `base_url`, `api_type`, `api_version` …;
                with what we do about it: `cache`, `cache_seed`, `cache_path_root`, `price`, `api_rate_limit`,
                `model_client_cls`; and with parameters for the model. An entry goes before `base_config`.
            base_config: the same, for every entry; alone it is the only entry.
        """
        if config_list is not None and not all(isinstance(config, Mapping) for config in config_list):
            raise ConfigurationError("config_list must be a list of dicts, one a configuration")
        configs = [{**base_config, **config} for config in config_list] if config_list else [dict(base_config)]
        self._config_list = configs
        self._entries = [_Entry(config) for config in configs]
        self._ledger = Ledger()

    def register_model_client(self, model_client_cls: type, **kwargs: Any) -> None:
        """Let `model_client_cls(config, **kwargs)` answer for the entry that names it in `model_client_cls`.

        Raises: ConfigurationError: no entry waits for that name.
        """
        name = model_client_cls.__name__
        waiting = [entry for entry in self._entries if entry.wanted == name and entry.client is None]
        if not waiting:
            known = any(entry.wanted == name for entry in self._entries)
            why = "is registered already for every entry" if known else "was not found in the config_list"
            raise ConfigurationError(
                f"model client {name!r} {why}; name it in an entry with 'model_client_cls': {name!r}"
            )
        waiting[0].client = CustomClient(model_client_cls(waiting[0].config, **kwargs))

    def amend(self, **settings: Any) -> None:
        """Change settings of every configuration; what was used so far stays counted. None takes one out."""
        for entry in self._entries:
            entry.amend(settings)

    def _create(self, **config: Any) -> Steps[Any]:
        """Return the answer of the first configuration that gives one, from the cache where it was given before.

        Args:
            config: `messages` and parameters for the model, which go before the constructor's; `cache`, `cache_seed`,
                `sample_index`; `filter_func(context=, response=)`, which refuses answers; `context` and
                `allow_format_str_template`, which fill in the messages.

        Raises:
            ModelTimeoutError: the last configuration timed out. APIError: it failed.
            RuntimeError: a custom client is not registered yet.
        """
        absent = [entry.wanted for entry in self._entries if entry.client is None]
        if absent:
            raise RuntimeError(
                f"model clients {absent} are not registered; use register_model_client, or leave them out"
            )
        for index, entry in enumerate(self._entries):
            assert entry.client is not None  # noqa: S101  # checked above
            try:
                response = yield from entry.client.ask(entry.settle(config))
            except OstinatoError as error:
                if not isinstance(error, APIError | ReplayMissError) or isinstance(error, ContentPolicyViolationError):
                    raise
                if entry is self._entries[-1]:
                    raise _as_timeout(error) from error.__cause__
                continue
            self._count(entry.client.used(response))
            passed = _passes({**entry.config, **config}, response)
            if passed or entry is self._entries[-1]:
                _mark(response, index, passed=passed)
                return response
        raise AssertionError("a list of configurations is never empty")

    create, acreate = twins(_create, "create")
    a_create = acreate

    def _count(self, used: Used | None) -> None:
        if used is not None:
            self._ledger.add(used.model, used.cost, used.tokens, paid=used.paid)
            count_usage(used.model, used.cost, used.tokens, paid=used.paid)

    def extract_text_or_completion_object(self, response: Any) -> list[Any]:
        """Return what each choice says: its text, or its message where it calls a tool or function."""
        entry = self._entries[getattr(response, "config_id", 0)]
        if isinstance(entry.client, CustomClient):
            return list(entry.client.client.message_retrieval(response))
        return texts_or_messages(response)

    @staticmethod
    def instantiate(
        template: Any, context: Mapping[str, Any] | None = None, allow_format_str_template: Any = False
    ) -> Any:
        """Return a text with `context` filled in, where that is allowed; or what a template function makes of it."""
        return _filled(template, context, formats=bool(allow_format_str_template))

    @property
    def total_usage_summary(self) -> Summary | None:
        """What all answers took, those of the response cache included; None before the first."""
        return self._ledger.total.summary

    @property
    def actual_usage_summary(self) -> Summary | None:
        """What was paid for; None while everything came from the response cache."""
        return self._ledger.actual.summary

    def print_usage_summary(self, mode: str | list[str] | None = None) -> None:
        """Print what was used: `"actual"`, `"total"`, or both unless said."""
        print_summaries(self.actual_usage_summary, self.total_usage_summary, mode or ["actual", "total"])

    def clear_usage_summary(self) -> None:
        """Count from nothing again."""
        self._ledger.clear()


def instantiated(call: Mapping[str, Any], constructor: Mapping[str, Any]) -> list[Any]:
    """Return a call's messages with its context filled in.

    Raises: ConfigurationError: there are none.
    """
    messages = call.get("messages")
    if messages is None:
        raise ConfigurationError("create() needs messages=[…]")
    context = call.get("context") or constructor.get("context")
    if not context:
        return list(messages)
    formats = bool(call.get("allow_format_str_template", constructor.get("allow_format_str_template")))
    return [
        {**message, "content": _filled(message["content"], context, formats=formats)}
        if message.get("content")
        else message
        for message in messages
    ]


def _filled(template: Any, context: Mapping[str, Any] | None, *, formats: bool) -> Any:
    if not context or template is None:
        return template
    if isinstance(template, str):
        return template.format(**context) if formats else template
    return template(context) if callable(template) else template


def _sample_index(call: Mapping[str, Any], constructor: Mapping[str, Any]) -> int:
    session = current()
    drawn = None if session is None else session.sample_index
    said = (call.get("sample_index"), drawn, constructor.get("sample_index"))
    return next((index for index in said if index is not None), 0)


def _passes(settings: Mapping[str, Any], response: Any) -> bool:
    filter_func: Callable[..., Any] | None = settings.get("filter_func")
    return filter_func is None or bool(filter_func(context=settings.get("context"), response=response))


def _mark(response: Any, config_id: int, *, passed: bool) -> None:
    if isinstance(response, Response):
        response._config_id, response._pass_filter = config_id, passed
    else:
        response.config_id, response.pass_filter = config_id, passed


def _as_timeout(error: OstinatoError) -> OstinatoError:
    """Return the error of the last configuration; a timeout as Python's as well."""
    if not isinstance(error, Timeout):
        return error
    timeout = ModelTimeoutError(error.message, provider=error.provider, request_id=error.request_id)
    timeout.__cause__ = error
    return timeout
