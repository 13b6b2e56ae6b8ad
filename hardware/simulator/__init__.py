"""The simulated station: physics of cars and charging points, and the true serial protocols over pseudo-terminals."""
