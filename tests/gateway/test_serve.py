from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ostinato.cli.main import cli
from ostinato.errors import ConfigurationError
from ostinato.gateway.config import load
from ostinato.gateway.server import listen
from ostinato.gateway.supervisor import Supervisor
from tests.client.calls import until
from tests.gateway.served import Served, serving


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    rename(path, "gpt")
    return path


def rename(path: Path, name: str) -> None:
    path.write_text(f"model_list:\n  - {{model_name: {name}, params: {{model: openai/gpt-4o, api_key: planted}}}}\n")


def pid(answer: str) -> int:
    return int(answer.split()[-2])


def is_gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def workers_of(served: Served) -> set[int]:
    return {
        int(child)
        for child in Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    }


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, ["serve", *arguments], env=environ)


@pytest.mark.parametrize("workers", [1, 2])
def test_it_reads_its_file_anew_and_ends_without_dropping_a_request(config: Path, workers: int) -> None:
    with serving(config, workers) as served:
        before = served.get()
        stream = served.stream("/slow")
        rename(config, "renamed")
        served.tell(signal.SIGHUP)
        for _ in range(workers):
            served.logged("read the configuration anew")
        after = served.get()
        code, logged = served.end()
        finished = stream.rest()

    assert before.startswith("gpt ")
    assert after.startswith("renamed ")
    assert finished is not None
    assert finished.startswith("gpt ")
    assert (code, logged) == (0, [])


def test_a_file_that_was_spoilt_leaves_the_old_one_at_work(config: Path) -> None:
    with serving(config) as served:
        config.write_text("model_list: [{model_nam: planted}]\n")
        served.tell(signal.SIGHUP)
        said = json.loads(served.logged("kept the configuration"))
        answer = served.get()

    assert said["level"] == "error"
    assert f"{config}:1: " in said["why"]
    assert answer.startswith("gpt ")


def test_a_worker_that_is_killed_takes_nobody_with_it_and_is_replaced(config: Path) -> None:
    with serving(config, 2) as served:
        streams = [served.stream("/slow?2")]
        while len({stream.worker for stream in streams}) < 2:
            streams.append(served.stream("/slow?2"))
        killed = streams[0].worker
        config.write_text("spoilt, which is of no matter to the worker that comes")
        os.kill(killed, signal.SIGKILL)
        said = json.loads(served.logged("a worker died"))
        ended = {stream.worker: stream.rest() for stream in streams}
        until(lambda: pid(served.get()) not in ended)
        code, _ = served.end()

    assert said["worker"] == killed
    assert ended.pop(killed) is None
    assert [rest.startswith("gpt ") for rest in ended.values() if rest is not None] == [True]
    assert code == 0


def test_workers_end_with_the_process_that_started_them(config: Path) -> None:
    with serving(config, 2) as served:
        until(lambda: len(workers_of(served)) == 2)
        workers = workers_of(served)
        served.process.kill()
        until(lambda: all(map(is_gone, workers)))


def test_a_configuration_that_no_worker_can_build_ends_it_all(config: Path) -> None:
    supervisor = Supervisor(load(config), listen("127.0.0.1", 0), 2, lambda: None, "tests.gateway.plain_app:build_none")
    with pytest.raises(ConfigurationError, match="could not start"):
        supervisor.run()


def test_what_is_not_carried_out_is_logged_once_and_without_its_value(config: Path) -> None:
    with config.open("a") as file:
        file.write("general_settings: {database_url: planted}\n")
    with serving(config) as served:
        served.get()
        code, logged = served.end()

    assert [json.loads(line)["setting"] for line in logged] == [f"{config}:3: database_url"]
    assert "planted" not in "".join(logged)
    assert code == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.invalid"])
def test_it_is_not_open_to_strangers_without_a_key_or_with_a_short_one(config: Path, host: str) -> None:
    without = run("--config", str(config), "--host", host, "--check")
    short = run("--config", str(config), "--host", host, "--check", OSTINATO_MASTER_KEY="sk-1234")
    fine = run("--config", str(config), "--host", host, "--check", OSTINATO_MASTER_KEY="sk-" + "long" * 5)

    assert (without.exit_code, short.exit_code, fine.exit_code) == (1, 1, 0)
    assert "there is no key" in without.output
    assert "shorter than 16 characters" in short.output
    assert "sk-1234" not in short.output


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.8.8.8"])
def test_this_machine_alone_needs_no_key(config: Path, host: str) -> None:
    assert run("--config", str(config), "--host", host, "--check").exit_code == 0


def test_several_workers_need_a_cache_that_they_share(config: Path) -> None:
    with config.open("a") as file:
        file.write("cache: memory\n")

    assert run("--config", str(config), "--check").exit_code == 0
    assert "belongs to one process" in run("--config", str(config), "--workers", "2", "--check").output


def test_a_check_says_what_is_wrong_or_how_much_there_is(config: Path) -> None:
    fine = run("--config", str(config), "--check")
    config.write_text("model_list: [{model_nam: x}]\n")
    wrong = run("--config", str(config), "--check")

    assert "1 models; this configuration is right" in fine.output
    assert wrong.exit_code == 1
    assert f"{config}:1: " in wrong.output


@pytest.mark.parametrize(
    ("more", "module", "said"),
    [
        ("", "uvicorn", "the gateway needs uvicorn: pip install 'ostinato[gateway]'"),
        ("cache: redis\n", "redis", "a cache of type redis needs redis: pip install 'ostinato[redis]'"),
        (
            "cache: {type: cosmos_db, connection_string: x}\n",
            "azure",
            "a cache of type cosmos_db needs azure.cosmos: pip install 'ostinato[cosmos]'",
        ),
        (
            "cache: {type: redis, encryption_key: planted-planted-planted}\n",
            "cryptography",
            "encryption_key needs cryptography: pip install 'ostinato[crypto]'",
        ),
        (
            "general_settings: {ledger: 'redis://localhost'}\n",
            "redis",
            "the ledger needs redis: pip install 'ostinato[redis]'",
        ),
        (
            "  - {model_name: b, params: {model: bedrock/converse/x, aws_region_name: eu-west-1}}\n",
            "botocore",
            "model 'b' needs botocore: pip install 'ostinato[bedrock]'",
        ),
    ],
)
def test_a_check_says_what_is_not_installed(
    more: str, module: str, said: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with config.open("a") as file:
        file.write(more)
    with_it = run("--config", str(config), "--check", AWS_BEARER_TOKEN_BEDROCK="")
    for name in [each for each in sys.modules if each == module or each.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    without = run("--config", str(config), "--check", AWS_BEARER_TOKEN_BEDROCK="")

    assert with_it.exit_code == 0
    assert without.exit_code == 1
    assert said in without.output.replace("\n", " ")


def test_bedrock_by_a_key_of_its_own_needs_no_package(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with config.open("a") as file:
        file.write("  - {model_name: b, params: {model: bedrock/converse/x, api_key: planted}}\n")
    monkeypatch.setitem(sys.modules, "botocore", None)

    assert run("--config", str(config), "--check").exit_code == 0


def test_a_port_that_is_taken_is_an_error_that_names_it(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = run("--config", str(config), "--port", str(port))

    assert shown.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in shown.output
