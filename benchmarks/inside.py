"""Works in a station's data directory with its own services: `python -m benchmarks.inside DIR VERB [N]`."""

import os
import sys
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

ROWS = 1000
_IMPORTS = 5
SESSIONS_A_DAY, SESSION_MINUTES, WH_A_MINUTE = 8, 120, 180


def backlog(samples: int) -> None:
    """Leave a whole session in the outbox, with a sample a second, as a long outage does."""
    from django.db import transaction

    from station.domain.connector import Permission
    from station.domain.meter_values import Measurand, MeterValue, Quantity, ReadingContext
    from station.domain.stamps import Stamp
    from station.domain.units import WattHour
    from station.services import sessions

    begin = datetime.now(UTC) - timedelta(seconds=samples + 2)
    with transaction.atomic():
        row = sessions.begin_session(
            connector_id=1,
            permission=Permission(id_tag="04A2B3C4", reason="local_list", origin="local"),
            meter=WattHour(0),
            at=Stamp(at=begin),
            begin=None,
        )
        for second in range(1, samples + 1):
            at = begin + timedelta(seconds=second)
            value = MeterValue(
                at=at,
                context=ReadingContext.SAMPLE_PERIODIC,
                quantities=(Quantity(measurand=Measurand.ENERGY, value=second * 6),),
            )
            sessions.record_meter_values(
                connector_id=1,
                session_id=row.pk,
                context=ReadingContext.SAMPLE_PERIODIC,
                at=Stamp(at=at),
                register=second * 6,
                told=value,
                kept=None,
            )
        stopped_at = begin + timedelta(seconds=samples + 1)
        sessions.end_session(row.pk, reason="Local", meter=WattHour(samples * 6), at=Stamp(at=stopped_at))


def month(days: int) -> None:
    """Leave the sessions of so many days at both points in the outbox: eight a day of two hours, a sample a minute."""
    from django.db import transaction

    from station.domain.connector import Permission
    from station.domain.meter_values import Measurand, MeterValue, Quantity, ReadingContext
    from station.domain.stamps import Stamp
    from station.domain.units import WattHour
    from station.services import sessions

    begin = datetime.now(UTC) - timedelta(days=days)
    registers = {1: 0, 2: 0}
    for each in range(days * SESSIONS_A_DAY):
        started = begin + timedelta(hours=24 / SESSIONS_A_DAY * each)
        with transaction.atomic():
            rows = {
                number: sessions.begin_session(
                    connector_id=number,
                    permission=Permission(id_tag=f"04A2B3C{number}", reason="local_list", origin="local"),
                    meter=WattHour(registers[number]),
                    at=Stamp(at=started),
                    begin=None,
                )
                for number in (1, 2)
            }
            for minute in range(1, SESSION_MINUTES):
                at = started + timedelta(minutes=minute)
                for number, row in rows.items():
                    registers[number] += WH_A_MINUTE
                    energy = Quantity(measurand=Measurand.ENERGY, value=registers[number])
                    value = MeterValue(at=at, context=ReadingContext.SAMPLE_PERIODIC, quantities=(energy,))
                    sessions.record_meter_values(
                        connector_id=number,
                        session_id=row.pk,
                        context=ReadingContext.SAMPLE_PERIODIC,
                        at=Stamp(at=at),
                        register=registers[number],
                        told=value,
                        kept=None,
                    )
            for number, row in rows.items():
                at = started + timedelta(minutes=SESSION_MINUTES)
                sessions.end_session(row.pk, reason="Local", meter=WattHour(registers[number]), at=Stamp(at=at))


def long_session(samples: int) -> None:
    """End a session with so many samples kept for its end; prints the most memory this and its message took, in MiB."""
    from ocpp_client.outgoing import outbox_store
    from ocpp_client.outgoing.rendering import render
    from station.domain import facts
    from station.domain.connector import Permission
    from station.domain.meter_values import Measurand, MeterValue, Quantity, ReadingContext
    from station.domain.stamps import Stamp
    from station.domain.units import WattHour
    from station.models import MeterSample, OutboxMessage
    from station.services import sessions

    at = datetime.now(UTC) - timedelta(seconds=samples)
    value = MeterValue(
        at=at,
        context=ReadingContext.SAMPLE_PERIODIC,
        quantities=tuple(Quantity(measurand=each, value=1) for each in (Measurand.ENERGY, Measurand.POWER)),
    )
    permission = Permission(id_tag="04A2B3C4", reason="local_list", origin="local")
    row = sessions.begin_session(connector_id=1, permission=permission, meter=WattHour(0), at=Stamp(at=at), begin=value)
    quantities = facts.encode_quantities(value.quantities)
    for first in range(0, samples, ROWS):
        MeterSample.objects.bulk_create(
            MeterSample(
                session=row, at=at + timedelta(seconds=first + each), context=value.context, quantities=quantities
            )
            for each in range(ROWS)
        )
    OutboxMessage.objects.all().delete()
    tracemalloc.start()
    sessions.end_session(row.pk, reason="Local", meter=WattHour(1), at=Stamp(at=datetime.now(UTC)), end=value)
    claimed = outbox_store.claim(datetime.now(UTC), None)
    if not isinstance(claimed, outbox_store.Claimed):
        raise TypeError(claimed)
    render(claimed.fact, transaction_id=1)
    print(tracemalloc.get_traced_memory()[1] / 2**20)


def rows(number: int) -> None:
    """Fill the tables the web interface lists."""
    from django.db import transaction

    from station.models import ChargingSession
    from station.services import event_log

    now = datetime.now(UTC)
    with transaction.atomic():
        for turn in range(number):
            at = now - timedelta(hours=number - turn)
            event_log.log("station.started", at=at)
            ChargingSession.objects.create(
                connector_id=1 + turn % 2,
                id_tag=f"CARD{turn:06}",
                transaction_id=turn,
                started_at=at,
                meter_start_wh=turn * 1000,
                meter_last_wh=turn * 1000 + 900,
                meter_stop_wh=turn * 1000 + 900,
                meter_last_at=at,
                stopped_at=at + timedelta(minutes=40),
                stop_reason="Local",
            )


def sign_in() -> None:
    """Begin a session of the web interface; prints its cookie and the addresses of all pages and lists."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.urls import reverse

    from station.services import accounts
    from station.web import menu
    from station.web.admin import site

    user = User.objects.get(username=accounts.ADMIN)
    now = datetime.now(UTC)
    accounts.profile_of(user).note_password(at=now, must_change=False)
    session: Any = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session["started_at_s"] = session["seen_at_s"] = now.timestamp()
    session.create()
    print(f"{settings.SESSION_COOKIE_NAME}={session.session_key}")
    for section in menu.SECTIONS:
        for page in section.pages:
            print(reverse(page.url_name))
    for model in site._registry:  # noqa: SLF001 - there is no public way to list them
        named = model._meta  # noqa: SLF001 - Django's documented way to the names of a model
        print(reverse(f"admin:{named.app_label}_{named.model_name}_changelist"))


def import_cards(number: int) -> None:
    """Replace the list by a file of so many lines, several times over; prints how long each took."""
    from whitelist.csv_file import ImportMode, import_file

    for turn in range(_IMPORTS):
        lines = "".join(f"{turn:02x}{index:012x},fleet,2030-01-01T00:00:00,accepted\n" for index in range(number))
        began_s = time.monotonic()
        import_file(
            f"UID,GID,Expiry,Authorization\n{lines}".encode(),
            mode=ImportMode.REPLACE,
            at=datetime.now(UTC),
            actor="benchmark",
        )
        print(time.monotonic() - began_s)


def hour(samples: int) -> None:
    """Fill the curves of the load management with the present: so many samples of what is drawn now."""
    from dataclasses import replace

    from station.domain import snapshot
    from station.domain.power_history import SAMPLE_EVERY_S, sample_of
    from station.services import live, power_history, redis

    present = live.hardware()
    if present is None:
        raise SystemExit("the control loop is not heard")
    newest = sample_of(present)
    spans = [timedelta(seconds=SAMPLE_EVERY_S * age) for age in range(samples, 0, -1)]
    client = redis.client()
    client.delete(power_history.KEY)
    client.rpush(power_history.KEY, *(snapshot.encode(replace(newest, at=newest.at - span)) for span in spans))


def main() -> None:
    """Do what the command line says."""
    directory, verb, *number = sys.argv[1:]
    os.environ["STATION_DATA_DIR"] = directory
    os.environ["DJANGO_SETTINGS_MODULE"] = "station.settings"
    import django

    django.setup()
    if verb == "backlog":
        backlog(int(number[0]))
    elif verb == "month":
        month(int(number[0]))
    elif verb == "long-session":
        long_session(int(number[0]))
    elif verb == "rows":
        rows(int(number[0]))
    elif verb == "hour":
        hour(int(number[0]))
    elif verb == "import":
        import_cards(int(number[0]))
    else:
        sign_in()


if __name__ == "__main__":
    main()
