"""What the backend has said about cards before (OCPP 1.6 section 3.5.1)."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from station.domain.id_tags import MAX_ID_TAG_LENGTH


class CachedAuthorization(models.Model):
    """One entry of the authorization cache; `id_tag` is stored in lower case, as id tags are case-insensitive."""

    id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH, primary_key=True)
    parent_id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH, default="", blank=True)
    status = models.CharField(max_length=20)
    expires_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("cached authorization")
        verbose_name_plural = _("cached authorizations")

    def __str__(self) -> str:
        return f"{self.id_tag}: {self.status}"
