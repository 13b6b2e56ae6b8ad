"""Identifiers of cards and of their groups."""

# OCPP 1.6 section 7.28 (idToken): CiString20Type. A longer card number is refused, not cut.
MAX_ID_TAG_LENGTH = 20
