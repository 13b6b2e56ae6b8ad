"""Bodies in files: read by the pages where they lie, and nothing of them is left."""

import asyncio
from typing import Any

import pytest
from django.core.exceptions import RequestAborted

from station.paths import DataDirectory
from station.processes.web_server import spool
from station.processes.web_server.spool import SCOPE_KEY, FromSpool
from station.web.body_files import PagesHandler

LAST = {"type": "http.request", "body": b"", "more_body": False}


def read(data: DataDirectory, *messages: dict[str, Any], closed: bool = False) -> bytes:
    """Hand a body over as the web server does; return what a page reads."""
    found: list[bytes] = []

    async def application(_scope: dict[str, Any], receive: Any, _send: Any) -> None:
        if closed:
            # The connection has ended while the page reads.
            body.close()
        with await PagesHandler().read_body(receive) as file:
            found.append(file.read())

    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    body = spool.open_spool()
    body.write(b"half a gigabyte")
    body.seek(0)
    asyncio.run(FromSpool(application)({"type": "http", SCOPE_KEY: body}, receive, None))
    return found[0]


@pytest.mark.parametrize("closed", [False, True])
def test_a_page_reads_the_file_itself_even_when_its_sender_has_gone(data: DataDirectory, closed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert read(data, LAST, closed=closed) == b"half a gigabyte"
    assert list(data.files.iterdir()) == []


def test_a_request_that_is_given_up_is_not_passed_on(data: DataDirectory) -> None:
    with pytest.raises(RequestAborted):
        read(data, {"type": "http.disconnect"})


def test_what_a_killed_process_was_taking_is_deleted_at_the_next_start(data: DataDirectory) -> None:
    (data.files / "tmpab12.upload.raucb").write_bytes(b"x")
    (data.files / "jobs").mkdir()

    spool.remove_leftovers()

    assert [path.name for path in data.files.iterdir()] == ["jobs"]
