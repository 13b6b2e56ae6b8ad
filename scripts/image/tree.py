"""The root file system of an image: Debian, the station, and how they are set up together."""

import re
import shutil
import subprocess
from pathlib import Path

from scripts.image import checkout, emulation
from scripts.image.packages import fingerprint
from scripts.image.run import StepFailed, in_tree, run

ROOT = checkout.ROOT
DEPLOY = ROOT / "deploy"
IMAGE = DEPLOY / "image"
# What a station needs of the repository.
PRODUCT = (
    "deploy",
    "hardware",
    "loadmgmt",
    "locale",
    "manage.py",
    "ocpp_client",
    "requirements.txt",
    "static",
    "station",
    "templates",
    "whitelist",
)
# The same in every version: the files on the data partition belong to numbers.
_STATION_ID, _VENDOR_ID = 900, 1000
_UNITS = "usr/lib/systemd/system"
_UNIT_SUFFIXES = {".service", ".path", ".target", ".timer", ".socket"}
# Where Debian looks for what a package brings; /etc is for what a station changes.
_PLACES = {
    "50-station.rules": "usr/share/polkit-1/rules.d",
    # Read after /usr/share, where Debian's RAUC lets everybody in.
    "station-rauc.conf": "etc/dbus-1/system.d",
    "50-station-network.conf": "usr/lib/NetworkManager/conf.d",
    "50-station-watchdog.conf": "usr/lib/systemd/system.conf.d",
    "70-station-service.link": "usr/lib/systemd/network",
    "station.env": "etc/station",
}
# Tests of Python packages that bring private keys along; nothing imports them.
_TESTS = ("twisted/test", "twisted/conch/test")
# That of Debian 12.
_PYTHON_VERSION = "3.11.2"
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}")
# No prompt at the terminal (the vendor's access has one); the service port is no network anybody waits for.
_MASKED = ("getty@.service", "serial-getty@.service", "console-getty.service", "systemd-networkd-wait-online.service")


class PrivateKeyFound(Exception):
    """A file of the image holds a private key, which all stations would share."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} holds a private key, which every station made of this image would have. No image was made."
        )


def fetch_wheels(cache: Path, architecture: str) -> Path:
    """Fetch the station's Python packages with the desk's own settings of pip."""
    wheels = cache / f"wheels-{architecture}"
    done = subprocess.run([ROOT / "scripts/wheels", architecture, wheels], check=False)
    if done.returncode:
        raise StepFailed("The Python packages are missing, so no image was made.")
    return wheels


def root_tree(
    base: Path,
    wheels: Path,
    target: Path,
    *,
    architecture: str,
    version: str,
    board: str,
    keyring: str,
    extra: Path | None,
) -> None:
    """Make the tree of a station's root file system in `target`, which is replaced.

    It takes updates for its `board` that are signed below the root in the `keyring` (PEM) and not revoked by its list.
    """
    environment = _environment(base, wheels)
    shutil.rmtree(target, ignore_errors=True)
    # -H: a base that is shared by a symbolic link is copied, too, and never changed.
    run("cp", "-aH", "--reflink=auto", base, target)
    _install_product(target, environment)
    _install_units(target)
    checkout.copy_over(IMAGE / "root", target)
    if extra is not None:
        checkout.copy_over(extra, target)
    _set_up_updates(target, board, keyring)
    _name_release(target, version)
    _add_users(target)
    in_tree(target, "systemctl", "preset-all")
    in_tree(target, "systemctl", "mask", *_MASKED)
    with emulation.lent(target, architecture):
        _make_initrd(target)
    _clean(target)


def _environment(base: Path, wheels: Path) -> Path:
    """Return the virtual environment for /opt/station/.venv, made once for each list of packages."""
    wanted = (wheels / "requirements.txt").read_text()
    made = wheels.parent / f"venv-{fingerprint([base.name], wanted, *_TESTS)}"
    if made.is_dir():
        return made
    print("Making the virtual environment …", flush=True)
    work = wheels.parent / "venv.unfinished"
    shutil.rmtree(work, ignore_errors=True)
    run("cp", "-aH", "--reflink=auto", base, work)
    in_tree(work, "python3", "-m", "venv", "--without-pip", "/opt/station/.venv")
    # The desk's pip unpacks them, whatever processor they are for; the image has none.
    packages = next((work / "opt/station/.venv/lib").glob("python3*/site-packages"))
    run(
        *(ROOT / ".venv/bin/python", "-m", "pip", "--isolated", "install", "--quiet", "--disable-pip-version-check"),
        *("--target", packages, "--no-deps", "--no-compile", "--no-index", "--find-links", wheels, "--require-hashes"),
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", _PYTHON_VERSION),
        *("--abi", "cp311", "--abi", "abi3", "--abi", "none", *_platforms(wheels)),
        *("--requirement", wheels / "requirements.txt"),
    )
    # Commands of the desk's Python, and their manuals.
    for directory in ("bin", "share"):
        shutil.rmtree(packages / directory, ignore_errors=True)
    for tests in _TESTS:
        shutil.rmtree(packages / tests)
    (work / "opt/station/.venv").rename(made)
    shutil.rmtree(work)
    return made


def _platforms(wheels: Path) -> list[str]:
    """Return pip's options that allow what these wheels are for; scripts/wheels has chosen them."""
    tags = {tag for wheel in wheels.glob("*.whl") for tag in wheel.stem.rpartition("-")[2].split(".")}
    return [word for tag in sorted(tags - {"any"}) for word in ("--platform", tag)]


def _install_product(target: Path, environment: Path) -> None:
    home = target / "opt/station"
    home.mkdir(parents=True, exist_ok=True)
    for source in checkout.tracked(*PRODUCT):
        if not source.is_relative_to(IMAGE):
            checkout.copy(source, home / source.relative_to(ROOT))
    for catalogue in home.glob("locale/*/LC_MESSAGES/*.po"):
        run("msgfmt", "--output-file", catalogue.with_suffix(".mo"), catalogue)
    run("cp", "-aH", "--reflink=auto", environment, home / ".venv")
    run("chown", "-R", "0:0", home)
    run("chmod", "-R", "u=rwX,go=rX", home)
    # Nothing is written there later; the first start is not the one that compiles.
    emulation.compile_python(target, "/opt/station", options=("--invalidation-mode", "unchecked-hash"))


def _install_units(target: Path) -> None:
    units = [
        *(path for path in checkout.tracked("deploy") if path.parent == DEPLOY and path.suffix in _UNIT_SUFFIXES),
        # Without SSH there is no remote access; the page says that its unit is not installed.
        DEPLOY / "vendor/station-vendor-local.service",
    ]
    for unit in units:
        _install(unit, target / _UNITS)
    for name, place in _PLACES.items():
        _install(DEPLOY / name, target / place)


def _install(source: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, directory / source.name)
    (directory / source.name).chmod(0o644)


def _name_release(target: Path, version: str) -> None:
    """Say what runs here; RAUC and the page compare VERSION_ID."""
    debian = (target / "etc/debian_version").read_text().strip()
    (target / "usr/lib/os-release").write_text(
        f'PRETTY_NAME="Charging station {version} (Debian {debian})"\n'
        'NAME="Charging station"\n'
        "ID=station\nID_LIKE=debian\n"
        f'VERSION_ID="{version}"\nVERSION="{version}"\nVERSION_CODENAME=bookworm\n'
    )
    (target / "etc/hostname").write_text("station\n")
    (target / "etc/hosts").write_text("127.0.0.1 localhost station\n::1 localhost ip6-localhost ip6-loopback\n")
    (target / "etc/issue").write_text("Charging station\n\n")


def _set_up_updates(target: Path, board: str, keyring: str) -> None:
    settings = target / "etc/rauc/system.conf"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text((IMAGE / "rauc/system.conf").read_text().replace("@BOARD@", board))
    (target / "usr/share/station/maker.pem").write_text(keyring)
    for path in (settings, target / "usr/share/station/maker.pem"):
        path.chmod(0o644)


def _add_users(target: Path) -> None:
    """Add the users of the units; neither has a password."""
    in_tree(
        target,
        *("useradd", "--system", "--uid", str(_STATION_ID), "--user-group", "--home-dir", "/var/lib/station"),
        *("--no-create-home", "--shell", "/usr/sbin/nologin", "station"),
    )
    in_tree(
        target, "useradd", "--uid", str(_VENDOR_ID), "--user-group", "--create-home", "--shell", "/bin/bash", "vendor"
    )


def _make_initrd(target: Path) -> None:
    source, settings = IMAGE / "initramfs", target / "etc/initramfs-tools"
    checkout.copy_over(source, settings)
    (settings / "conf.d/station").write_text("MODULES=list\nCOMPRESS=gzip\nRESUME=none\nFSTYPE=ext4\n")
    kernel = next(target.glob("boot/vmlinuz-*")).name
    version = kernel.removeprefix("vmlinuz-")
    in_tree(target, "mkinitramfs", "-o", f"/boot/initrd.img-{version}", version)
    for old in target.glob("*.old"):
        old.unlink()
    (target / "boot/vmlinuz").symlink_to(kernel)
    (target / "boot/initrd.img").symlink_to(kernel.replace("vmlinuz", "initrd.img"))


def _clean(target: Path) -> None:
    """Take away what belongs to one computer or to the making of the image, and every right to become root."""
    for directory in (
        "var/lib/apt/lists",
        "var/cache/apt",
        "var/cache/debconf",
        "var/log",
        "tmp",
        "run",
        "usr/lib/grub/x86_64-efi",
        "usr/lib/grub/arm64-efi",
    ):
        for path in (target / directory).glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for directory in ("data", "efi", "var/lib/station", "var/log/journal", "etc/NetworkManager/system-connections"):
        (target / directory).mkdir(parents=True, exist_ok=True)
    (target / "var/lib/station").chmod(0o700)
    (target / "etc/NetworkManager/system-connections").chmod(0o700)
    # Each station makes its own at its first start, and keeps it in /data/etc.
    (target / "etc/machine-id").write_text("")
    for name in ("var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "etc/resolv.conf"):
        (target / name).unlink(missing_ok=True)
    (target / "var/lib/dbus").mkdir(exist_ok=True)
    (target / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    (target / "etc/resolv.conf").symlink_to("/run/NetworkManager/resolv.conf")
    for name in ("passwd-", "group-", "shadow-", "gshadow-"):
        (target / "etc" / name).unlink(missing_ok=True)
    for directory in ("etc", "opt", "home", "root", "usr/lib/station", "usr/share/station"):
        refuse_private_keys(target / directory)
    run("find", target, "-xdev", "-type", "f", "-perm", "/6000", "-exec", "chmod", "u-s,g-s", "{}", "+")


def refuse_private_keys(directory: Path) -> None:
    """Raise PrivateKeyFound where a file below holds one."""
    for path in directory.rglob("*"):
        # The documentation of programs may show what a key looks like.
        if path.suffix in {".py", ".pyc"} or path.is_symlink() or not path.is_file():
            continue
        if _PRIVATE_KEY.search(path.read_bytes()):
            raise PrivateKeyFound(path)
