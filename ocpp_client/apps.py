"""Django's entry of the ocpp_client application."""

from django.apps import AppConfig


class Config(AppConfig):
    """Registers the application's models and texts."""

    name = "ocpp_client"
    default_auto_field = "django.db.models.BigAutoField"
