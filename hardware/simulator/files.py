"""What the simulated world leaves in its folder: the meters' counts and keys, and the host's side of the world.

::

    meters.json     {"1": {"energy_wh": [L1, L2, L3], "serial_number": …, "public_key": "DER as hex"}, …}
    meter-1.key     private key of the meter, PEM
    host.json       {"modem": {"signal": 80, "sim": "ready", …}, "backend_link": true, "revision": 7}

Files are replaced whole, so that a reader or a killed process never leaves half of one. They are not flushed to the
disk: that would only matter to a power cut of the computer that simulates. While the disk is full the world goes on
without them, as a real one would.
"""

import json
import logging
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.simulator.electricity import EnergyCounter

logger = logging.getLogger(__name__)

METERS_FILE, HOST_FILE = "meters.json", "host.json"


class MetersFileUnreadable(Exception):
    """The counts of the meters cannot be read; going on would let them start at zero again."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}; mend it, or delete it and the meters start at 0 Wh")


def key_path(folder: Path, number: int) -> Path:
    """Return where the private key of a charging point's meter is."""
    return folder / f"meter-{number}.key"


def replace_text(path: Path, text: str) -> None:
    """Replace the content of a file atomically."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


@dataclass(kw_only=True)
class MeterRecord:
    """One meter as the file knows it; `energy` is the living counter of the world."""

    energy: EnergyCounter
    serial_number: int
    public_key: bytes


class MetersFile:
    """Keeps what the meters have counted; what was once told over a line is in the file before."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / METERS_FILE
        self._folder = folder
        self._meters: dict[int, MeterRecord] = {}
        self._written: list[tuple[float, ...]] = []
        self._in_trouble = False

    def open(self, numbers: Iterable[int]) -> dict[int, MeterRecord]:
        """Read the meters of these charging points, making what is missing; MetersFileUnreadable."""
        stored = self._read()
        for number, entry in stored.items():
            self._meters[number] = entry
        for number in numbers:
            if number not in self._meters:
                self._meters[number] = MeterRecord(
                    energy=EnergyCounter(),
                    serial_number=10_000_000 + secrets.randbelow(80_000_000),
                    public_key=_make_key(key_path(self._folder, number)),
                )
        self.keep()
        return dict(self._meters)

    def keep(self) -> None:
        """Write the counts if they have changed since they were written; what the disk does not take waits."""
        if self._counts() == self._written:
            return
        try:
            self._write()
        except OSError as error:
            if not self._in_trouble:
                logger.warning("the meters count on without %s: %s", self._path, error)
            self._in_trouble = True
        else:
            self._in_trouble = False

    def _counts(self) -> list[tuple[float, ...]]:
        return [meter.energy.phases_wh for meter in self._meters.values()]

    def _read(self) -> dict[int, MeterRecord]:
        try:
            content: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                int(number): MeterRecord(
                    energy=EnergyCounter(phases_wh=_three_counts(entry["energy_wh"])),
                    serial_number=int(entry["serial_number"]),
                    public_key=bytes.fromhex(entry["public_key"]),
                )
                for number, entry in content.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MetersFileUnreadable(self._path, repr(error)) from error

    def _write(self) -> None:
        content = {
            str(number): {
                "energy_wh": list(meter.energy.phases_wh),
                "serial_number": meter.serial_number,
                "public_key": meter.public_key.hex(),
            }
            for number, meter in self._meters.items()
        }
        replace_text(self._path, json.dumps(content))
        self._written = self._counts()


class HostFile:
    """Tells the station's host services about modem and network."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / HOST_FILE
        self._revision = 0
        self._told: tuple[dict[str, Any], bool] | None = None

    def open(self) -> None:
        """Go on counting revisions where the last process ended, so that no reader takes new for old."""
        try:
            self._revision = int(json.loads(self._path.read_text(encoding="utf-8"))["revision"])
        except (OSError, ValueError, KeyError, TypeError):
            self._revision = 0

    def tell(self, *, modem: dict[str, Any], backend_link: bool) -> None:
        """Write the state unless it is what was written last."""
        if self._told == (modem, backend_link):
            return
        self._revision += 1
        content = {"modem": modem, "backend_link": backend_link, "revision": self._revision}
        try:
            replace_text(self._path, json.dumps(content))
        except OSError as error:
            self._told = None
            logger.warning("the host's side of the world is not told: %s", error)
        else:
            self._told = (modem, backend_link)


def _three_counts(values: list[float]) -> tuple[float, ...]:
    first, second, third = (float(value) for value in values)
    if min(first, second, third) < 0:
        raise ValueError("a count below zero")
    return first, second, third


def _make_key(path: Path) -> bytes:
    # Imported here because it takes longer than everything else at start, and is needed only in a fresh directory.
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
