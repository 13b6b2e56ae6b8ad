"""Drivers: the ports of `station.domain.ports` put into practice for real devices."""
