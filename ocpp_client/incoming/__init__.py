"""What the backend asks of the station."""
