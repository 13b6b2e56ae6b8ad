"""What is owed to the backend and what it has told us."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from station.domain.stamps import Stamp


class OutboxStatus(models.TextChoices):
    """Where a message stands on its way to the backend."""

    PENDING = "pending", pgettext_lazy("message for the backend", "Pending")
    SENT = "sent", pgettext_lazy("message for the backend", "Sent")
    DELIVERED = "delivered", pgettext_lazy("message for the backend", "Delivered")
    SET_ASIDE = "set_aside", pgettext_lazy("message for the backend", "Set Aside")


class OutboxMessage(models.Model):
    """One fact the backend must hear, sent strictly in the order of `id`.

    `fact` is what `station.domain.facts` encodes, neutral of any protocol; it becomes a message when it is sent, with
    the number the backend has given the `session`. `at`, `boot_id` and `steady_ms` are the moment it tells of
    (`station.domain.stamps`).

    `message_id` is the OCPP-J unique id of the next attempt and `id_was_sent` whether the backend may know it already;
    an answer to one of the `former_ids` counts, too. `refusals` are the CALLERRORs that count; after
    TransactionMessageAttempts of them the message is set aside: kept for ever, and sent again after a boot or on order.
    """

    message_id = models.CharField(max_length=36, unique=True)
    kind = models.CharField(max_length=20)
    fact = models.JSONField()
    session = models.ForeignKey("station.ChargingSession", null=True, on_delete=models.PROTECT, related_name="messages")
    at = models.DateTimeField()
    status = models.CharField(max_length=10, choices=OutboxStatus, default=OutboxStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    refusals = models.PositiveIntegerField(default=0)
    id_was_sent = models.BooleanField(default=False)
    former_ids = models.TextField(default="", blank=True)
    boot_id = models.CharField(max_length=36, default="", blank=True)
    steady_ms = models.BigIntegerField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        verbose_name = _("message for the backend")
        verbose_name_plural = _("messages for the backend")
        indexes: ClassVar = [models.Index(fields=["status", "id"])]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk} ({self.status})"

    @property
    def stamp(self) -> Stamp:
        """The moment it tells of."""
        return Stamp(at=self.at, boot_id=self.boot_id, steady_ms=self.steady_ms)


class SecurityEvent(models.Model):
    """An entry of the security log; critical ones are owed to the backend (security whitepaper, A04)."""

    type = models.CharField(max_length=50)
    at = models.DateTimeField()
    tech_info = models.CharField(max_length=255, default="", blank=True)
    critical = models.BooleanField(default=False)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("security event")
        verbose_name_plural = _("security events")
        indexes: ClassVar = [models.Index(fields=["critical", "delivered_at"])]

    def __str__(self) -> str:
        return f"{self.type} at {self.at:%Y-%m-%d %H:%M:%S}"


class BackendState(models.Model):
    """The one row of what the backend link remembers over restarts (primary key 1).

    `accepted_by` holds "<url> <identity>" of the backend that has accepted this station before; transactions of
    unknown cards are refused until then (OCPP 1.6 section 4.2.1). `registration` is the last BootNotification answer,
    `boot_content` what it was given to, `heartbeat_interval_s` the interval in it.
    `trial_spent_ms` is how long a new address has been on trial, `taken_back_url` the last one that failed in it.
    `list_version` is the version of the local authorization list the backend has sent.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    accepted_by = models.CharField(max_length=700, default="", blank=True)
    registration = models.CharField(max_length=10, default="", blank=True)
    heartbeat_interval_s = models.PositiveIntegerField(null=True, blank=True)
    list_version = models.IntegerField(default=0)
    connected = models.BooleanField(default=False)
    changed_at = models.DateTimeField(null=True, blank=True)
    boot_content = models.JSONField(default=dict, blank=True)
    trial_spent_ms = models.PositiveIntegerField(default=0)
    taken_back_url = models.CharField(max_length=700, default="", blank=True)

    class Meta:
        verbose_name = _("state of the backend link")
        verbose_name_plural = _("state of the backend link")
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(id=1), name="one_backend_state")]

    def __str__(self) -> str:
        return f"backend: {self.registration or 'never registered'}"

    @classmethod
    def load(cls) -> "BackendState":
        """Read the row, making it on first use."""
        state, _ = cls.objects.get_or_create(id=1)
        return state
