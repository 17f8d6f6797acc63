"""`ostinato serve`: the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ostinato.gateway.config import Config

SHORTEST_KEY = 16
"""Characters of a master key that may be reachable from elsewhere: `sk-1234` stands in every example."""


@click.command("serve")
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration; without one, providers "
              "are found in the environment.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=4000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that serve.")
@click.option("--check", is_flag=True, help="Read the configuration, say what is wrong or not installed, and end.")
def command(path: Path | None, host: str, port: int, workers: int, check: bool) -> None:  # noqa: FBT001  # click's way
    """Serve the models of a configuration to any OpenAI or Anthropic client, until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration anew without dropping a request.
    """
    from ostinato.gateway.config import load

    config = load(path)
    check_reach(config, host, workers)
    if check:
        from ostinato.gateway.needs import check_packages

        check_packages(config)
        for note in config.notes:
            click.echo(f"ignored, it is not carried out here: {note}")
        click.echo(f"{path or 'the environment'}: {len(config.models)} models; this configuration is right")
        return
    serve(config, host, port, workers)


def check_reach(config: Config, host: str, workers: int) -> None:
    """Refuse what would be open to strangers, or would not be one cache.

    Raises: ConfigurationError: so it is.
    """
    from ostinato.errors import ConfigurationError

    if not is_loopback(host):
        if config.master_key is None:
            raise ConfigurationError(
                f"{host} can be reached from elsewhere and there is no key; set general_settings.master_key, "
                "or OSTINATO_MASTER_KEY"
            )
        if len(config.master_key) < SHORTEST_KEY:
            raise ConfigurationError(
                f"{host} can be reached from elsewhere and the master key is shorter than {SHORTEST_KEY} characters; "
                "make one with: openssl rand -hex 24"
            )
    if workers > 1 and config.cache is not None and config.cache.type == "memory":
        raise ConfigurationError(
            "a cache in memory belongs to one process; give cache type disk or redis, or --workers 1"
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    from ipaddress import ip_address

    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def serve(config: Config, host: str, port: int, workers: int, app: str | None = None) -> None:
    """Listen and serve until told to stop. `app` names what makes the application, `module:function`."""
    from ostinato.gateway.logs import set_up, warn_of
    from ostinato.gateway.server import listen
    from ostinato.gateway.worker import APP, serve_alone

    host = host.strip("[]")
    try:
        listener = listen(host, port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    set_up()
    warn_of(config.notes)
    shown = f"[{host}]" if ":" in host else host
    announced: list[bool] = []

    def ready() -> None:
        if not announced:
            announced.append(True)
            click.echo(f"listening on http://{shown}:{listener.getsockname()[1]} (Ctrl-C ends it)")

    if workers > 1:
        from ostinato.gateway.supervisor import Supervisor

        Supervisor(config, listener, workers, ready, app or APP).run()
    else:
        serve_alone(config, listener, ready, app or APP)
