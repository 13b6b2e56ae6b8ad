"""Django's entry of the station application."""

from django.apps import AppConfig


class StationConfig(AppConfig):
    """Models, services and pages shared by every part of the product."""

    name = "station"
    default_auto_field = "django.db.models.BigAutoField"
