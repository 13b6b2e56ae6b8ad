"""The computer of a simulated station: what the simulator says is around it, and what the station has told it."""
