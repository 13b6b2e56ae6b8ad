"""The whitelist: cards kept at the station and cards the backend has sent, in one table."""
