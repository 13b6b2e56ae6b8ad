"""What is known of the connection to the backend: how far the station can be sure who is at the other end."""

from dataclasses import dataclass
from enum import StrEnum


class LinkKind(StrEnum):
    """A connection in one word, for pages; UNKNOWN: there is none, or its process does not say."""

    UNKNOWN = ""
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    INTERNAL = "internal"
    PLAIN = "plain"


@dataclass(frozen=True, kw_only=True)
class LinkSecurity:
    """Properties of one connection as it stands, never of what is configured.

    `root_trusted`: the certificate descends from an authority that the software brought, a person installed, or a
    proven link delivered. `internal`: the peer's address is a loopback address of this computer.
    """

    encrypted: bool = False
    certificate_checked: bool = False
    name_checked: bool = False
    root_trusted: bool = False
    internal: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether it is certain that the configured backend is at the other end, and nobody in between."""
        return self.encrypted and self.certificate_checked and self.name_checked and self.root_trusted

    @property
    def kind(self) -> LinkKind:
        """The connection in one word."""
        if self.is_proven:
            return LinkKind.VERIFIED
        if self.internal:
            return LinkKind.INTERNAL
        return LinkKind.UNVERIFIED if self.encrypted else LinkKind.PLAIN


NO_LINK = LinkSecurity()
