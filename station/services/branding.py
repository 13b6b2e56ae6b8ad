"""The logos of the driver's display: one of the operator, one of the vendor, each uploaded by a person."""

from datetime import datetime
from pathlib import Path

from django.conf import settings

from station import private_files
from station.domain import png
from station.domain.commands import Origin, Status
from station.models import AuditEntry

OPERATOR, VENDOR = "operator", "vendor"
BRANDS = (OPERATOR, VENDOR)
LARGEST_LOGO_BYTES = 256 * 1024


def store_logo(brand: str, picture: bytes, *, at: datetime, actor: str) -> None:
    """Keep a logo in place of the one before; raises png.PngRefused."""
    private_files.write(_path(brand), png.cleaned(picture))
    _audit("SetLogo", brand, at=at, actor=actor)


def remove_logo(brand: str, *, at: datetime, actor: str) -> None:
    """Take a logo away; harmless where there is none."""
    path = _path(brand)
    if path.exists():
        path.unlink()
        _audit("RemoveLogo", brand, at=at, actor=actor)


def read_logo(brand: str) -> bytes | None:
    """Return the PNG file of a logo, None where there is none."""
    try:
        return private_files.read(_path(brand))
    except OSError:
        return None


def logo_version(brand: str) -> str:
    """Return what changes with the logo, and nothing where there is none."""
    try:
        return f"{_path(brand).stat().st_mtime_ns:x}"
    except OSError:
        return ""


def _path(brand: str) -> Path:
    if brand not in BRANDS:
        raise ValueError(brand)
    return settings.DATA.logo(brand)


def _audit(command: str, brand: str, *, at: datetime, actor: str) -> None:
    AuditEntry.objects.create(
        at=at,
        origin=Origin.WEB.value,
        actor=actor,
        command=command,
        data={"brand": brand},
        outcome=Status.ACCEPTED.value,
    )
