"""Django's entry of the whitelist application."""

from django.apps import AppConfig


class Config(AppConfig):
    """Registers the application's models and texts."""

    name = "whitelist"
    default_auto_field = "django.db.models.BigAutoField"
