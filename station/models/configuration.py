"""Configuration values that deviate from their default."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ConfigurationValue(models.Model):
    """One configuration key whose value is not the default; a missing row means the default of the registry."""

    key = models.CharField(max_length=120, primary_key=True)
    value = models.TextField()
    changed_at = models.DateTimeField()

    class Meta:
        verbose_name = _("changed configuration key")
        verbose_name_plural = _("changed configuration keys")

    def __str__(self) -> str:
        return self.key
