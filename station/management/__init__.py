"""The station's own commands of manage.py."""
