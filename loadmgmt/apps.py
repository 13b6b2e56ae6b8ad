"""Django's entry of the loadmgmt application."""

from django.apps import AppConfig


class Config(AppConfig):
    """Registers the application's models and texts."""

    name = "loadmgmt"
    default_auto_field = "django.db.models.BigAutoField"
