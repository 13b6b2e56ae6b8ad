"""What happened and who wanted it."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class LogEntry(models.Model):
    """An event of the station: a code and its data, never a sentence (words are made when someone reads).

    `code` like `connector.fault.began`; `cleared_at` is set when a lasting condition has ended.
    """

    code = models.CharField(max_length=80)
    connector_id = models.PositiveSmallIntegerField(null=True, blank=True)
    data = models.JSONField(default=dict)
    at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("event log entry")
        verbose_name_plural = _("event log")
        indexes: ClassVar = [models.Index(fields=["at"]), models.Index(fields=["code", "cleared_at"])]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.code}"


class AuditEntry(models.Model):
    """A command somebody gave: from where, by whom and what became of it.

    Of changed settings `before` is what `data` has replaced, as it is shown, and `undo` the stored values before and
    after; secrets are in neither. `takes_back`: the earlier change that this one has taken back.
    """

    at = models.DateTimeField()
    origin = models.CharField(max_length=20)
    actor = models.CharField(max_length=150, default="", blank=True)
    command = models.CharField(max_length=40)
    data = models.JSONField(default=dict)
    outcome = models.CharField(max_length=20, default="", blank=True)
    reason = models.CharField(max_length=80, default="", blank=True)
    before = models.JSONField(default=dict, blank=True)
    undo = models.JSONField(default=dict, blank=True)
    takes_back = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        verbose_name = _("command given")
        verbose_name_plural = _("commands given")
        indexes: ClassVar = [models.Index(fields=["at"])]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.command} by {self.actor or self.origin}: {self.outcome}"
