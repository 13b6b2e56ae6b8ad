"""The real RAUC on a private bus: what it says of bundles and slots, and what the station makes of that.

Here it writes no slot, because that needs the device mapper; `test_updates` has it.
"""

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils.translation import override

from scripts.image.bundle import make_bundle
from scripts.image.maker import MakerKeys
from scripts.image.run import run
from station.domain.firmware import ImageRefused
from station.host.dbus.rauc import RaucUpdates
from station.ui.file_job_words import REASONS
from tests.station import wait_until
from tests.system_bus import ADDRESS, SystemBus

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "deploy/image/rauc/system.conf"
BOARD = "amd64"
_OF_ROOT = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
_OF_SIGNING = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"


class Workshop:
    """A maker, and what it makes."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.keys = directory, self.new_keys(directory / "keys")
        content = directory / "content"
        content.mkdir()
        (content / "software").write_bytes(random.Random(1).randbytes(300_000))
        self.image = directory / "image.ext4"
        run("mke2fs", "-q", "-t", "ext4", "-d", content, self.image, "8192k")

    @staticmethod
    def new_keys(directory: Path) -> MakerKeys:
        run(ROOT / "scripts/maker-key", directory, "Workshop")
        return MakerKeys(directory)

    def bundle(self, name: str, *, board: str = BOARD, keys: MakerKeys | None = None) -> Path:
        place = self.directory / name
        make_bundle(self.image, place, version="9.1.0", board=board, keys=keys or self.keys)
        return place

    def change_keys(self, *options: str) -> None:
        """Do with the maker's keys what the maker does, with the root at hand."""
        run(ROOT / "scripts/maker-key", self.keys.directory, *options)

    def expired_bundle(self, name: str) -> Path:
        """Return a bundle signed by a maker who has overlooked that the certificate ended yesterday."""
        signer = serialization.load_pem_private_key((self.keys.directory / "root.key").read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        old = x509.load_pem_x509_certificate(self.keys.certificate.read_bytes())
        builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), x509.random_serial_number())
        ended = builder.not_valid_before(old.not_valid_before_utc).not_valid_after(
            datetime.now(tz=UTC) - timedelta(days=1)
        )
        made = ended.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.keys.certificate.write_bytes(made)
        # RAUC itself would refuse it when it is told the root.
        content, place = self.directory / "expired", self.directory / name
        content.mkdir()
        (content / "rootfs.ext4").write_bytes(self.image.read_bytes())
        (content / "manifest.raucm").write_text(
            f"[update]\ncompatible=station-{BOARD}\nversion=9.1.0\n"
            "[bundle]\nformat=verity\n[image.rootfs]\nfilename=rootfs.ext4\n"
        )
        run("rauc", "--cert", self.keys.certificate, "--key", self.keys.key, "bundle", content, place)
        return place


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The boot loader's memory, in the first start of slot A."""
    place = tmp_path / "grubenv"
    run("grub-editenv", place, "create")
    run("grub-editenv", place, "set", "ORDER=A B", "A_OK=1", "A_TRY=1", "B_OK=1", "B_TRY=1", "LAST=A")
    return place


@contextmanager
def station(
    directory: Path, keyring: str, environment: Path, monkeypatch: pytest.MonkeyPatch, settings: str = ""
) -> Iterator[RaucUpdates]:
    """Start RAUC as on a station with such a keyring."""
    directory.mkdir(exist_ok=True)
    trusted = directory / "maker.pem"
    trusted.write_text(keyring)
    text = (settings or SETTINGS.read_text()).replace("@BOARD@", BOARD).replace("/efi/grub/grubenv", str(environment))
    text = text.replace("/usr/share/station/maker.pem", str(trusted)).replace("/data/rauc", str(directory))
    for slot in ("rootA", "rootB"):
        text = text.replace(f"/dev/disk/by-partlabel/{slot}", str(directory / slot))
        (directory / slot).touch()
    (directory / "system.conf").write_text(text)
    with SystemBus(directory) as bus, monkeypatch.context() as patch:
        patch.setenv(ADDRESS, bus.address)
        command = ["rauc", "--conf", str(directory / "system.conf"), "--override-boot-slot=A", "service"]
        service = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        updates = RaucUpdates(state=directory / "rauc.json", boot_id=lambda: "1", keyring=trusted)
        try:
            wait_until(lambda: not updates.unavailable(), timeout_s=30, what="RAUC")
            yield updates
        finally:
            service.kill()
            service.wait()


@pytest.fixture
def updates(
    tmp_path: Path, workshop: Workshop, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RaucUpdates]:
    with station(tmp_path / "station", workshop.keys.keyring, environment, monkeypatch) as updates:
        yield updates


def told(updates: RaucUpdates, bundle: Path) -> str:
    """Return what the page says of a bundle that is refused."""
    return str(REASONS[refused(updates, bundle)])


def refused(updates: RaucUpdates, bundle: Path) -> str:
    with pytest.raises(ImageRefused) as refusal:
        updates.check(bundle, needs_signature=True)
    return refusal.value.code


def memory(environment: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in run("grub-editenv", environment, "list").splitlines())


def test_a_bundle_of_the_maker_for_this_board_is_taken(updates: RaucUpdates, workshop: Workshop):
    assert updates.check(workshop.bundle("good.raucb"), needs_signature=True) == "9.1.0"


def test_bundles_for_another_board_of_another_maker_and_no_bundles_are_refused(
    updates: RaucUpdates, workshop: Workshop
):
    stranger = workshop.new_keys(workshop.directory / "stranger")
    cases = {
        workshop.bundle("board.raucb", board="toaster"): "other_hardware",
        workshop.bundle("stranger.raucb", keys=stranger): "signature_wrong",
        workshop.image: "container_unreadable",
    }

    for bundle, code in cases.items():
        assert refused(updates, bundle) == code


def test_after_a_theft_only_the_renewed_key_signs_for_a_station_that_has_the_list(
    tmp_path: Path, workshop: Workshop, environment: Path, monkeypatch: pytest.MonkeyPatch
):
    before, stolen = workshop.keys.keyring, workshop.bundle("stolen.raucb")
    workshop.change_keys("--renew", "--revoke")
    renewed = workshop.bundle("renewed.raucb")

    # How the list gets to the stations: with an update of the renewed key, which those without it take, too.
    with station(tmp_path / "before", before, environment, monkeypatch) as updates:
        assert updates.check(renewed, needs_signature=True) == "9.1.0"
    with station(tmp_path / "after", workshop.keys.keyring, environment, monkeypatch) as updates:
        assert updates.check(renewed, needs_signature=True) == "9.1.0"
        assert refused(updates, stolen) == "certificate_revoked"
        assert "withdrawn" in told(updates, stolen)
        with override("de"):
            assert "zurückgezogen" in told(updates, stolen)


def test_a_key_that_is_gone_is_revoked_with_a_bundle_of_it(
    tmp_path: Path, workshop: Workshop, environment: Path, monkeypatch: pytest.MonkeyPatch
):
    stolen = workshop.bundle("stolen.raucb")
    for file in (workshop.keys.key, workshop.keys.certificate):
        file.unlink()
    workshop.change_keys("--renew", "--revoke", str(stolen))

    with station(tmp_path / "station", workshop.keys.keyring, environment, monkeypatch) as updates:
        assert refused(updates, stolen) == "certificate_revoked"
        assert updates.check(workshop.bundle("renewed.raucb"), needs_signature=True) == "9.1.0"


def test_a_lost_key_is_renewed_and_what_it_has_signed_stays_good(
    tmp_path: Path, workshop: Workshop, environment: Path, monkeypatch: pytest.MonkeyPatch
):
    first = workshop.bundle("first.raucb")
    workshop.change_keys("--renew")

    with station(tmp_path / "station", workshop.keys.keyring, environment, monkeypatch) as updates:
        for bundle in (first, workshop.bundle("second.raucb")):
            assert updates.check(bundle, needs_signature=True) == "9.1.0"


def test_what_was_signed_with_an_expired_certificate_is_refused_in_words(updates: RaucUpdates, workshop: Workshop):
    bundle = workshop.expired_bundle("expired.raucb")

    assert refused(updates, bundle) == "certificate_expired"
    assert "had expired" in told(updates, bundle)


def test_a_station_delivered_before_there_were_lists_takes_what_the_renewed_key_signs(
    tmp_path: Path, workshop: Workshop, environment: Path, monkeypatch: pytest.MonkeyPatch
):
    workshop.change_keys("--renew", "--revoke")
    former = SETTINGS.read_text().replace("check-crl=true\n", "")

    with station(tmp_path / "s", workshop.keys.trusted.read_text(), environment, monkeypatch, former) as updates:
        assert updates.check(workshop.bundle("renewed.raucb"), needs_signature=True) == "9.1.0"


def test_a_maker_from_before_there_were_lists_gets_one_that_stations_take(
    tmp_path: Path, workshop: Workshop, environment: Path, monkeypatch: pytest.MonkeyPatch
):
    """As the former script made its keys: valid from the moment on in which they were made."""
    place = workshop.keys.directory
    for name, extensions, signer in (
        ("root", _OF_ROOT, ("-signkey", place / "root.key")),
        ("signing", _OF_SIGNING, ("-CA", place / "root.pem", "-CAkey", place / "root.key")),
    ):
        (place / "extensions").write_text(extensions)
        subject = ("-subj", f"/CN=Müller: {name}")
        run("openssl", "req", "-new", "-key", place / f"{name}.key", *subject, "-out", place / "csr")
        request = ("-req", "-in", place / "csr", "-days", "3650", "-extfile", place / "extensions")
        (place / f"{name}.pem").write_text(run("openssl", "x509", *request, *signer))
    workshop.keys.revoked.unlink()
    bundle = workshop.bundle("former.raucb")

    # Later than what it has signed.
    workshop.change_keys("--list")
    with station(tmp_path / "one", workshop.keys.keyring, environment, monkeypatch) as updates:
        assert updates.check(bundle, needs_signature=True) == "9.1.0"
    workshop.change_keys("--renew", "--revoke")
    with station(tmp_path / "two", workshop.keys.keyring, environment, monkeypatch) as updates:
        assert updates.check(workshop.bundle("renewed.raucb"), needs_signature=True) == "9.1.0"
        assert refused(updates, bundle) == "certificate_revoked"


def test_slots_are_told_while_none_counts_as_good_and_what_runs_is_marked(updates: RaucUpdates, environment: Path):
    assert {(slot.bootname, slot.is_running) for slot in updates.slots()} == {("A", True), ("B", False)}

    updates.confirm()

    known = memory(environment)
    assert (known["A_OK"], known["A_TRY"]) == ("1", "0")
    # What only the boot loader knows is kept.
    assert known["LAST"] == "A"
    assert next(slot for slot in updates.slots() if slot.starts_next).bootname == "A"


def test_an_installation_that_cannot_be_done_leaves_the_slot_that_runs(
    updates: RaucUpdates, workshop: Workshop, environment: Path
):
    updates.confirm()
    bundle = workshop.bundle("good.raucb")
    with bundle.open("r+b") as file:
        file.truncate(bundle.stat().st_size - 5)

    with pytest.raises(ImageRefused):
        updates.install(bundle, ticket="one", needs_signature=True, progress=lambda _percent: None)
    updates.undo()

    known = memory(environment)
    assert (known["ORDER"], known["A_OK"], known["A_TRY"]) == ("A B", "1", "0")
