"""The image under test: built by `scripts/build-image --test` when what goes into it has changed since."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.image_tested import ROOT, digest, tracked

CACHE = Path(os.environ.get("STATION_IMAGE_CACHE", "/var/tmp/station-image"))  # noqa: S108 - large, as nothing in /tmp may be
OUTPUT = CACHE / "tested"
# The images that the tests take instead of building them.
GIVEN = {"amd64": "STATION_IMAGE", "arm64": "STATION_IMAGE_ARM64"}
# Tests and documents are not in the image.
CONTENT = (
    *("deploy", "scripts", "requirements*.txt", "manage.py"),
    *("station", "hardware", "ocpp_client", "loadmgmt", "whitelist", "templates", "static", "locale"),
)


def image_under_test(architecture: str) -> Path:
    """Return the disk of the test image, built from the files as they are; a variable of `GIVEN` names another one."""
    given = os.environ.get(GIVEN[architecture])
    return Path(given) if given else _built(architecture, "--test")


def image_to_ship() -> Path:
    """Return the disk of the image as it is delivered: without hardware, shell and password of the tests."""
    return _built("amd64")


def _built(architecture: str, *options: str) -> Path:
    output = OUTPUT / (architecture if options else f"{architecture}-shipped")
    wanted, stamp = digest(tracked(CONTENT)), output / "built.json"
    output.mkdir(parents=True, exist_ok=True)
    if stamp.exists():
        built = json.loads(stamp.read_text())
        if built["hash"] == wanted and Path(built["image"]).exists():
            return Path(built["image"])
    stamp.unlink(missing_ok=True)
    for former in output.glob("*.img"):
        former.unlink()
    command: list[str | Path] = [ROOT / "scripts/build-image", *options, "--arch", architecture, "--output", output]
    subprocess.run(command, check=True)
    (image,) = output.glob("*.img")
    stamp.write_text(json.dumps({"hash": wanted, "image": str(image)}))
    return image


def scratch_directory() -> Path:
    """Make a directory for disks and sockets: large, and with a path short enough for a socket's address."""
    place = CACHE / "scratch"
    place.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="", dir=place))


def clear(scratch: Path) -> None:
    """Remove a directory of scratch; the console of the machine stays, for whoever looks for a reason."""
    console = scratch / "console.log"
    if console.exists():
        shutil.copy(console, CACHE / "scratch" / "last_console.log")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    for wanted_image in sys.argv[1:] or ["amd64"]:
        if wanted_image == "shipped":
            image_to_ship()
        else:
            image_under_test(wanted_image)
