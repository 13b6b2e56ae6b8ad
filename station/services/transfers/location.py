"""A location given by the backend: read strictly, and never shown with its password."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

from station.services.transfers.errors import LocationRefused, ProtocolUnknown

PORTS = {"ftp": 21, "ftps": 21, "sftp": 22, "http": 80, "https": 443}
# Whitepaper: remoteLocation and firmware location are string[512]; OCPP 1.6 anyURI has no limit of its own.
LONGEST = 2_000
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where a file is downloaded from or uploaded to. `segments` are the decoded parts of the path."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    segments: tuple[str, ...] = ()
    is_directory: bool = False
    target: str = field(default="/", repr=False)

    @classmethod
    def read(cls, text: str) -> "Location":
        """Read a URL; raises `LocationRefused` or `ProtocolUnknown`."""
        if len(text) > LONGEST or _CONTROL.search(text):
            raise LocationRefused("the location is too long or holds blanks")
        try:
            parts = urlsplit(text)
            port, host = parts.port, parts.hostname
        except ValueError as error:
            raise LocationRefused("the location is no URL") from error
        if not parts.scheme:
            raise LocationRefused("the location is no URL")
        if parts.scheme.lower() not in PORTS:
            raise ProtocolUnknown(f"the station does not speak {parts.scheme[:20]}")
        if not host or port == 0:
            raise LocationRefused("the location names no host")
        segments = tuple(unquote(part) for part in parts.path.split("/") if part)
        # A decoded line end would be a second command on an FTP connection; a decoded .. leads elsewhere.
        decoded = (*segments, unquote(parts.username or ""), unquote(parts.password or ""))
        if any(_CONTROL.search(one.replace(" ", "")) for one in decoded) or {".", ".."} & set(segments):
            raise LocationRefused("the location holds control characters or dots")
        return cls(
            scheme=parts.scheme.lower(),
            host=host,
            port=port or PORTS[parts.scheme.lower()],
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            segments=segments,
            is_directory=not parts.path or parts.path.endswith("/"),
            target=urlunsplit(("", "", parts.path or "/", parts.query, "")),
        )

    @property
    def has_query(self) -> bool:
        """Whether the URL is complete as it stands, like a signed one."""
        return "?" in self.target

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"
