"""Downloads and uploads over FTP, FTPS, SFTP, HTTP and HTTPS, as requested by a backend."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from station import private_files
from station.services.transfers.errors import LocationRefused
from station.services.transfers.exchange import Exchange
from station.services.transfers.location import Location

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Exchange", "Location", "download", "upload"]


def _protocol(location: Location) -> "ModuleType":
    match location.scheme:
        case "ftp" | "ftps":
            from station.services.transfers import ftp

            return ftp
        case "sftp":
            from station.services.transfers import sftp

            return sftp
        case _:
            from station.services.transfers import http

            return http


def download(location: Location, target: Path, exchange: Exchange) -> None:
    """Download a file; it appears under its name only when complete. Raises `TransferFailed` or a subclass."""
    if not location.segments:
        raise LocationRefused(f"{location}: the location names no file")
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as file:
            _protocol(location).download(location, file, exchange)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        private_files.flush_directory(target.parent)
    finally:
        part.unlink(missing_ok=True)


def upload(location: Location, source: Path, name: str, exchange: Exchange) -> None:
    """Upload a file into the directory the location names. Raises `TransferFailed` or a subclass."""
    with source.open("rb") as file:
        _protocol(location).upload(location, file, name, exchange)
