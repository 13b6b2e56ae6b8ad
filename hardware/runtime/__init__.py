"""The control loop of the station and what surrounds it: commands in, statuses and records out."""
