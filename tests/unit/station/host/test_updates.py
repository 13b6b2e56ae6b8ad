"""Software images and the two slots: attack scenario 21 of reference/security.md, promise P7 of reliability.md."""

import os
import shutil
import tarfile
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from station.domain.firmware import ImageRefused
from station.host import images, release, updates
from station.host.ports import InstallationResult
from tests.images import FILES, Maker, add

CHECK = {"needs_signature": True}
WISHES: dict[str, Any] = CHECK | {"progress": lambda _percent: None}


class Computer:
    """A simulated computer that can be restarted."""

    def __init__(self, root: Path, maker: Maker) -> None:
        self.boots = 1
        self.updates = updates.SlotUpdates(root=root / "slots", key=maker.key, boot_id=lambda: f"boot {self.boots}")

    def restart(self) -> None:
        self.boots += 1


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def computer(tmp_path, maker) -> Computer:
    return Computer(tmp_path, maker)


def refusal(computer: Computer, image: Path, **wishes) -> str:
    with pytest.raises(ImageRefused) as refused:
        computer.updates.install(image, ticket="t", **(WISHES | wishes))
    assert computer.updates.version() == release.RELEASE
    return refused.value.code


@pytest.mark.parametrize("curve", [False, True])
def test_a_signed_image_runs_after_the_restart_and_not_before(tmp_path, curve):
    maker = Maker(curve=curve)
    computer = Computer(tmp_path, maker)

    computer.updates.install(maker.image(tmp_path / "image"), ticket="one", **WISHES)

    assert computer.updates.version() == release.RELEASE
    assert computer.updates.result("one") == InstallationResult.PENDING
    computer.restart()
    assert computer.updates.version() == "9.1.0"
    assert computer.updates.result("one") == InstallationResult.RUNNING
    assert (tmp_path / "slots" / "b" / "bin/station").read_bytes() == FILES["bin/station"]


def test_two_updates_use_the_slots_in_turn(tmp_path, maker, computer):
    for number in (1, 2, 3):
        image = maker.image(tmp_path / "image", version=f"9.{number}.0")
        computer.updates.install(image, ticket=str(number), **WISHES)
        computer.restart()

        assert computer.updates.version() == f"9.{number}.0"
        assert computer.updates.result(str(number)) == InstallationResult.RUNNING


def test_an_installation_that_is_repeated_after_a_cut_does_nothing_more(tmp_path, maker, computer):
    image = maker.image(tmp_path / "image")
    computer.updates.install(image, ticket="one", **WISHES)
    image.unlink()

    computer.updates.install(image, ticket="one", **WISHES)

    assert computer.updates.result("one") == InstallationResult.PENDING


def test_an_update_that_is_undone_before_the_restart_never_runs(tmp_path, maker, computer):
    computer.updates.install(maker.image(tmp_path / "image"), ticket="one", **WISHES)

    computer.updates.undo()
    computer.restart()

    assert computer.updates.version() == release.RELEASE
    assert computer.updates.result("one") == InstallationResult.NOT_RUNNING


def test_software_damaged_after_the_restart_gives_way_to_the_old_one(tmp_path, maker, computer):
    computer.updates.install(maker.image(tmp_path / "image"), ticket="one", **WISHES)
    computer.restart()
    (tmp_path / "slots" / "b" / "etc/release").write_bytes(b"harm")

    assert computer.updates.result("one") == InstallationResult.NOT_RUNNING
    computer.updates.undo()
    assert computer.updates.version() == release.RELEASE


def test_software_older_than_the_floor_of_what_has_run_is_refused(tmp_path, maker, computer):
    image = maker.image(tmp_path / "image", version="9.5.0", security_floor="9.4.0")
    computer.updates.install(image, ticket="one", **WISHES)
    computer.restart()
    computer.updates.result("one")

    with pytest.raises(ImageRefused, match="older_than_floor"):
        computer.updates.check(maker.image(tmp_path / "image", version="9.3.9"), **CHECK)
    assert computer.updates.check(maker.image(tmp_path / "image", version="9.4.0"), **CHECK) == "9.4.0"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"product": "toaster"}, "other_product"),
        ({"hardware": ["other"]}, "other_hardware"),
        ({"signed": False}, "signature_missing"),
        ({"files": {"../evil": b"x"}}, "path_forbidden"),
        ({"files": {"/etc/passwd": b"x"}}, "path_forbidden"),
        ({"files": []}, "manifest_unreadable"),
        ({"version": "new"}, "version_unreadable"),
    ],
)
def test_an_unsuitable_image_is_refused(tmp_path, maker, computer, changes, code):
    if changes.get("files") == []:
        image = maker.image(tmp_path / "image", files={})
    else:
        image = maker.image(tmp_path / "image", **changes)

    assert refusal(computer, image) == code


def test_an_image_signed_by_somebody_else_is_refused_even_where_none_needs_to_be_signed(tmp_path, computer):
    image = Maker().image(tmp_path / "image")

    assert refusal(computer, image) == "signature_wrong"
    assert refusal(computer, image, needs_signature=False) == "signature_wrong"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_an_image_are_refused(tmp_path, maker, computer, kind):
    image = maker.image(tmp_path / "image")
    with tarfile.open(image, "a", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, "bin/link", kind=kind, link="/etc/passwd")

    assert refusal(computer, image) == "member_forbidden"


def test_files_the_manifest_does_not_name_are_refused(tmp_path, maker, computer):
    image = maker.image(tmp_path / "image")
    with tarfile.open(image, "a", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, "more", b"x")

    assert refusal(computer, image) == "contents_wrong"


def test_a_compressed_archive_cannot_swell(tmp_path, maker, computer):
    image = maker.image(tmp_path / "image")
    with tarfile.open(tmp_path / "bomb", "w:gz") as archive:
        archive.add(image, "manifest.json")

    assert refusal(computer, tmp_path / "bomb") == "container_unreadable"


def test_a_header_that_promises_gigabytes_costs_nothing(tmp_path, maker, computer):
    big: dict[str, Any] = {"path": "big", "size": 10_000_000_000, "sha256": "0" * 64}
    image = maker.image(tmp_path / "image", files={})
    text = maker.image(tmp_path / "other")
    assert text.exists()
    with tarfile.open(image, "w", format=tarfile.GNU_FORMAT) as archive:
        manifest = (
            b'{"product":"station","version":"9.9.9","hardware":["simulated"],"files":[{"path":"big","size":%d,'
            b'"sha256":"%s"}]}' % (big["size"], big["sha256"].encode())
        )
        add(archive, "manifest.json", manifest)
        add(archive, "manifest.sig", maker.sign(manifest))
        member = tarfile.TarInfo("big")
        member.size = big["size"]
        archive.fileobj.write(member.tobuf(tarfile.GNU_FORMAT))

    assert refusal(computer, image) == "container_unreadable"


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_bit_and_no_cut_gets_through(tmp_path, maker, computer, data):
    content = bytearray(maker.image(tmp_path / "whole", files={"a": b"x" * 700, "b": b"y"}).read_bytes())
    end = content.rindex(b"y") + 1
    position = data.draw(st.integers(0, end - 1))
    image = tmp_path / "harmed"
    if data.draw(st.booleans()):
        content[position] ^= 1 << data.draw(st.integers(0, 7))
        image.write_bytes(content)
    else:
        image.write_bytes(content[:position])

    try:
        version = computer.updates.check(image, **CHECK)
    except ImageRefused:
        return
    # A bit between two members (padding, owner, date with its checksum) says nothing; what is installed is the same.
    computer.updates.install(image, ticket=str(position), **WISHES)
    free = tmp_path / "slots" / "b"
    assert version == "9.1.0"
    assert {path.name: path.read_bytes() for path in free.iterdir()} == {"a": b"x" * 700, "b": b"y"}
    computer.updates.undo()


def test_a_cut_at_any_write_leaves_the_old_software_active(tmp_path, maker, monkeypatch):
    """The power goes before the n-th flush to disk, for every n until the installation succeeds."""

    class PowerCut(BaseException):
        pass

    image = maker.image(tmp_path / "image")
    real = os.fsync
    for survived in range(50):
        computer = Computer(tmp_path / f"run {survived}", maker)
        left = [survived]

        def fsync(descriptor, left=left):
            if not left[0]:
                raise PowerCut
            left[0] -= 1
            real(descriptor)

        monkeypatch.setattr("os.fsync", fsync)
        with suppress(PowerCut):
            computer.updates.install(image, ticket="one", **WISHES)
        monkeypatch.setattr("os.fsync", real)
        result = computer.updates.result("one")
        assert computer.updates.version() == release.RELEASE
        if result == InstallationResult.PENDING and left[0]:
            break
        computer.restart()
        expected = "9.1.0" if result == InstallationResult.PENDING else release.RELEASE
        assert computer.updates.version() == expected
        shutil.rmtree(tmp_path / f"run {survived}")
    else:
        pytest.fail("the installation never came to its end")


def test_an_unsigned_image_is_taken_only_where_signatures_are_not_wanted(tmp_path, maker, computer):
    image = maker.image(tmp_path / "image", signed=False)

    assert computer.updates.check(image, needs_signature=False) == "9.1.0"
    assert refusal(computer, image) == "signature_missing"


def test_on_the_bench_a_file_that_is_no_container_can_stand_for_an_image(tmp_path, computer):
    (tmp_path / "image").write_bytes(b"anything")

    computer.updates.install(tmp_path / "image", ticket="one", **(WISHES | {"needs_signature": False}))
    computer.restart()

    assert computer.updates.version().startswith(f"{release.RELEASE}+")
    assert computer.updates.result("one") == InstallationResult.RUNNING


def test_the_release_is_the_version_of_the_project():
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())

    assert project["project"]["version"] == release.RELEASE


def test_the_shipped_key_is_one_an_image_can_be_signed_with():
    shipped = images.UpdateKey((Path(updates.__file__).parent / "update_key.pem").read_bytes())

    with pytest.raises(ImageRefused, match="signature_wrong"):
        shipped.verify(bytes(64), b"message")


def test_the_slots_say_what_runs_and_what_the_next_start_uses(computer, maker, tmp_path):
    told: list[int] = []

    computer.updates.install(maker.image(tmp_path / "image"), ticket="one", **(WISHES | {"progress": told.append}))

    assert told == sorted(told)
    assert told[-1] == 100
    running, other = computer.updates.slots()
    assert (running.version, running.is_running, running.starts_next) == (release.RELEASE, True, False)
    assert (other.version, other.is_running, other.starts_next) == ("9.1.0", False, True)
    computer.restart()
    assert [slot.is_running for slot in computer.updates.slots()] == [False, True]
