from __future__ import annotations

import json
from pathlib import Path

import pytest

from ostinato.errors import ConfigurationError
from ostinato.gateway.config import Config, Limits, load, read
from ostinato.gateway.models import Deployment

MODEL = "model_list:\n  - model_name: gpt\n    litellm_params: {model: openai/gpt-4o, api_key: sk-planted}\n"
ENVIRON = {"HOME": "/home/of-nobody"}


def told(text: str = "", model: str = MODEL, **environ: str) -> Config:
    return read(model + text, "c.yaml", {**ENVIRON, **environ})


def params(text: str = "", **environ: str) -> Deployment:
    """Return the deployment of a model with these further lines of `litellm_params`."""
    lines = "".join(f"      {line}\n" for line in text.splitlines())
    head = "model_list:\n  - model_name: gpt\n    litellm_params:\n      model: openai/gpt-4o\n"
    return told(model=head + lines, **environ).models.find("gpt").deployments[0]


def refusal(text: str, model: str = MODEL, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        told(text, model, **environ)
    return str(caught.value)


def test_the_config_that_litellm_s_users_have_is_read() -> None:
    config = told(
        """
litellm_settings:
  cache: true
  cache_params: {type: redis, host: os.environ/REDIS_HOST, port: 6379, ttl: 600, namespace: ours}
  drop_params: true
  request_timeout: 30
  num_retries: 3
router_settings: {cooldown_time: 10, allowed_fails: 2, routing_strategy: simple-shuffle}
general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}
""",
        REDIS_HOST="redis.invalid",
        LITELLM_MASTER_KEY="sk-master-planted",
    )
    alias = config.models.find("gpt")

    assert alias.deployments[0].model == "openai/gpt-4o"
    assert alias.deployments[0].params == {
        "api_key": "sk-planted",
        "timeout": 30,
        "num_retries": 3,
        "drop_params": True,
    }
    assert config.master_key == "sk-master-planted"
    assert config.cache is not None
    assert config.cache.settings == {
        "type": "redis", "host": "redis.invalid", "port": 6379, "ttl": 600, "namespace": "ours",
    }  # fmt: skip
    assert (config.routing.cooldown_s, config.routing.allowed_fails) == (10, 2)
    assert config.notes == ()


def test_several_deployments_share_a_name_with_weights_of_their_own() -> None:
    config = told(
        """
  - {model_name: gpt, params: {model: azure/eu, api_base: "https://eu.invalid", weight: 3, order: 1}}
  - {model_name: gpt, litellm_params: {model: azure/us, api_base: "https://us.invalid", rpm: 60}}
  - {model_name: gpt, litellm_params: {model: azure/us, api_base: "https://us.invalid", api_key: other}}
"""
    )
    deployments = config.models.find("gpt").deployments

    assert [item.weight for item in deployments] == [1, 3, 60, 1]
    assert [item.order for item in deployments] == [0, 1, 0, 0]
    assert len({item.id for item in deployments}) == 4


def test_ids_are_the_same_after_a_restart_and_with_another_key() -> None:
    first, second = (params(f"api_key: {key}").id for key in ("one", "two"))

    assert first == second


def test_an_id_of_the_user_s_is_kept() -> None:
    assert told("    model_info: {id: mine}\n").models.find("gpt").deployments[0].id == "mine"


def test_a_variable_that_is_not_set_is_an_error_that_names_it_and_its_line() -> None:
    said = refusal("general_settings:\n  master_key: os.environ/NOT_THERE\n")

    assert said == "c.yaml:5: the environment variable 'NOT_THERE' is not set"


def test_numbers_and_switches_may_come_from_variables() -> None:
    config = told(
        "router_settings: {cooldown_time: os.environ/T, disable_cooldowns: os.environ/F}\n", T="2.5", F="False"
    )

    assert config.routing.cooldown_s == 2.5


def test_variables_that_the_file_sets_count_as_set() -> None:
    config = told("environment_variables: {K: sk-of-the-file}\ngeneral_settings: {master_key: os.environ/K}\n")

    assert config.master_key == "sk-of-the-file"
    assert config.environment == {"K": "sk-of-the-file"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "genral_settings: {}\n",
            "c.yaml:4: the file has no setting 'genral_settings'; did you mean 'general_settings'?",
        ),
        (
            "general_settings:\n  mastr_key: x\n",
            "c.yaml:5: general_settings has no setting 'mastr_key'; did you mean 'master_key'?",
        ),
        ("router_settings: {cooldown_tim: 1}\n", "did you mean 'cooldown_time'?"),
        ("limits: {max_body_byte: 1}\n", "did you mean 'max_body_bytes'?"),
        ("cache: {type: disk, tll: 3}\n", "did you mean 'ttl'?"),
        ("router_settings: {cooldown_time: soon}\n", "cooldown_time must be a number of 0 or more, not 'soon'"),
        ("router_settings: {num_retries: -1}\n", "num_retries must be a whole number of 0 or more, not -1"),
        ("general_settings: {master_key: 1234}\n", "c.yaml:4: master_key must be text"),
        ("general_settings: {master_key: ''}\n", "master_key is empty"),
        ("general_settings: [master_key]\n", "general_settings must be a mapping"),
        ("router_settings:\n  fallbacks:\n    - gpt: [claude]\n", "c.yaml:6: there is no model 'claude' here"),
        ("router_settings: {fallbacks: [{gpd: [gpt]}]}\n", "did you mean 'gpt'?"),
        ("router_settings: {model_group_alias: {gpt-4: gpd}}\n", "there is no model 'gpd'; did you mean 'gpt'?"),
        (
            "cache: disk\nlitellm_settings: {cache: true}\n",
            "c.yaml:4: cache and litellm_settings.cache are one setting",
        ),
        ("cache: disk\ncache: redis\n", "c.yaml:5: 'cache' stands twice"),
        ("cache: {ttl: [1}\n", "c.yaml:4: this is no YAML"),
        ("  - model_name: x\n", "c.yaml:4: model 'x' needs litellm_params with a model"),
        ("  - params: {model: openai/x}\n", "c.yaml:4: a model needs a model_name"),
        ("  - {model_name: x, params: {model: vllm/x}}\n", "provider 'vllm' needs an api_base here, or VLLM_BASE_URL"),
        ("  - {model_name: x, params: {model: opnai/x}}\n", "did you mean 'openai'?"),
        ("  - {model_name: x, params: {model: openai/*}}\n", "no '*' in 'x'"),
        ("  - {model_name: '*/*', params: {model: '*'}}\n", "one '*', not 2"),
        ("  - {model_name: x, params: {model: openai/x}, litellm_params: {}}\n", "are one setting"),
        ("  - {model_name: x, params: {model: openai/x, weight: 0}}\n", "weight above 0"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_the_nearest_name(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("api_bse: http://127.0.0.1", "c.yaml:5: litellm_params has no setting 'api_bse'; did you mean 'api_base'?"),
        ("tempratur: 1", "did you mean 'temperature'? What only your server knows goes into extra_body"),
        ("input_cost_per_tokn: 1", "did you mean 'input_cost_per_token'?"),
        ("input_cost_per_token: cheap", "must be US dollars per token"),
        ("api_base: a\nbase_url: b", "c.yaml:6: 'api_base' and 'base_url' are one setting"),
        ("timeout: 0", "timeout must be a number of 0.001 or more"),
    ],
)
def test_a_wrong_parameter_of_a_deployment_is_said_so(line: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        params(line)

    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "model_list: []\n", "model_list:\n", "# nothing\n"])
def test_a_file_without_models_is_refused(text: str) -> None:
    assert "model_list names no model" in refusal("", text)


@pytest.mark.parametrize("text", ["[1, 2]", "just text", "a: &a [*a]\n", "? [x]\n: 1\n", "!!python/name:os.system x\n"])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    assert refusal("", text).startswith("c.yaml:1: ")


def test_anchors_that_explode_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))

    assert "too many values" in refusal("", bomb)


def test_anchors_and_merges_say_once_what_deployments_share() -> None:
    config = told(
        """
  - model_name: a
    params: &shared {model: openai/a, api_key: k, temperature: 0}
  - model_name: b
    params: {<<: *shared, model: openai/b}
  - model_name: c
    params: {<<: *shared, temperature: 1}
"""
    )
    found = [config.models.find(name).deployments[0] for name in "abc"]

    assert [item.model for item in found] == ["openai/a", "openai/b", "openai/a"]
    assert [item.params["temperature"] for item in found] == [0, 0, 1]


def test_a_date_where_a_text_belongs_is_the_text() -> None:
    assert params("api_version: 2024-10-21").params["api_version"] == "2024-10-21"


def test_parameters_of_the_model_are_kept_and_null_is_nothing() -> None:
    given = params(
        "temperature: 0.2\ntop_k: 4\nextra_body: {mine: 1}\nmax_tokens: null\nbase_url: http://127.0.0.1:1/v1"
    )

    assert given.params == {
        "api_base": "http://127.0.0.1:1/v1",
        "extra_body": {"mine": 1},
        "num_retries": 2,
        "temperature": 0.2,
        "top_k": 4,
    }


def test_other_spellings_of_litellm_s_mean_the_same() -> None:
    given = params(
        "max_retries: 1\nrequest_timeout: 9\norganization: org\nheaders: {x-a: b}\nregion_name: eu-west-1"
        "\naws_bedrock_runtime_endpoint: http://127.0.0.1:1"
    ).params

    assert given == {
        "num_retries": 1, "timeout": 9, "aws_region_name": "eu-west-1",
        "extra_headers": {"openai-organization": "org", "x-a": "b"}, "api_base": "http://127.0.0.1:1",
    }  # fmt: skip


def test_a_provider_may_be_named_beside_the_model() -> None:
    config = told("  - {model_name: x, params: {model: org/llama, custom_llm_provider: openai}}\n")

    assert config.models.find("x").deployments[0].model == "openai/org/llama"


def test_the_address_that_the_environment_gives_belongs_to_the_deployment() -> None:
    assert params(OPENAI_BASE_URL="http://127.0.0.1:1/v1").params["api_base"] == "http://127.0.0.1:1/v1"
    assert params("api_base: http://127.0.0.1:2", OPENAI_BASE_URL="x").params["api_base"] == "http://127.0.0.1:2"


def test_prices_may_stand_in_either_place_and_half_a_set_is_completed() -> None:
    inside = params("input_cost_per_token: 0.000001\noutput_cost_per_token: 2e-06").params
    beside = told("    model_info: {input_cost_per_token: 3.0e-06}\n").models.find("gpt").deployments[0].params

    assert (inside["input_cost_per_token"], inside["output_cost_per_token"]) == (1e-06, "2e-06")
    assert "cache_read_input_token_cost" not in inside
    assert (beside["input_cost_per_token"], beside["output_cost_per_token"]) == (3e-06, 1e-05)


def test_a_base_model_says_what_an_unknown_name_costs() -> None:
    config = told(
        "  - {model_name: x, params: {model: azure/ours, api_base: 'https://x.invalid'},"
        " model_info: {base_model: openai/gpt-4o}}\n"
    )
    deployment = config.models.find("x").deployments[0]

    assert deployment.params["input_cost_per_token"] == 2.5e-06
    assert deployment.info["base_model"] == "openai/gpt-4o"


def test_what_is_known_of_litellm_and_not_carried_out_is_said_once_by_name() -> None:
    config = told(
        """
litellm_settings: {success_callback: [langfuse], json_logs: true, telemetry: false}
router_settings: {routing_strategy: least-busy, optional_pre_call_checks: [prompt_caching, other]}
general_settings: {database_url: "postgresql://user:planted@db.invalid"}
guardrails: [{guardrail_name: x}]
"""
    )

    assert sorted(config.notes) == [
        "c.yaml:5: success_callback",
        "c.yaml:6: optional_pre_call_checks: other",
        "c.yaml:6: routing_strategy: least-busy",
        "c.yaml:7: database_url",
        "c.yaml:8: guardrails",
    ]


def test_fallbacks_of_either_section_and_the_default_ones_are_read() -> None:
    more = "  - {model_name: claude, params: {model: anthropic/claude-sonnet-4-5}}\n"
    config = told(
        more + "router_settings: {default_fallbacks: [claude]}\n"
        "litellm_settings: {fallbacks: [{gpt: [claude]}], context_window_fallbacks: [{claude: [gpt]}]}\n"
    )

    assert config.routing.fallbacks == {"gpt": ("claude",), "*": ("claude",)}
    assert config.routing.context_window_fallbacks == {"claude": ("gpt",)}


def test_limits_are_read_and_litellm_s_request_size_too() -> None:
    assert told("limits: {max_body_bytes: 1000, read_timeout_s: 2.5}\n").limits == Limits(1000, read_timeout_s=2.5)
    assert told("general_settings: {max_request_size_mb: 2}\n").limits.max_body_bytes == 2 << 20


def test_nothing_that_is_secret_shows() -> None:
    config = told(
        "general_settings: {master_key: sk-master-planted}\ncache: {type: redis, password: planted}\n"
        "environment_variables: {OPENAI_API_KEY: sk-planted}\n"
    )

    shown = repr(config) + repr(config.cache) + repr(list(config.models.groups())) + repr(config.models.find("gpt"))

    assert "planted" not in shown
    for text in (
        "general_settings: {master_key: [planted]}\n",
        "general_settings: {master_key: os.environ/X, planted: 1}\n",
    ):
        assert "sk-planted" not in refusal(text, X="sk-planted")


def test_a_file_is_read_and_an_absent_or_unreadable_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MODEL.encode())

    assert load(path, {}).path == str(path)
    with pytest.raises(ConfigurationError, match="No such file"):
        load(tmp_path / "other.yaml", {})
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="no UTF-8"):
        load(path, {})


def test_without_a_file_providers_are_found_in_the_environment() -> None:
    environ = {**ENVIRON, "ANTHROPIC_API_KEY": "sk-planted", "OLLAMA_API_BASE": "http://127.0.0.1:11434/v1"}
    config = load(None, environ)

    assert [name for name, _ in config.models.groups()] == ["anthropic/*", "ollama/*"]
    assert config.models.find("claude-haiku-4-5").deployments[0].model == "anthropic/claude-haiku-4-5"
    assert config.models.find("ollama/x").deployments[0].params == {"api_base": "http://127.0.0.1:11434/v1"}
    assert config.cache is not None
    assert config.cache.settings["cache_path_root"] == "/home/of-nobody/.cache/ostinato"
    assert config.master_key is None
    assert load(None, {**environ, "OSTINATO_MASTER_KEY": "sk-master"}).master_key == "sk-master"


def test_without_a_file_and_without_a_key_the_way_out_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY.*--config"):
        load(None, {})


def test_a_file_in_json_is_a_file_in_yaml() -> None:
    told = {"model_list": [{"model_name": "gpt", "params": {"model": "openai/gpt-4o", "temperature": 1e-07}}]}

    assert read(json.dumps(told), "c.json", {}).models.find("gpt").deployments[0].model == "openai/gpt-4o"
