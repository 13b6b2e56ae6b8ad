"""The disk of a station: its partitions in the order in which they lie on it."""

from collections.abc import Sequence
from dataclasses import dataclass

MIB = 1 << 20
SECTOR = 512
# From the Discoverable Partitions Specification and the UEFI specification.
_EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_LINUX_GENERIC = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_ROOT = {
    "amd64": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "arm64": "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
}
EFI_MIB = 128
SLOT_MIB = 1536
# It fills the disk after the first start.
DATA_MIB = 64


class ContentIsTooLarge(Exception):
    """A file system does not fit into its partition; the message says which."""

    def __init__(self, name: str, size: int, room: int) -> None:
        super().__init__(
            f"{name} has {size} bytes, its partition only {room}: make SLOT_MIB in scripts/image/disk.py larger"
        )


@dataclass(frozen=True)
class Partition:
    """A part of the disk; `start` and `size` in bytes."""

    name: str
    type: str
    start: int
    size: int


def partitions(architecture: str) -> tuple[Partition, ...]:
    """Return the partitions: EFI system partition, both root slots, data."""
    wanted = (
        ("EFI", _EFI_SYSTEM, EFI_MIB),
        ("rootA", _ROOT[architecture], SLOT_MIB),
        ("rootB", _ROOT[architecture], SLOT_MIB),
        ("data", _LINUX_GENERIC, DATA_MIB),
    )
    laid: list[Partition] = []
    # The table of the partitions itself takes the first MiB.
    start = MIB
    for name, kind, size_mib in wanted:
        laid.append(Partition(name, kind, start, size_mib * MIB))
        start += size_mib * MIB
    return tuple(laid)


def disk_size(laid: Sequence[Partition]) -> int:
    """Return the size of the smallest disk: the copy of the partition table takes the last MiB."""
    return max(part.start + part.size for part in laid) + MIB


def sfdisk_script(laid: Sequence[Partition]) -> str:
    """Return what sfdisk reads to write the table."""
    lines = [
        f'start={part.start // SECTOR}, size={part.size // SECTOR}, type={part.type}, name="{part.name}"'
        for part in laid
    ]
    return "\n".join(["label: gpt", "unit: sectors", "", *lines, ""])


def check_fits(part: Partition, size: int) -> None:
    """Raise ContentIsTooLarge where a content of that many bytes does not fit."""
    if size > part.size:
        raise ContentIsTooLarge(part.name, size, part.size)
