"""The whitelist: one table for cards kept at the station and cards the backend has sent."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from station.domain.id_tags import MAX_ID_TAG_LENGTH


class Source(models.TextChoices):
    """Who maintains an entry; SendLocalList touches only the backend's entries and those it names."""

    LOCAL = "local", _("station")
    BACKEND = "backend", _("backend")


class CardQuerySet(models.QuerySet["Card"]):
    """Named filters over cards."""

    def present(self) -> "CardQuerySet":
        """Entries that count: not deleted."""
        return self.filter(deleted_at=None)

    def deleted(self) -> "CardQuerySet":
        """Entries that can be restored until the station reboots."""
        return self.exclude(deleted_at=None)


class Card(models.Model):
    """One whitelist entry. `uid` is kept as written, `key` is its lower-case form: id tags are case-insensitive.

    `authorization` is an OCPP AuthorizationStatus (the page offers Accepted and Blocked). `group` is the parentIdTag,
    called GID on the page.
    """

    uid = models.CharField(max_length=MAX_ID_TAG_LENGTH)
    key = models.CharField(max_length=MAX_ID_TAG_LENGTH, unique=True)
    group = models.CharField(max_length=MAX_ID_TAG_LENGTH, default="", blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    authorization = models.CharField(max_length=20, default="Accepted")
    source = models.CharField(max_length=10, choices=Source, default=Source.LOCAL)
    changed_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = CardQuerySet.as_manager()

    class Meta:
        verbose_name = _("card")
        verbose_name_plural = _("cards")
        indexes: ClassVar = [models.Index(fields=["deleted_at"])]

    def __str__(self) -> str:
        return f"{self.uid} ({self.authorization}, {self.source})"


class MasterKeyNote(models.Model):
    """The one row that remembers which master key was entered, so that a deleted one stays away (primary key 1)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    key = models.CharField(max_length=MAX_ID_TAG_LENGTH)
    entered_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(id=1), name="one_master_key_note")]

    def __str__(self) -> str:
        return f"master key entered on {self.entered_at:%Y-%m-%d}"
