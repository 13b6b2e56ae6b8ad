"""Images made by an attacker: each is refused or harmless, quickly, and nothing leaves its directory.

He can write every byte but the maker's signature; the worst case, a maker's key in wrong hands, is tried as well.
"""

import io
import json
import random
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from station.domain.firmware import ImageRefused
from station.host import images
from tests.images import FILES, Maker, add, with_checksum

SEEDS = 400
_BLOCK = tarfile.BLOCKSIZE
_NUMBERS = {"size": (124, 12), "mode": (100, 8), "uid": (108, 8), "mtime": (136, 12), "devmajor": (329, 8)}
_KINDS = b"01234567LKSVNMDAxgX\0\xff"


def forge(header: bytes, position: int, content: bytes) -> bytes:
    return with_checksum(header[:position] + content + header[position + len(content) :])


def headers_of(archive: bytes) -> list[int]:
    """Name the positions of the headers of an honest archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [member.offset for member in opened]


def no_utf_8(header: bytes, chance: random.Random) -> bytes:
    position = chance.choice([0, 5, 12, 345])
    return forge(header, position, bytes(chance.choices(range(128, 256), k=3)))


def another_kind(header: bytes, chance: random.Random) -> bytes:
    return forge(header, 156, bytes([chance.choice(_KINDS)]))


def odd_number(header: bytes, chance: random.Random) -> bytes:
    position, width = chance.choice(list(_NUMBERS.values()))
    number = chance.choice(
        [
            b"\xff" * width,
            b"\x80" + b"\xff" * (width - 1),
            b"\x80" + bytes(width - 1),
            b"7" * width,
            b"-1".ljust(width, b"\0"),
            b"9" * width,
            "١٢".encode().ljust(width, b"\0")[:width],
            bytes(width),
            bytes(chance.choices(range(256), k=width)),
        ]
    )
    return forge(header, position, number)


def odd_name(header: bytes, chance: random.Random) -> bytes:
    name = chance.choice(
        [b"../../evil", b"/etc/passwd", b"a/", b"", b".", b"a\0b", b"a\nb", b"x" * 100, b"manifest.sig"]
    )
    return forge(header, 0, name.ljust(100, b"\0"))


def noise(header: bytes, chance: random.Random) -> bytes:
    position = chance.randrange(_BLOCK - 8)
    return forge(header, position, chance.randbytes(8))


HEADER_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    no_utf_8,
    another_kind,
    odd_number,
    odd_name,
    noise,
)


def mutated(archive: bytes, chance: random.Random) -> bytes:
    """Change an honest archive in one to three ways."""
    content = bytearray(archive)
    for _ in range(chance.randint(1, 3)):
        position = chance.choice(headers_of(archive))
        match chance.randrange(6):
            case 0:
                del content[chance.randrange(len(content)) :]
            case 1:
                content[position:position] = content[position : position + chance.choice([1, 511, 512, 1024])]
            case 2:
                del content[position : position + chance.choice([1, 512, 700])]
            case _:
                header = bytes(content[position : position + _BLOCK])
                if len(header) == _BLOCK:
                    content[position : position + _BLOCK] = chance.choice(HEADER_MUTATIONS)(header, chance)
    return bytes(content)


def read(image: Path, maker: Maker, directory: Path, *, needs_signature: bool = True) -> bool:
    """Do with an image what an update does; return whether it was taken."""
    try:
        manifest = images.verify(image, maker.key, needs_signature=needs_signature)
        images.unpack(image, manifest, directory, progress=lambda _percent: None)
    except (ImageRefused, OSError):
        return False
    return True


@pytest.mark.parametrize("needs_signature", [True, False])
def test_a_mutated_archive_is_refused_or_the_same_as_before(tmp_path: Path, *, needs_signature: bool) -> None:
    maker = Maker()
    honest = maker.image(tmp_path / "honest", files={"a": b"x" * 700, "b/c": b"y"}).read_bytes()
    image, directory = tmp_path / "image", tmp_path / "unpacked" / "b"

    for seed in range(SEEDS):
        image.write_bytes(mutated(honest, random.Random(seed)))
        if read(image, maker, directory, needs_signature=needs_signature):
            present = {
                str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
            }
            assert present == {"a": b"x" * 700, "b/c": b"y"}, seed
        assert {path.name for path in tmp_path.iterdir()} <= {"honest", "image", "unpacked"}, seed


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_extended_headers_are_refused_unread(tmp_path: Path, format_: int) -> None:
    """A pax or GNU header of a gigabyte must not be held in memory."""
    maker = Maker()
    with tarfile.open(tmp_path / "image", "w", format=format_) as archive:
        add(archive, "manifest.json", b"{}")
        add(archive, "x" * 300, b"y")

    with pytest.raises(ImageRefused):
        images.verify(tmp_path / "image", maker.key, needs_signature=False)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"S"])
def test_a_header_of_gigabytes_costs_no_memory(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("manifest.json").tobuf(tarfile.USTAR_FORMAT)
    header = forge(forge(header, 156, kind), 124, b"77777777777\0")
    with (tmp_path / "image").open("wb") as file:
        file.write(header)
        file.truncate(8_000_000_000)
    tracemalloc.start()

    with pytest.raises(ImageRefused, match="member_forbidden"):
        images.verify(tmp_path / "image", Maker().key, needs_signature=False)

    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def test_a_sparse_file_behind_a_short_manifest_is_not_read_to_its_end(tmp_path: Path) -> None:
    maker = Maker()
    image = maker.image(tmp_path / "image", signed=False)
    with image.open("ab") as file:
        file.truncate(50_000_000_000)

    # The zero block after the last member is the end; without a signature there is nothing to take.
    with pytest.raises(ImageRefused, match="signature_missing"):
        images.verify(image, maker.key, needs_signature=True)
    assert images.verify(image, maker.key, needs_signature=False).version.text == "9.1.0"


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"files": ' + b'{"a":' * 50_000,
        b'{"product": 1e999}',
        b"9" * 100_000,
        b"\xff\xfe{\0}\0",
        b"\xed\xa0\x80",
        b"NaN",
        b"null",
        b"",
        json.dumps({"product": "station", "version": "9.1.0", "hardware": [], "files": {"a": 1}}).encode(),
        json.dumps({"product": "station", "version": "9.1.0", "hardware": None, "files": [None]}).encode(),
        json.dumps({"product": "\ud800", "version": "9.1.0", "hardware": ["x"], "files": [7]}).encode(),
        b'{"product":"station","version":"9.1.0","hardware":["simulated"],"files":[{"path":"a","size":-1,"sha256":"%s"}]}'
        % (b"0" * 64),
        b'{"product":"station","version":"9.1.0","hardware":["simulated"],"files":[{"path":"a","size":1%s,"sha256":"%s"}]}'
        % (b"0" * 4_000, b"0" * 64),
    ],
    ids=range(14),
)
def test_a_manifest_that_is_none_is_refused_even_when_the_maker_signed_it(tmp_path: Path, text: bytes) -> None:
    maker = Maker()
    with tarfile.open(tmp_path / "image", "w", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, "manifest.json", text)
        add(archive, "manifest.sig", maker.sign(text))

    with pytest.raises(ImageRefused):
        images.verify(tmp_path / "image", maker.key, needs_signature=True)


@pytest.mark.parametrize(
    "files",
    [
        {"a": b"1", "a/b": b"2"},
        {"a/b": b"1", "a": b"2"},
        {"A" * 120 + "/" + "b": b"1"},
        {"manifest.json": b"{}"},
        {"manifest.sig": b"x"},
    ],
)
def test_names_that_contradict_one_another_leave_nothing_outside(tmp_path: Path, files: dict[str, bytes]) -> None:
    maker = Maker()
    try:
        image = maker.image(tmp_path / "image", files=files)
    except ValueError:
        pytest.skip("no archive of this format can carry the name")

    read(image, maker, tmp_path / "unpacked")

    assert {path.name for path in tmp_path.iterdir()} <= {"image", "unpacked"}


def test_a_member_given_twice_is_refused(tmp_path: Path) -> None:
    maker = Maker()
    image = maker.image(tmp_path / "image")
    with tarfile.open(image, "a", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, "etc/release", FILES["etc/release"])

    with pytest.raises(ImageRefused, match="contents_wrong"):
        images.verify(image, maker.key, needs_signature=True)


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b"\0" * 10_240, b"\x1f\x8b", b"manifest.json"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image").write_bytes(content)

    with pytest.raises(ImageRefused):
        images.verify(tmp_path / "image", Maker().key, needs_signature=False)
