"""docs/modbus.md: the register table of the Modbus server, as the code has it."""

from collections.abc import Iterable

import django
from django.conf import settings
from django.utils import translation

if not settings.configured:
    settings.configure(USE_I18N=False)
    django.setup()

from loadmgmt.registers import ERROR_BITS, ERROR_NUMBERS, NOT_OFFERED, Register, Unit, table

_INTRODUCTION = """\
# Modbus TCP: the interface for energy managers

Made by `python -m scripts.documents`; do not edit. The web page *Communication – Modbus* shows the same table with
its present values.

The server is off until it is switched on (page Modbus, key `/modbus/enabled`); that takes effect at once. Registers
100 to 1000 are those of charge controllers by Bender/ebee from firmware 5.22 on: an energy manager that knows such
a controller (evcc: template `bender-cc`) needs no other settings. Registers from 3000 on are our own.

## Addresses

* TCP port: `/modbus/port` for charging point 1 (502 on a station; `manage.py runstation` chooses a free one and
  shows it on the page), the next port for charging point 2. Every unit identifier means the charging point of the
  port.
* At the first port, unit identifier 2 means charging point 2, and 200 the station with its own table.
* Functions: 3 and 4 (both read the same), 6 and 16. High byte and high word first where nothing else is said.
* What is not known yet reads 0xFFFF or 0xFFFFFFFF. Gaps between registers read 0.
* Up to 8 connections; a ninth is refused unless one has been silent for a minute. A connection is closed after 5
  minutes without a request, and when a frame that has begun is not complete after 5 seconds. A connection is served
  10 requests per second over time (20 at once), all together 60 (120 at once); what is more is delayed, not refused.

| exception | means |
| --- | --- |
| 1 | another function than these; or a write while the server is read-only |
| 2 | no such register, or one that cannot be written. A read that begins at NOT_OFFERED is refused so, too: energy \
managers conclude from it that the station does not offer that |
| 3 | a value out of range, half of a value of several registers, or a malformed request |
| 4 | the setting could not be stored |
| 6 | the same setting was changed less than 10 seconds ago |

## Set-points and the watchdog

* The limit of an energy manager is an upper bound: the lowest of all limits holds (cable, rated current, mains,
  charging profile, energy manager). 3061 tells which one. A charging current below 6 A cannot be signalled, so 0 to
  5 A mean a pause; the session goes on by itself with the next limit from 6 A on, at once,
  but not twice within 60 s: a pause that follows lasts until then, because each end of one closes the contactor.
* While the server is switched on and nobody is heard, the fallback holds (131 or 3041, 6 A unless set otherwise),
  from the first moment after a start on. Any valid request about a charging point is a sign of life for it (3045:
  or only writes), one to unit 200 for all points. After the watchdog's time without one (132 or 3040, 60 s; 0: no
  watchdog) the fallback holds again. With the next sign of life the last set-point holds again, also after a
  restart of the station; where nothing was ever written, nothing is limited then.
* Settings that are written (131, 132, 3040, 3041, 3045) are kept and stand in the audit trail. Set-points (1000,
  3050, 3051) do not: they have a trail of their own, in which a change each 10 seconds is kept.
* Several energy managers: the last one that writes counts. The page shows who that was.
"""


def render() -> str:
    """Return the reference as Markdown."""
    with translation.override("en"):
        offered = ", ".join(str(address) for address in sorted(NOT_OFFERED))
        parts = [
            _INTRODUCTION.replace("NOT_OFFERED", offered),
            "## Registers of a charging point\n",
            *_table(table(Unit.POINT, 2)),
            "\n## Registers of the station (unit identifier 200 at the first port)\n",
            *_table(table(Unit.STATION, 2)),
            "\n## Errors\n",
            "Bits of registers 105 to 112 (Bender's 0 to 23, our own from 24 on), and numbers of 3070 to 3072.\n",
            "| error | bit | number |\n| --- | --- | --- |",
            *(f"| {code.value} | {ERROR_BITS.get(code, '')} | {number} |" for code, number in ERROR_NUMBERS.items()),
            "",
        ]
    return "\n".join(parts)


def _table(registers: Iterable[Register]) -> Iterable[str]:
    yield "| register | words | type | access | unit | meaning |\n| --- | --- | --- | --- | --- | --- |"
    for each in registers:
        yield (f"| {each.address} | {each.words} | {each.kind.value} | {each.access} | {each.unit} | {each.meaning} |")
