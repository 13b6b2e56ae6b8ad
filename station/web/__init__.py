"""The web interface: pages, forms, the live socket."""
