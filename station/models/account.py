"""What the station knows about people who sign in, beyond Django's user row."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from station.domain.stamps import Stamp
from station.domain.vendor_access import LONGEST, Door, Opening


class UserProfile(models.Model):
    """Settings of one user. `password_changed_at` None: the password is still the one of the factory.

    `must_change_password` locks every page but the user profile. `expert` shows the advanced settings.
    `kept_factory_password_at`: when the user decided to keep the sticker's password, so that no page suggests a change.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile")
    expert = models.BooleanField(default=False)
    must_change_password = models.BooleanField(default=False)
    password_changed_at = models.DateTimeField(null=True, blank=True)
    kept_factory_password_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("user settings")
        verbose_name_plural = _("user settings")

    def __str__(self) -> str:
        return f"profile of {self.user}"

    def note_password(self, *, at: datetime | None, must_change: bool) -> None:
        """Remember when a person last set the password (None: the factory's is back)."""
        self.password_changed_at, self.must_change_password = at, must_change
        self.kept_factory_password_at = None
        self.save(update_fields=["password_changed_at", "must_change_password", "kept_factory_password_at"])

    def keep_factory_password(self, *, at: datetime) -> None:
        """Remember that the user wants to keep the sticker's password."""
        self.kept_factory_password_at = at
        self.save(update_fields=["kept_factory_password_at"])

    def show_expert(self, expert: bool) -> None:  # noqa: FBT001 - the setting itself
        """Turn the advanced settings on or off."""
        self.expert = expert
        self.save(update_fields=["expert"])


class SignInDelay(models.Model):
    """Failed attempts to sign in, per account and address; they survive a restart and are forgotten after a day.

    The row with an empty account and address counts all remote attempts within the current minute.
    """

    account = models.CharField(max_length=150)
    address = models.CharField(max_length=45)
    failures = models.PositiveIntegerField(default=0)
    failed_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("failed log-in")
        verbose_name_plural = _("failed log-ins")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "address"], name="one_delay_per_account_and_address"),
        ]
        indexes: ClassVar = [models.Index(fields=["failed_at"])]

    def __str__(self) -> str:
        return f"{self.failures} failures of {self.account or 'all'} from {self.address or 'afar'}"


class PasswordRecovery(models.Model):
    """Somebody at the service port has asked for the factory's password; at most one row.

    `asked_after` is the steady time since that boot. `opened_in_boot` names the start that has opened the window.
    """

    requested_at = models.DateTimeField()
    boot_id = models.CharField(max_length=36)
    asked_after = models.DurationField()
    opened_in_boot = models.CharField(max_length=36, default="", blank=True)

    class Meta:
        verbose_name = _("password recovery")
        verbose_name_plural = _("password recoveries")

    def __str__(self) -> str:
        return f"recovery asked for at {self.requested_at:%Y-%m-%d %H:%M:%S}"

    def open_in(self, boot_id: str) -> None:
        """Open the window in this start of the computer."""
        self.opened_in_boot = boot_id
        self.save(update_fields=["opened_in_boot"])


class VendorAccess(models.Model):
    """The time of an access of the vendor that is open; without a row it is closed. `used_ms` as `counted_at` says."""

    door = models.CharField(max_length=10, unique=True, choices=[(door.value, door.value) for door in Door])
    opened_at = models.DateTimeField()
    used_ms = models.PositiveBigIntegerField(default=0)
    counted_at = models.DateTimeField()
    boot_id = models.CharField(max_length=36, default="", blank=True)
    steady_ms = models.BigIntegerField(null=True, blank=True)

    class Meta:
        verbose_name = _("vendor access")
        verbose_name_plural = _("vendor access")

    def __str__(self) -> str:
        return f"{self.door} open since {self.opened_at:%Y-%m-%d %H:%M:%S}"

    @property
    def opening(self) -> Opening:
        """What the rule counts."""
        counted = Stamp(at=self.counted_at, boot_id=self.boot_id, steady_ms=self.steady_ms)
        return Opening(used=timedelta(milliseconds=self.used_ms), counted=counted)

    @classmethod
    def begin(cls, door: Door, now: Stamp) -> None:
        """Begin its time."""
        counted = {"counted_at": now.at, "boot_id": now.boot_id, "steady_ms": now.steady_ms}
        cls.objects.update_or_create(door=door, defaults={"opened_at": now.at, "used_ms": 0, **counted})

    @classmethod
    def count(cls, door: Door, now: Stamp) -> timedelta:
        """Count what has passed, beginning where nothing was counted yet; return what is left."""
        row = cls.objects.filter(door=door).first()
        if row is None:
            cls.begin(door, now)
            return LONGEST
        opening = row.opening.count(now)
        row.used_ms = opening.used // timedelta(milliseconds=1)
        row.counted_at, row.boot_id, row.steady_ms = now.at, now.boot_id, now.steady_ms
        row.save(update_fields=["used_ms", "counted_at", "boot_id", "steady_ms"])
        return opening.left(now)
