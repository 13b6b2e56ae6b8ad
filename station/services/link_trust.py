"""Whether what comes over a link to the backend may change whom the station trusts."""

from station.domain.configuration.checks import TRUST_PLAIN_LINK
from station.domain.link_security import LinkSecurity
from station.services import configuration


def is_trusted(link: LinkSecurity) -> bool:
    """Return whether a link is proven, or trusted all the same because a person has said so at the station."""
    return link.is_proven or configuration.get_bool(TRUST_PLAIN_LINK)
