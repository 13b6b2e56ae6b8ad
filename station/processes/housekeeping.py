"""The periodic jobs of the queue `system`."""

from station import clock
from station.celery import app, every

app.conf.beat_schedule |= {
    "web certificate": {"task": "system.renew_certificate", "schedule": every(hours=12)},
    "web sessions": {"task": "system.forget_sessions", "schedule": every(hours=6)},
    "vendor access": {
        "task": "system.count_vendor_access",
        "schedule": every(minutes=1),
        "options": {"expires": 60},
    },
    "old records": {"task": "system.forget_records", "schedule": every(hours=6)},
}


@app.task(name="system.renew_certificate")  # type: ignore[untyped-decorator]
def renew_certificate() -> None:
    """Renew the self-made certificate when it is due; the web process reads it at its next start."""
    from django.conf import settings

    from station.host.addresses import outside_addresses
    from station.processes import certificate
    from station.services import configuration

    if settings.SERVES_HTTPS:
        certificate.ensure(
            settings.DATA,
            identity=configuration.get("/ocpp/chargeBoxIdentity"),
            addresses=outside_addresses(),
            at=clock.now(),
        )


@app.task(name="system.forget_sessions")  # type: ignore[untyped-decorator]
def forget_sessions() -> None:
    """Delete expired sessions of the web interface."""
    from django.contrib.sessions.models import Session

    Session.objects.filter(expire_date__lt=clock.now()).delete()


@app.task(name="system.count_vendor_access")  # type: ignore[untyped-decorator]
def count_vendor_access() -> None:
    """Close the vendor's access when its day is over, and open it again after a restart of the computer until then."""
    from station.services import vendor_access

    vendor_access.count(clock.stamp())


@app.task(name="system.forget_records")  # type: ignore[untyped-decorator]
def forget_records() -> None:
    """Keep the tables bounded: messages, and the oldest entries of the logs. Sessions stay."""
    from ocpp_client.outgoing import outbox_store
    from station.services import dimming, event_log

    outbox_store.forget_delivered(clock.now())
    outbox_store.thin_backlog(clock.now())
    event_log.forget_oldest()
    dimming.forget_old(clock.now())
