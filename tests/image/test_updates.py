"""Updates in a virtual machine: RAUC writes the other slot, GRUB starts it, and always something works."""

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.image import built
from tests.image.bench import MANAGE, PATIENCE_S, ROUTER, Bench
from tests.image.bundles import Bundles, tampered
from tests.image.disks import alternate, kind
from tests.image.test_power_cut import SEED, note
from tests.station import wait_until

pytestmark = pytest.mark.long

NEWER, NEW, UNFINISHED, STUCK, OLD = "9.2.0", "9.1.0", "9.0.1", "9.0.0", "0.0.1"
COUNT = "from station.models import ChargingSession; print(ChargingSession.objects.count())"
PAGE = "/software/update"
# Emulated: a bundle is read, checked and written, and the computer started.
INSTALLED_IN_S = 1800.0
# Two starts that the watchdog ends, and one of the former software.
GIVEN_UP_IN_S = 2400.0
# Whoever asks all the time takes the processor away from who works.
LOOK_EVERY_S = 3.0
# Random moments of download, writing, restart and first start; an emulated start takes some minutes.
CUTS, LONGEST_RUN_S = 5, 400.0
_BOUNDARY = "x-x-x"


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    place = built.scratch_directory()
    yield place
    built.clear(place)


@pytest.fixture(scope="module")
def bundles(scratch: Path, image: Path) -> Bundles:
    """What is made of the root file system of the image; both were built together."""
    assert image.exists()
    return Bundles(built.CACHE, scratch)


@pytest.fixture(scope="module", autouse=True)
def expert(bench: Bench) -> None:
    """Somebody at the pages, and a backend; the parts before may have left the station with either."""
    if not bench.backend.received("BootNotification"):
        bench.connect_to_backend()
    mark = bench.backend.mark()
    bench.machine.run("systemctl restart station-ocpp")
    bench.backend.wait_for("BootNotification", after=mark, timeout=PATIENCE_S)
    bench.person.cookies.clear()
    bench.person.sign_in()
    bench.person.send("/profile/advanced", {"advanced": "expert"}, form="/profile")


@contextmanager
def served(directory: Path) -> Iterator[int]:
    """Serve the files of a directory; yield the port."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def upload(bench: Bench, bundle: Path) -> None:
    """Choose a file on the page Update and send it."""
    token = bench.person.ask("GET", "/software/log-files")[1].split('name="csrfmiddlewaretoken" value="')[1][:64]
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n{token}\r\n'
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{bundle.name}"\r\n\r\n'
    )
    body = head.encode() + bundle.read_bytes() + f"\r\n--{_BOUNDARY}--\r\n".encode()
    port = bench.forwarded(443).here
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=600, context=bench.person.context)
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in bench.person.cookies.items()),
        "Origin": f"https://127.0.0.1:{port}",
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
    }
    connection.request("POST", f"{PAGE}/upload", body, headers)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    assert answer.status == 302, said[-2000:]


def page_says(bench: Bench, text: str, *, timeout_s: float = PATIENCE_S) -> str:
    """Wait until the page Update shows a text, and return the page; the station may be away meanwhile."""
    page = ""

    def shows() -> bool:
        nonlocal page
        try:
            page = bench.person.ask("GET", PAGE)[1]
        except (OSError, http.client.HTTPException):
            page = ""
        if text not in page:
            time.sleep(LOOK_EVERY_S)
        return text in page

    wait_until(shows, timeout_s=timeout_s, what=f"{text!r} on the page, which shows {page[-3000:]}")
    return page


def slot(bench: Bench) -> str:
    """Return which slot runs."""
    line = bench.machine.run("cat /proc/cmdline")
    return line.split("rauc.slot=")[1][0]


def order(bench: Bench, bundle: Path) -> int:
    """Have the backend order an update from this computer; return the mark before it."""
    mark = bench.backend.mark()
    with served(bundle.parent) as port:
        request: dict[str, Any] = {"location": f"http://{ROUTER}:{port}/{bundle.name}"}
        bench.backend.call("UpdateFirmware", request | {"retrieveDate": "2026-01-01T00:00:00Z"}, timeout=PATIENCE_S)
        hears(bench, mark, "Downloading", "Downloaded")
    return mark


def hears(bench: Bench, mark: int, *statuses: str) -> None:
    """Wait until the backend has heard of each of these steps."""
    for status in statuses:
        bench.backend.wait_for(
            "FirmwareStatusNotification",
            where=lambda sent, status=status: sent["status"] == status,
            after=mark,
            timeout=INSTALLED_IN_S,
        )


def is_given_up(bench: Bench, bundle: Path, because: str) -> None:
    """Have the backend order a version that cannot work; the former one runs again and says why."""
    mark = order(bench, bundle)
    hears(bench, mark, "Installing", "InstallationFailed")
    bench.machine.console.has_shell = False
    assert slot(bench) == "A"
    assert because in page_says(bench, "Not updated")


def charge(bench: Bench, number: int) -> None:
    """Have a car charge and leave again: an installation waits for whoever charges."""
    mark = bench.backend.mark()
    bench.begin_session(number)
    bench.sim(f"/connectors/{number}/unplug")
    bench.backend.wait_for("StopTransaction", after=mark, timeout=PATIENCE_S)


def events(bench: Bench) -> str:
    """Return what the event log holds, as its table has it."""
    code = "from station.models import LogEntry; print(*LogEntry.objects.values_list('code', 'data'), sep='\\n')"
    return bench.machine.run(f'{MANAGE} shell -c "{code}"', timeout_s=PATIENCE_S)


def memory(bench: Bench) -> dict[str, str]:
    """Return what the boot loader remembers."""
    listed = bench.machine.run("grub-editenv /efi/grub/grubenv list")
    return dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)


def test_the_first_start_is_marked_good(bench: Bench) -> None:
    wait_until(lambda: memory(bench)["A_TRY"] == "0", timeout_s=PATIENCE_S, what="slot A marked good")

    assert slot(bench) == "A"


def test_a_bundle_for_another_board_is_refused(bench: Bench, bundles: Bundles) -> None:
    upload(bench, bundles.hanging(NEW, board="toaster"))

    page_says(bench, "for another board (station-toaster)")


def test_a_bundle_that_was_tampered_with_is_refused_before_anything_starts_from_it(
    bench: Bench, bundles: Bundles
) -> None:
    upload(bench, tampered(bundles.hanging(NEW)))

    page = page_says(bench, "Install and reboot")
    assert NEW in page
    bench.person.send(f"{PAGE}/install", {}, form=PAGE)
    # The signature covers the hashes; the changed block is found when it is read.
    page = page_says(bench, "Not updated", timeout_s=INSTALLED_IN_S)
    assert "not as its maker has signed it" in page
    assert slot(bench) == "A"
    assert memory(bench)["ORDER"].split()[0] == "A"


def test_an_older_version_is_refused_unless_somebody_insists(bench: Bench, bundles: Bundles) -> None:
    upload(bench, bundles.hanging(OLD))
    page_says(bench, "older than the software that is running")

    status, _ = bench.person.send(f"{PAGE}/install", {}, form=PAGE)

    assert status == 422
    bench.person.send(f"{PAGE}/stop", {}, form=PAGE)
    page_says(bench, "The last update was stopped")


def test_a_torn_memory_of_the_boot_loader_is_written_anew_and_told(bench: Bench) -> None:
    # Slot B is as the bundles before have left it: a slot that was written in part is not to be tried.
    before = memory(bench)
    bench.machine.run(": >/efi/grub/grubenv; : >/efi/grub/good; sync")
    bench.machine.cut()

    bench.start()

    wait_until(lambda: memory(bench)["A_TRY"] == "0", timeout_s=PATIENCE_S, what="slot A marked good")
    assert memory(bench) == before
    assert before == {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": before["B_OK"], "B_TRY": "0", "LAST": "A"}
    assert "computer.boot_memory.mended" in events(bench)


def test_power_lost_while_a_version_is_written_that_hangs_ends_with_the_one_that_works(
    bench: Bench, bundles: Bundles
) -> None:
    charge(bench, 1)
    upload(bench, bundles.hanging(NEW))
    page_says(bench, "Install and reboot")
    bench.person.send(f"{PAGE}/install", {}, form=PAGE)
    page_says(bench, f"Version {NEW} is being installed")
    wait_until(lambda: memory(bench)["B_OK"] == "0", timeout_s=PATIENCE_S, what="a slot being written")

    bench.machine.cut()
    # From here on what hangs is restarted, as on a real computer.
    bench.machine.watchdog = True
    bench.machine.start()

    # It goes on writing by itself, starts the new version twice, and the watchdog ends both.
    bench.machine.wait_for_text("this version hangs", timeout_s=INSTALLED_IN_S)
    page_says(bench, "Not updated", timeout_s=GIVEN_UP_IN_S)
    bench.machine.console.has_shell = False
    assert slot(bench) == "A"
    assert "The new version did not start" in page_says(bench, "Not updated")
    assert bench.machine.console.text.count("this version hangs") == 2
    bench.wait_ready()
    charge(bench, 2)


def test_a_version_whose_start_stops_half_way_restarts_by_itself_until_the_former_one_runs(
    bench: Bench, bundles: Bundles
) -> None:
    is_given_up(bench, bundles.without_a_disk(STUCK), "could not start as a whole")

    # Nobody could ask RAUC; GRUB has counted.
    assert memory(bench)["B_TRY"] == "2"
    bench.wait_ready()


def test_a_version_that_never_becomes_complete_is_given_up_with_what_it_did_to_the_database(
    bench: Bench, bundles: Bundles
) -> None:
    is_given_up(bench, bundles.never_complete(UNFINISHED), "was not complete in time")

    assert memory(bench)["B_OK"] == "0"
    found = events(bench)
    # The later version had changed the tables; nothing that was recorded is lost.
    assert "storage.database.fitted" in found
    assert "'lost': 0" in found
    assert bench.health()[0] == 200


def test_the_backend_updates_the_station_and_hears_of_each_step(bench: Bench, bundles: Bundles) -> None:
    mark = order(bench, bundles.same_under(NEW))
    hears(bench, mark, "Installing", "Installed")
    bench.machine.console.has_shell = False

    assert slot(bench) == "B"
    assert NEW in page_says(bench, f"Version {NEW} was installed and is running")
    assert memory(bench)["B_TRY"] == "0"
    assert bench.health()[0] == 200


def test_power_lost_again_and_again_during_an_update_ends_with_one_of_the_two_versions(
    bench: Bench, bundles: Bundles
) -> None:
    before, mark, dice = slot(bench), bench.backend.mark(), random.Random(SEED)
    cuts: list[dict[str, Any]] = []
    sessions = bench.machine.run(f"{MANAGE} shell -c '{COUNT}'", timeout_s=PATIENCE_S).split()[-1]
    bundle = bundles.same_under(NEWER)
    with served(bundle.parent) as port:
        request: dict[str, Any] = {"location": f"http://{ROUTER}:{port}/{bundle.name}"}
        bench.backend.call("UpdateFirmware", request | {"retrieveDate": "2026-01-01T00:00:00Z"}, timeout=PATIENCE_S)
        for _ in range(CUTS):
            after_s = dice.uniform(0, LONGEST_RUN_S)
            time.sleep(after_s)
            bench.machine.cut()
            cuts.append({"moment": "in_an_update", "disk": kind(bench.machine.disk), "after_s": after_s})
            # Every second disk keeps, loses or tears each write since its last flush by lot.
            bench.machine.disk = alternate(bench.machine.disk, bench.machine.scratch, dice)
            bench.machine.start()
        ended = bench.backend.wait_until(
            lambda backend: next(
                (
                    sent.payload["status"]
                    for sent in backend.received("FirmwareStatusNotification", after=mark)
                    if sent.payload["status"] in {"Installed", "InstallationFailed"}
                ),
                None,
            ),
            timeout=GIVEN_UP_IN_S,
        )
    bench.machine.console.has_shell = False

    # New software has two starts, and power cuts may use them up; then the one before runs.
    assert (slot(bench) == before) == (ended == "InstallationFailed")
    bench.wait_ready()
    assert bench.machine.run(f"{MANAGE} shell -c '{COUNT}'", timeout_s=PATIENCE_S).split()[-1] == sessions
    charge(bench, 1)
    for cut in cuts:
        note(**cut, ended=ended, problems=[])
