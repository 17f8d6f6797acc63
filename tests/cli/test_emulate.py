from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request

from click.testing import CliRunner

from ostinato.cli.main import cli


def test_it_says_where_it_is_answers_and_ends_at_ctrl_c() -> None:
    command = [sys.executable, "-c", "from ostinato.cli.main import cli; cli()", "emulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            base_url = running.stdout.readline().split()[2]
            with urllib.request.urlopen(f"{base_url}/models", timeout=30) as answer:
                assert answer.status == 200
            assert f"OPENAI_BASE_URL={base_url}" in running.stdout.readline()
            running.send_signal(signal.SIGINT)
            assert running.wait(30) == 0
        finally:
            running.kill()


def test_a_port_that_is_taken_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = CliRunner().invoke(cli, ["emulate", "--port", str(port)])

    assert shown.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in shown.output
