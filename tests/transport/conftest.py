"""The shells under test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.transport.shells import AiohttpTasks, Shell, Tasks, Threads


@pytest.fixture(params=[Threads, Tasks, AiohttpTasks], ids=["threads", "tasks", "aiohttp"])
def shell(request: pytest.FixtureRequest) -> Iterator[Shell]:
    shell: Shell = request.param()
    yield shell
    shell.close()
