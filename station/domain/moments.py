"""Moments on the wire: always UTC, always with Z, milliseconds."""

from datetime import UTC, datetime


def to_wire(moment: datetime) -> str:
    """Write an aware moment as OCPP dateTime, e.g. 2026-11-20T22:58:48.123Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_wire(text: str) -> datetime:
    """Read an ISO 8601 dateTime; a stamp without a zone is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
