"""Daphne with limits: what a stranger may cost the web process before anybody has looked at the request."""
