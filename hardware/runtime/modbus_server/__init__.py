"""The Modbus TCP server for energy managers (load management level 3)."""
