import asyncio
import json
from http import HTTPStatus
from typing import Any

import pytest

from hardware.simulator.actions import Answer, ControlApi
from hardware.simulator.http_server import (
    MAXIMUM_BODY_BYTES,
    HttpServer,
    RequestRefused,
    encode_answer,
    parse_head,
)
from hardware.simulator.world import World


class ApiBench:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.world = World.build(connectors=2, now_s=self.now_s)
        self.kept = 0
        self.api = ControlApi(world=self.world, bring_up_to_date=self._bring_up_to_date, keep=self._keep)

    def post(self, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        answer = self.api.answer("POST", path, fields)
        return answer.status, dict(answer.body)

    def _bring_up_to_date(self) -> None:
        self.world.advance(now_s=self.now_s)

    def _keep(self) -> None:
        self.kept += 1


@pytest.fixture
def bench() -> ApiBench:
    return ApiBench()


def test_the_basic_state_has_no_cable_and_no_fault_and_the_link_is_up(bench: ApiBench) -> None:
    state = bench.api.answer("GET", "/state", {}).body

    assert set(state) >= {"connectors", "lamp", "reader", "modem", "network", "speed", "clock"}
    assert [point["id"] for point in state["connectors"]] == [1, 2]
    point = state["connectors"][0]
    expected = {"cp_state": "A", "plugged": False, "locked": False, "contactor": False, "offered_a": 0, "power_w": 0}
    assert expected.items() <= point.items()
    assert (point["energy_wh"], point["vehicle"], point["faults"], state["faults"]) == (0, None, [], [])
    assert (state["network"], state["speed"], state["modem"]["signal"]) == ({"backend": True}, 1, 80)
    assert bench.kept == 1


def test_a_plugged_car_shows_at_once_in_the_answer(bench: ApiBench) -> None:
    status, state = bench.post("/connectors/2/plug", max_current_a=16, phases=1, ready=False, battery_wh=5000)

    assert status == HTTPStatus.OK
    point = state["connectors"][1]
    assert (point["cp_state"], point["plugged"], point["cable"]["rating_a"]) == ("B", True, 32)
    expected = {"max_current_a": 16, "phases": 1, "ready": False, "battery_wh": 5000, "state_of_charge_percent": 0}
    assert expected.items() <= point["vehicle"].items()


def test_unplugging_without_a_cable_and_repeated_values_are_no_errors(bench: ApiBench) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/connectors/1/unplug", {}),
        ("/connectors/1/unplug", {"side": "station"}),
        ("/connectors/1/fault", {"code": "OtherError", "active": False}),
        ("/connectors/1/fault", {"code": "OtherError", "active": True}),
        ("/connectors/1/fault", {"code": "OtherError", "active": True}),
        ("/connectors/1/lock", {"fail": False}),
        ("/network", {"backend": True}),
        ("/reset", {}),
        ("/reset", {}),
    ]

    assert [bench.post(path, **fields)[0] for path, fields in calls] == [HTTPStatus.OK] * len(calls)


def test_a_locked_plug_is_refused_with_a_reason_and_comes_out_by_force(bench: ApiBench) -> None:
    bench.post("/connectors/1/plug")
    bench.world.points[1].board.lock_coil = True
    bench.world.points[1].settle()
    bench.now_s += 1.0

    assert bench.post("/connectors/1/unplug", side="station") == (409, {"error": "the plug is locked in the socket"})
    status, state = bench.post("/connectors/1/unplug", side="station", force=True)

    assert (status, state["connectors"][0]["plugged"]) == (200, False)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/connectors/1/vehicle", {"ready": True}),  # no car
        ("/connectors/1/fault", {"code": "NoError", "active": True}),
        ("/fault", {"code": "Nonsense", "active": True}),
        ("/reader/swipe", {"uid": ""}),
        ("/reader/swipe", {"uid": "x" * 21}),
        ("/reader/swipe", {"uid": "A", "connector": 3}),
    ],
)
def test_refused_actions_are_409_with_a_reason(bench: ApiBench, path: str, fields: dict[str, Any]) -> None:
    status, body = bench.post(path, **fields)

    assert status == HTTPStatus.CONFLICT
    assert body["error"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/connectors/1/plug", {"max_current_a": "32"}),
        ("/connectors/1/plug", {"max_current_a": True}),
        ("/connectors/1/plug", {"max_current_a": 0}),
        ("/connectors/1/plug", {"max_current_a": float("nan")}),
        ("/connectors/1/plug", {"phases": 4}),
        ("/connectors/1/plug", {"battery_wh": -1}),
        ("/connectors/1/plug", {"cable_a": 16}),
        ("/connectors/1/plug", {"max_current": 16}),  # a typing mistake
        ("/connectors/1/unplug", {"side": "left"}),
        ("/connectors/1/vehicle", {"ready": "yes"}),
        ("/connectors/1/lock", {}),
        ("/connectors/1/line", {"mode": "loud", "device": "meter"}),
        ("/connectors/1/fault", {"active": True}),
        ("/reader/swipe", {"uid": 1234}),
        ("/modem", {"signal": 101}),
        ("/modem", {}),
        ("/modem", {"sim": "gone"}),
        ("/modem", {"registration": 3}),
        ("/speed", {"factor": 0}),
        ("/speed", {}),
        ("/network", {"backend": 1}),
        ("/dimming", {"closed": "yes"}),
        ("/dimming", {}),
        ("/io/line", {"mode": "loud"}),
    ],
)
def test_bad_bodies_are_400_and_change_nothing(bench: ApiBench, path: str, fields: dict[str, Any]) -> None:
    before = bench.api.answer("GET", "/state", {}).body

    status, body = bench.post(path, **fields)

    assert (status, list(body)) == (HTTPStatus.BAD_REQUEST, ["error"])
    assert bench.api.answer("GET", "/state", {}).body == before


@pytest.mark.parametrize(
    "path", ["/", "/states", "/connectors/1", "/connectors/3/plug", "/connectors/x/plug", "/connectors/1/fly"]
)
def test_unknown_paths_are_404(bench: ApiBench, path: str) -> None:
    assert bench.post(path)[0] == HTTPStatus.NOT_FOUND


def test_the_wrong_method_is_405_and_names_the_right_one(bench: ApiBench) -> None:
    assert bench.api.answer("POST", "/state", {}).allow == "GET"
    answer = bench.api.answer("GET", "/connectors/1/plug", {})
    assert (answer.status, answer.allow) == (HTTPStatus.METHOD_NOT_ALLOWED, "POST")


def test_a_body_that_is_no_object_is_400(bench: ApiBench) -> None:
    assert bench.api.answer("POST", "/reset", []).status == HTTPStatus.BAD_REQUEST


def test_line_faults_and_injected_silence_show_as_the_mode_of_the_line(bench: ApiBench) -> None:
    _, state = bench.post("/connectors/1/line", mode="garbage", device="meter")
    assert state["connectors"][0]["line"] == {"controller": "ok", "meter": "garbage"}

    _, state = bench.post("/connectors/2/fault", code="EVSECommunicationError", active=True)
    assert state["connectors"][1]["line"] == {"controller": "silent", "meter": "ok"}
    assert state["connectors"][1]["faults"] == ["EVSECommunicationError"]


def test_speed_and_swipe_and_modem_show_in_the_state(bench: ApiBench) -> None:
    bench.post("/speed", factor=60)
    bench.post("/modem", signal=37)
    bench.post("/modem", sim="locked")
    bench.post("/modem", sim="locked", registration="denied")
    _, state = bench.post("/reader/swipe", uid="04A2B3C4", connector=1)

    assert (state["speed"], state["reader"]["field"]) == (60, "04A2B3C4")
    assert state["modem"] == {"signal": 37, "sim": "locked", "sim_number": 2, "registration": "denied"}


def test_the_contact_of_the_control_box_and_its_module_are_switched_and_reset(bench: ApiBench) -> None:
    bench.post("/dimming", closed=True)
    _, state = bench.post("/io/line", mode="silent")
    assert (state["dimming"], state["io"]) == ({"closed": True}, {"line": "silent"})

    _, state = bench.post("/reset")
    assert (state["dimming"], state["io"]) == ({"closed": False}, {"line": "ok"})


async def converse(handler: Any, sent: bytes) -> bytes:
    """Send bytes to a server over a socket, close the sending side, and return what comes back until the end."""
    http = HttpServer(handler)
    server = await asyncio.start_server(http.connected, "127.0.0.1", 0, limit=16 * 1024)
    try:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(5):
            received = await reader.read()
        writer.close()
        return received
    finally:
        server.close()
        await http.end_connections()


def echo(method: str, path: str, fields: Any) -> Answer:
    return Answer(status=HTTPStatus.OK, body={"method": method, "path": path, "fields": fields})


def request(
    body: bytes, *extra: str, version: str = "HTTP/1.1", length: str | None = None, host: str = "localhost:9300"
) -> bytes:
    head = [f"POST /x?y=1 {version}", f"Host: {host}", f"Content-Length: {length or len(body)}", *extra, "", ""]
    return "\r\n".join(head).encode() + body


def status_of(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


async def test_several_requests_on_one_connection_are_answered_in_order() -> None:
    received = await converse(echo, request(b'{"a": 1}') + request(b"") + request(b'{"a": 2}', "Connection: close"))

    bodies = [json.loads(part.split(b"\r\n\r\n", 1)[1]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert [body["fields"] for body in bodies] == [{"a": 1}, {}, {"a": 2}]
    assert bodies[0]["path"] == "/x"


async def test_an_old_client_gets_its_answer_and_the_end() -> None:
    received = await converse(echo, request(b"{}", version="HTTP/1.0") + request(b"{}"))

    assert received.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in received


async def test_a_client_that_waits_for_permission_gets_it() -> None:
    received = await converse(echo, request(b"{}", "Expect: 100-continue"))

    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(b"{bad"), 400),
        (request(b"\xff\xfe\xfa"), 400),
        (request(b"[" * 20_000), 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbroken line\r\n\r\n", 400),
        (request(b"", length="many"), 400),
        (request(b"", length=str(MAXIMUM_BODY_BYTES + 1)), 413),
        (request(b"", "Transfer-Encoding: chunked"), 411),
        (request(b"", version="HTTP/2.0"), 505),
        (request(b"", "X: " + "y" * 40_000), 431),
    ],
)
async def test_requests_that_are_none_are_answered_with_a_reason(sent: bytes, status: int) -> None:
    received = await converse(echo, sent)

    assert status_of(received) == status
    assert json.loads(received.split(b"\r\n\r\n", 1)[1])["error"]


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("evil.example", ()),
        ("localhost.evil.example:9300", ()),
        ("evil.example@localhost", ()),
        ("", ()),
        ("8.8.8.8", ()),
        ("localhost:9300", ("Origin: http://evil.example",)),
        ("localhost:9300", ("Origin: null",)),
        ("localhost:9300", ("Origin: http://localhost:8080",)),
        ("localhost:9300", ("Origin: https://localhost:9300",)),
        ("localhost:9300", ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors")),
        ("localhost:9300", ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors")),
    ],
)
async def test_a_page_of_somebody_else_swipes_no_card(host: str, headers: tuple[str, ...]) -> None:
    asked: list[str] = []

    def handler(method: str, path: str, fields: Any) -> Answer:
        asked.append(path)
        return echo(method, path, fields)

    received = await converse(handler, request(b'{"uid": "04A2"}', "Content-Type: text/plain", *headers, host=host))

    assert (status_of(received), asked) == (403, [])
    assert json.loads(received.split(b"\r\n\r\n", 1)[1])["error"]


async def test_a_browser_must_say_that_it_sends_json() -> None:
    own = "Origin: http://localhost:9300"
    form = "Content-Type: application/x-www-form-urlencoded"

    assert status_of(await converse(echo, request(b"{}", own, "Content-Type: text/plain"))) == 415
    assert status_of(await converse(echo, request(b"{}", "Referer: http://x/", form))) == 415
    assert status_of(await converse(echo, request(b"{}", own))) == 415
    assert status_of(await converse(echo, request(b"{}", own, "Content-Type: application/json; charset=utf-8"))) == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9300", "127.0.0.2", "[::1]:9300"])
async def test_a_program_says_what_it_likes_about_its_body(host: str) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"

    assert status_of(await converse(echo, request(b"{}", form, host=host))) == 200
    assert (
        status_of(await converse(echo, request(b"{}", "Sec-Fetch-Site: none", "Content-Type: application/json"))) == 200
    )


async def test_two_names_in_one_request_are_refused() -> None:
    assert status_of(await converse(echo, request(b"{}", "Host: evil.example"))) == 400


async def test_bad_json_does_not_end_the_connection() -> None:
    received = await converse(echo, request(b"{bad") + request(b"{}"))

    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"400", b"200"]


async def test_a_client_that_leaves_in_the_middle_is_no_failure() -> None:
    assert await converse(echo, b"POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc") == b""


def test_a_header_line_with_a_blank_before_its_colon_is_refused() -> None:
    with pytest.raises(RequestRefused):
        parse_head(b"GET / HTTP/1.1\r\nHost : t\r\n\r\n")


def test_an_answer_names_the_allowed_method() -> None:
    answer = Answer(status=HTTPStatus.METHOD_NOT_ALLOWED, body={}, allow="GET")

    assert b"\r\nAllow: GET\r\n" in encode_answer(answer, keep_alive=True)


def test_what_goes_wrong_with_a_signature_is_set_where_the_meter_signs(bench: ApiBench) -> None:
    bench.world.points[1].signing.is_played = True

    status, state = bench.post("/connectors/1/signing", seconds=12, fault="power")
    elsewhere, _ = bench.post("/connectors/2/signing", seconds=12)
    nothing, _ = bench.post("/connectors/1/signing")

    assert (status, state["connectors"][0]["signing"]) == (HTTPStatus.OK, {"seconds": 12, "faults": ["power"]})
    assert state["connectors"][1]["signing"] is None
    assert (elsewhere, nothing) == (HTTPStatus.CONFLICT, HTTPStatus.BAD_REQUEST)
    assert bench.post("/reset")[1]["connectors"][0]["signing"] == {"seconds": 0.5, "faults": []}
