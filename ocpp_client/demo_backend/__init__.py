"""A small OCPP 1.6J central system on the loopback interface, so that a new station has somebody to talk to."""
