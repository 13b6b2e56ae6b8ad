"""The image under test: built by `scripts/build-image --test` when what goes into it has changed since."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.image_tested import ROOT, digest, tracked

CACHE = Path(os.environ.get("STATION_IMAGE_CACHE", "/var/tmp/station-image"))  # noqa: S108 - large, as nothing in /tmp may be
OUTPUT = CACHE / "tested"
# Tests and documents are not in the image.
CONTENT = (
    *("deploy", "scripts", "requirements*.txt", "manage.py"),
    *("station", "hardware", "ocpp_client", "loadmgmt", "whitelist", "templates", "static", "locale"),
)


def test_image() -> Path:
    """Return the disk of the test image, built from the files as they are; STATION_IMAGE names another one."""
    if given := os.environ.get("STATION_IMAGE"):
        return Path(given)
    wanted, stamp = digest(tracked(CONTENT)), OUTPUT / "built.json"
    OUTPUT.mkdir(parents=True, exist_ok=True)
    if stamp.exists():
        built = json.loads(stamp.read_text())
        if built["hash"] == wanted and Path(built["image"]).exists():
            return Path(built["image"])
    stamp.unlink(missing_ok=True)
    for former in OUTPUT.glob("*.img"):
        former.unlink()
    subprocess.run([ROOT / "scripts/build-image", "--test", "--output", OUTPUT], check=True)
    (image,) = OUTPUT.glob("*-test.img")
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
    test_image()
