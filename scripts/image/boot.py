"""The EFI partition: boot loader, its settings, its memory of good slots, and what a test image brings along."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.image import checkout
from scripts.image.disk import Partition
from scripts.image.run import in_tree, run

_MODULES = (
    *("normal", "configfile", "part_gpt", "fat", "ext2", "linux", "loadenv", "test", "echo", "sleep", "regexp"),
    *("probe", "search", "reboot", "halt", "minicmd", "serial", "terminal"),
)
# GRUB's name of the platform, the file a firmware starts of itself, and the module that knows the serial port.
_PLATFORMS = {"amd64": ("x86_64-efi", "BOOTX64.EFI"), "arm64": ("arm64-efi", "BOOTAA64.EFI")}
# net.ifnames: eth0 as in station.env; panic: a kernel that has given up restarts; gpt: the copy of the partition table
# is used where a power cut has torn the first.
_COMMAND_LINE = "net.ifnames=0 panic=10 gpt systemd.gpt_auto=0 quiet"
# A board of arm64 tells by itself where its serial console is.
_CONSOLES = {"amd64": " console=tty0 console=ttyS0,115200", "arm64": ""}
_BLOCK_SIZE = 1024


class BootEnvironmentIsFull(Exception):
    """GRUB's block of 1024 bytes cannot hold these values."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The values of grubenv take {size} bytes of {_BLOCK_SIZE}.")


def environment_block(values: Mapping[str, str]) -> bytes:
    """Return the file grubenv: always 1024 bytes, filled up with "#"."""
    text = "# GRUB Environment Block\n" + "".join(f"{name}={value}\n" for name, value in values.items())
    block = text.encode()
    if len(block) > _BLOCK_SIZE:
        raise BootEnvironmentIsFull(len(block))
    return block.ljust(_BLOCK_SIZE, b"#")


def command_line(architecture: str) -> str:
    """Return what the kernel is told besides its root file system and slot."""
    return _COMMAND_LINE + _CONSOLES[architecture]


def efi_file_system(
    base: Path, part: Partition, architecture: str, *, settings: Path, extras: Sequence[Path], work: Path
) -> Path:
    """Make the EFI partition's file system with the boot loader of the base tree."""
    platform, program = _PLATFORMS[architecture]
    content = work / "efi"
    shutil.rmtree(content, ignore_errors=True)
    (content / "EFI/BOOT").mkdir(parents=True)
    (content / "grub").mkdir()
    made = base / "tmp" / program
    in_tree(
        base,
        *("grub-mkimage", "--format", platform, "--directory", f"/usr/lib/grub/{platform}"),
        *("--prefix", "/grub", "--output", f"/tmp/{program}", *_MODULES),
    )
    shutil.move(made, content / "EFI/BOOT" / program)
    text = settings.read_text().replace("@COMMAND_LINE@", command_line(architecture))
    (content / "grub/grub.cfg").write_text(text)
    first = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "1", "B_TRY": "0"}
    (content / "grub/grubenv").write_bytes(environment_block(first))
    (content / "grub/good").write_bytes(environment_block({"GOOD": "A"}))
    for extra in extras:
        checkout.copy_over(extra, content)

    image = work / "efi.img"
    image.unlink(missing_ok=True)
    run("mkfs.vfat", "-F", "32", "-n", "EFI", "-C", image, str(part.size // 1024))
    run("mcopy", "-i", image, "-s", *sorted(content.iterdir()), "::")
    return image
