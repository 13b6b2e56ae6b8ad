"""Files of updates for tests: the image's own root file system under another version, and a small one that hangs."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from scripts.image.bundle import make_bundle, version_of
from scripts.image.maker import maker_keys
from scripts.image.run import run

BOARD = "amd64"
# A slot has 1536 MiB; what hangs needs a kernel and hardly anything else. The rest is packed to nearly nothing and
# takes its time to be written.
_BALLAST_MIB, _SMALL_KIB = 300, 512 * 1024
_INIT = "#!/bin/sh\necho station: this version hangs >/dev/console\nwhile :; do sleep 1000; done\n"

_WORKER, _TIMER = "station-worker.service", "station-trial.timer"
_GIVEN_UP_AFTER = "6min"
_MIGRATION = """\
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("station", "{last}")]
    operations = [
        migrations.RunSQL("CREATE TABLE station_later (id integer PRIMARY KEY, word text)"),
        migrations.RunSQL("INSERT INTO station_later (word) VALUES ('of the later version')"),
        migrations.RunSQL("ALTER TABLE station_filejob ADD COLUMN later text NOT NULL DEFAULT ''"),
    ]
"""


class Bundles:
    """Makes bundles of the root file system that was built last, signed with the key for development."""

    def __init__(self, cache: Path, scratch: Path) -> None:
        self.tree, self.root = cache / "root-amd64-test", cache / "root-amd64-test.ext4"
        self.scratch, self.keys = scratch, maker_keys(cache, None)
        self.version = version_of(self.root)

    def same_under(self, version: str) -> Path:
        """Return an update to the present software under another version."""
        return self._changed(version, {})

    def never_complete(self, version: str) -> Path:
        """Return an update that adds to the tables of the database and whose worker does not start.

        It is given up sooner than on a real station, so that nobody waits for twenty minutes.
        """
        worker, timer = (self.tree / "usr/lib/systemd/system" / name for name in (_WORKER, _TIMER))
        last = max(path.stem for path in (self.tree / "opt/station/station/migrations").glob("0*.py"))
        return self._changed(
            version,
            {
                f"/usr/lib/systemd/system/{_WORKER}": re.sub(
                    "^ExecStart=.*$", "ExecStart=/bin/false", worker.read_text(), flags=re.MULTILINE
                ),
                f"/usr/lib/systemd/system/{_TIMER}": timer.read_text().replace("=20min", f"={_GIVEN_UP_AFTER}"),
                "/opt/station/station/migrations/0999_later.py": _MIGRATION.format(last=last),
            },
        )

    def without_a_disk(self, version: str) -> Path:
        """Return an update whose start stops half-way, because a file system that it wants is not there."""
        table = (
            self.tree / "etc/fstab"
        ).read_text() + "/dev/vdz1 /srv ext4 defaults,x-systemd.device-timeout=10s 0 2\n"
        return self._changed(version, {"/etc/fstab": table})

    def _changed(self, version: str, files: Mapping[str, str]) -> Path:
        """Return an update to the present software with other files in it."""
        image = self.scratch / "changed.ext4"
        run("cp", "--sparse=always", "--reflink=auto", self.root, image)
        release = (self.tree / "usr/lib/os-release").read_text().replace(self.version, version)
        for number, (place, content) in enumerate({"/usr/lib/os-release": release, **files}.items()):
            source = self.scratch / f"changed.{number}"
            source.write_text(content)
            # As it will be in the image; the station's user reads it.
            source.chmod(0o644)
            if (self.tree / place.lstrip("/")).exists():
                run("debugfs", "-w", "-R", f"rm {place}", image)
            run("debugfs", "-w", "-R", f"write {source} {place}", image)
            source.unlink()
        return self._bundle(image, version, BOARD)

    def hanging(self, version: str, *, board: str = BOARD) -> Path:
        """Return an update to something whose first program sleeps for ever."""
        tree, image = self.scratch / "hanging", self.scratch / "hanging.ext4"
        shutil.rmtree(tree, ignore_errors=True)
        for name in ("etc", "var", "data", "proc", "sys", "dev", "run", "boot", "usr/bin", "sbin"):
            (tree / name).mkdir(parents=True)
        for name in ("vmlinuz", "initrd.img"):
            shutil.copy(self.tree / "boot" / name, tree / "boot" / name)
        for program in ("dash", "sleep"):
            self._copy_program(f"usr/bin/{program}", tree)
        (tree / "bin").symlink_to("usr/bin")
        (tree / "usr/bin/sh").symlink_to("dash")
        (tree / "var/ballast").write_bytes(b"station " * (_BALLAST_MIB << 17))
        (tree / "sbin/init").write_text(_INIT)
        (tree / "sbin/init").chmod(0o755)
        run("mke2fs", "-q", "-t", "ext4", "-O", "^orphan_file,^metadata_csum_seed", "-d", tree, image, f"{_SMALL_KIB}k")
        return self._bundle(image, version, board)

    def _copy_program(self, name: str, tree: Path) -> None:
        shutil.copy(self.tree / name, tree / name)
        listed = subprocess.run(
            ["chroot", self.tree, "ldd", f"/{name}"], capture_output=True, text=True, check=True
        ).stdout
        for library in (word for word in listed.split() if word.startswith("/")):
            target = tree / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy((self.tree / library.lstrip("/")).resolve(), target)

    def _bundle(self, image: Path, version: str, board: str) -> Path:
        bundle = self.scratch / f"{version}-{board}.raucb"
        make_bundle(image, bundle, version=version, board=board, keys=self.keys)
        image.unlink()
        return bundle


def tampered(bundle: Path) -> Path:
    """Return a copy in the middle of which one bit is another."""
    copy = bundle.with_suffix(".tampered")
    shutil.copy(bundle, copy)
    with copy.open("r+b") as file:
        file.seek(copy.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    return copy
