"""Long jobs with files, and the certificates the station trusts."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class FileJob(models.Model):
    """A diagnostics upload or firmware update asked for by the backend; it survives a reboot.

    `kind`: diagnostics, log, firmware, signed_firmware. `status` is the last status told to the backend; `step` is
    where the job goes on after a restart. `request` is the OCPP request without the secrets in its location,
    `encrypted_request` the whole one where it holds any.
    """

    kind = models.CharField(max_length=20)
    request_id = models.BigIntegerField(null=True, blank=True)
    request = models.JSONField(default=dict)
    encrypted_request = models.TextField(default="", blank=True)
    status = models.CharField(max_length=40, default="Idle")
    step = models.CharField(max_length=20, default="waiting")
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    file = models.CharField(max_length=255, default="", blank=True)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("file transfer")
        verbose_name_plural = _("file transfers")
        indexes: ClassVar = [models.Index(fields=["kind", "finished_at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.status}"


class TrustedCertificate(models.Model):
    """A certificate in the station's store: `kind` is backend_root, manufacturer_root or own.

    `from_unproven_link`: the backend has sent it without having proved who it is; what it signs proves nothing, either.
    """

    kind = models.CharField(max_length=20)
    pem = models.TextField()
    subject = models.CharField(max_length=300)
    issuer = models.CharField(max_length=300)
    serial_number = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    added_at = models.DateTimeField()
    key_file = models.CharField(max_length=255, default="", blank=True)
    from_unproven_link = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("certificate")
        verbose_name_plural = _("certificates")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "fingerprint"], name="one_certificate_per_kind_and_fingerprint"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"
