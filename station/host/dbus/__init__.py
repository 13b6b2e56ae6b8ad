"""Adapters to the services of the computer: one module per service, all of them on `station.host.dbus.bus`."""
