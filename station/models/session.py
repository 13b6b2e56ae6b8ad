"""Session records: each is written before energy flows."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from station.domain import energy_curve
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.stamps import Stamp


class SessionQuerySet(models.QuerySet["ChargingSession"]):
    """Named filters over sessions."""

    def running(self) -> "SessionQuerySet":
        """Sessions that have begun and not ended."""
        return self.filter(stopped_at=None)

    def on(self, connector_id: int) -> "SessionQuerySet":
        """Sessions of one charging point."""
        return self.filter(connector_id=connector_id)


class ChargingSession(models.Model):
    """One charging session, from the committed permission to the last meter value.

    Energies are meter registers in Wh, as read, never re-based. `transaction_id` is the backend's number (it may be
    zero, negative or beyond 32 bits, OCPP 1.6 errata 3.54); None until the backend has answered. `parent_id_tag` is
    the group that may stop the session. `authorized_by` is an `authorization.Reason`. `deauthorized_at` marks a session
    whose card the backend refused afterwards; `energy_allowed_wh` is what it may still draw (MaxEnergyOnInvalidId).
    `stop_requested_at` marks a session that was stopped, for `stop_reason` by `stop_id_tag`, and is being brought to
    its end; it gets no energy any more, whatever restarts in between.
    `sampled_wh` is the register of the last periodic sample. `energy_curve` is drawn on
    the Sessions page (`station.domain.energy_curve`). `limited_by` holds, by limit source, for how many seconds it kept
    a car that wanted energy below the rated current. `signed_begin` is the row of the archive of signed meter data it
    began with; None: its meter does not sign. `owes_signed_end` marks one that was closed without what its meter signs
    at the end, until that is found and told. A moment has three columns (`station.domain.stamps`).
    """

    connector_id = models.PositiveSmallIntegerField()
    id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH)
    parent_id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH, default="", blank=True)
    authorized_by = models.CharField(max_length=40, default="", blank=True)
    origin = models.CharField(max_length=20, default="", blank=True)
    reservation_id = models.BigIntegerField(null=True, blank=True)
    transaction_id = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField()
    meter_start_wh = models.PositiveBigIntegerField()
    meter_last_wh = models.PositiveBigIntegerField()
    meter_last_at = models.DateTimeField()
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    meter_stop_wh = models.PositiveBigIntegerField(null=True, blank=True)
    stop_reason = models.CharField(max_length=20, default="", blank=True)
    stop_id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH, default="", blank=True)
    deauthorized_at = models.DateTimeField(null=True, blank=True)
    energy_allowed_wh = models.PositiveBigIntegerField(null=True, blank=True)
    sampled_wh = models.PositiveBigIntegerField(null=True, blank=True)
    meter_serial = models.CharField(max_length=64, default="", blank=True)
    signed_begin = models.BigIntegerField(null=True, blank=True)
    owes_signed_end = models.BooleanField(default=False)
    energy_curve = models.JSONField(default=list, blank=True)
    limited_by = models.JSONField(default=dict, blank=True)
    started_boot_id = models.CharField(max_length=36, default="", blank=True)
    started_steady_ms = models.BigIntegerField(null=True, blank=True)
    meter_last_boot_id = models.CharField(max_length=36, default="", blank=True)
    meter_last_steady_ms = models.BigIntegerField(null=True, blank=True)
    stopped_boot_id = models.CharField(max_length=36, default="", blank=True)
    stopped_steady_ms = models.BigIntegerField(null=True, blank=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("charging session")
        verbose_name_plural = _("charging sessions")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["connector_id"], condition=Q(stopped_at=None), name="one_running_session_per_connector"
            ),
            models.CheckConstraint(
                condition=Q(meter_stop_wh=None) | Q(meter_stop_wh__gte=F("meter_start_wh")),
                name="meter_stop_is_not_below_start",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["transaction_id"]),
            models.Index(fields=["started_at"]),
            # Asked for every second while a meter is not settled; hardly a session is in it.
            models.Index(fields=["signed_begin"], condition=Q(owes_signed_end=True), name="owing_a_signed_end"),
        ]

    def __str__(self) -> str:
        return f"session {self.pk} on connector {self.connector_id}, {self.id_tag}, {self.started_at:%Y-%m-%d %H:%M:%S}"

    @property
    def started(self) -> Stamp:
        """The moment it began."""
        return Stamp(at=self.started_at, boot_id=self.started_boot_id, steady_ms=self.started_steady_ms)

    @property
    def last_sign(self) -> Stamp:
        """The moment the newest register was noted."""
        return Stamp(at=self.meter_last_at, boot_id=self.meter_last_boot_id, steady_ms=self.meter_last_steady_ms)

    @property
    def stop_requested(self) -> Stamp | None:
        """The moment it was stopped, while it is brought to its end."""
        if self.stop_requested_at is None:
            return None
        return Stamp(at=self.stop_requested_at, boot_id=self.stopped_boot_id, steady_ms=self.stopped_steady_ms)

    def note_meter(self, *, wh: int, at: Stamp, limited_by: Mapping[str, int]) -> None:
        """Remember the newest register so that a power cut loses nothing, and what has limited the session so far."""
        self.save(update_fields=[*self._note(wh, at), *self._note_limits(limited_by)])

    def note_sample(self, *, wh: int, at: Stamp, periodic: bool, limited_by: Mapping[str, int]) -> None:
        """Remember the register of a sample, and of a periodic one that the next tells what flowed since."""
        changed = self._note_limits(limited_by)
        if wh >= self.meter_last_wh:
            changed += self._note(wh, at)
        if periodic:
            self.sampled_wh = wh
            changed.append("sampled_wh")
        self.save(update_fields=changed)

    def end(
        self,
        *,
        wh: int,
        at: Stamp,
        reason: str,
        limited_by: Mapping[str, int],
        id_tag: str = "",
        owes_signed_end: bool = False,
    ) -> None:
        """Close the session with its final register."""
        self.meter_stop_wh = wh
        self.stop_reason, self.stop_id_tag, self.owes_signed_end = reason, id_tag, owes_signed_end
        noted = [*self._put("stopped", at), *self._note(wh, at, last=True), *self._note_limits(limited_by)]
        self.save(update_fields=["meter_stop_wh", "stop_reason", "stop_id_tag", "owes_signed_end", *noted])

    def note_signed_end(self) -> None:
        """Remember that what its meter has signed at the end was told."""
        self.owes_signed_end = False
        self.save(update_fields=["owes_signed_end"])

    def correct(self, correction: Callable[[Stamp], Stamp]) -> bool:
        """Put the true moments in the place of what a wrong clock told; return whether there were any."""
        changed: list[str] = []
        for name, before in (
            ("started", self.started),
            ("meter_last", self.last_sign),
            ("stopped", self._stopped),
        ):
            after = correction(before) if before is not None else None
            if after is not None and after != before:
                changed += self._put(name, after)
        requested = self.stop_requested
        after = correction(requested) if requested is not None else None
        if after is not None and after != requested:
            self.stop_requested_at = after.at
            changed.append("stop_requested_at")
        if changed:
            self.save(update_fields=changed)
        return bool(changed)

    def _note(self, wh: int, at: Stamp, *, last: bool = False) -> list[str]:
        self.meter_last_wh = wh
        changed = ["meter_last_wh", *self._put("meter_last", at)]
        elapsed_s = at.since(self.started).total_seconds()
        curve = energy_curve.extended(self.energy_curve, elapsed_s, wh - self.meter_start_wh, last=last)
        if curve is not None:
            self.energy_curve = curve
            changed.append("energy_curve")
        return changed

    def _note_limits(self, limited_by: Mapping[str, int]) -> list[str]:
        if not limited_by or limited_by == self.limited_by:
            return []
        self.limited_by = dict(limited_by)
        return ["limited_by"]

    @property
    def _stopped(self) -> Stamp | None:
        if self.stopped_at is None:
            return None
        return Stamp(at=self.stopped_at, boot_id=self.stopped_boot_id, steady_ms=self.stopped_steady_ms)

    def _put(self, name: str, stamp: Stamp) -> list[str]:
        fields = {f"{name}_at": stamp.at, f"{name}_boot_id": stamp.boot_id, f"{name}_steady_ms": stamp.steady_ms}
        for field, value in fields.items():
            setattr(self, field, value)
        return list(fields)


class MeterSample(models.Model):
    """A meter value kept to be told with the end of its session, as `station.domain.facts` encodes its parts."""

    session = models.ForeignKey(ChargingSession, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    context = models.CharField(max_length=20)
    boot_id = models.CharField(max_length=36, default="", blank=True)
    steady_ms = models.BigIntegerField(null=True, blank=True)
    quantities = models.JSONField()
    signed = models.JSONField(null=True, blank=True)

    class Meta:
        verbose_name = _("meter value")
        verbose_name_plural = _("meter values")
        indexes: ClassVar = [models.Index(fields=["session", "at"])]

    def __str__(self) -> str:
        return f"{self.context} of session {self.session_id} at {self.at:%H:%M:%S}"

    @property
    def stamp(self) -> Stamp:
        """The moment of the value."""
        return Stamp(at=self.at, boot_id=self.boot_id, steady_ms=self.steady_ms)
