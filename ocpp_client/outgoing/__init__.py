"""What the station tells and asks the backend."""
