"""Certificates of the backend and of the station (security whitepaper)."""
