"""What a meter has signed of a session can be seen, downloaded and checked by others."""

import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from station.domain import ocmf
from station.domain.commands import Origin
from station.domain.ports import SignatureFormat
from station.domain.roles import Role
from station.models import ChargingSession
from station.paths import DataDirectory
from station.services import accounts, signed_archive, signed_export
from station.services.signed_archive import Entry, Kind
from tests.db.station.web.conftest import AT, PASSWORD
from tests.db.station.web.test_sessions import made
from tests.ocmf import RecordSigner

pytestmark = pytest.mark.django_db


def signed_in(stranger: Client, role: Role) -> Client:
    user = User.objects.create_user("visitor", password=PASSWORD)
    accounts.profile_of(user).note_password(at=AT, must_change=False)
    accounts.give_role(user, role, origin=Origin.LOCAL, at=AT)
    assert stranger.post("/login", {"username": "visitor", "password": PASSWORD}).status_code == 302
    return stranger


def _signed_session(meter: RecordSigner, *, first: int = 1, number: int = 1) -> ChargingSession:
    begin, end = meter.pair(first=first)
    row = signed_archive.append(_entry(meter, begin, Kind.BEGIN)).number
    signed_archive.append(_entry(meter, end, Kind.END, row))
    return made(number, transaction_id=77, signed_begin=row)


def _entry(meter: RecordSigner, raw: bytes, kind: Kind, begin: int | None = None) -> Entry:
    return Entry(
        at=AT,
        kind=kind,
        connector_id=1,
        meter_serial=meter.serial,
        public_key=meter.public_key,
        raw=raw,
        begin_number=begin,
    )


def _read(xml: bytes) -> list[tuple[str, str, bytes, str]]:
    values = ET.fromstring(xml)  # noqa: S314 - our own
    assert values.tag == "values"
    found = []
    for value in values:
        data, key = value.find("signedData"), value.find("publicKey")
        assert data is not None
        assert key is not None
        assert (data.get("format"), data.get("encoding"), key.get("encoding")) == ("OCMF", "plain", "hex")
        found.append(
            (value.get("transactionId", ""), value.get("context", ""), (data.text or "").encode(), key.text or "")
        )
    return found


def test_the_file_for_the_transparency_software_holds_the_bytes_that_were_signed(stranger: Client) -> None:
    meter = RecordSigner()
    session = _signed_session(meter)
    answer = signed_in(stranger, Role.OPERATOR).get(f"/sessions/{session.pk}/signed.xml")
    assert answer.status_code == 200
    read = _read(answer.content)
    assert [each[:2] for each in read] == [("77", "Transaction.Begin"), ("77", "Transaction.End")]
    assert [each[2] for each in read] == [each.entry.raw for each in signed_archive.everything()]
    assert ocmf.check_session([each[2] for each in read], read[0][3]) == ()
    assert {each[3] for each in read} == {meter.public_key}


def test_the_page_says_whether_everything_is_in_order(stranger: Client) -> None:
    meter = RecordSigner()
    client = signed_in(stranger, Role.OPERATOR)
    page = client.get(f"/sessions/{_signed_session(meter).pk}").content.decode()
    assert "Signed meter data" in page
    assert "in order" in page
    assert "signed.xml" in page
    begin = signed_archive.append(_entry(meter, meter.pair(first=3)[0], Kind.BEGIN)).number
    lost = made(2, signed_begin=begin)
    page = client.get(f"/sessions/{lost.pk}").content.decode()
    assert "The end of the charging session is missing." in page


def test_whoever_only_looks_does_not_get_the_whole_card(stranger: Client) -> None:
    session = _signed_session(RecordSigner())
    client = signed_in(stranger, Role.VIEWER)
    assert client.get(f"/sessions/{session.pk}/signed.xml").status_code == 403
    assert "signed.xml" not in client.get(f"/sessions/{session.pk}").content.decode()


def test_a_session_of_another_meter_has_no_such_file(stranger: Client) -> None:
    session = made()
    client = signed_in(stranger, Role.OPERATOR)
    assert client.get(f"/sessions/{session.pk}/signed.xml").status_code == 404
    assert "Signed meter data" not in client.get(f"/sessions/{session.pk}").content.decode()
    assert client.get("/sessions/4711/signed.xml").status_code == 404


def test_what_is_carried_unread_is_written_in_hexadecimal(data: DataDirectory) -> None:
    entry = Entry(
        at=AT,
        kind=Kind.BEGIN,
        connector_id=1,
        meter_serial="M1",
        public_key="AB" * 48,
        raw=bytes(range(256)),
        format=SignatureFormat.EDL,
    )
    number = signed_archive.append(entry).number
    session = made(signed_begin=number)
    xml = signed_export.transparency_file(session, signed_archive.of_session(number)).decode()
    assert bytes(range(256)).hex().upper() in xml
    assert 'format="EDL_40_P" encoding="hex"' in xml


def test_the_whole_archive_is_handed_over_byte_by_byte(data: DataDirectory, tmp_path: Path) -> None:
    meter = RecordSigner()
    _signed_session(meter)
    _signed_session(meter, first=3, number=2)
    target = tmp_path / "archive.zip"
    call_command("signedrecords", "check")
    call_command("signedrecords", "export", str(target))
    with zipfile.ZipFile(target) as file:
        kept = [each.entry.raw for each in signed_archive.everything()]
        assert [file.read(f"records/{number:08}.ocmf") for number in range(1, 5)] == kept
        assert len(file.read("index.csv").splitlines()) == 5
    with pytest.raises(CommandError, match="exists already"):
        call_command("signedrecords", "export", str(target))


def test_a_gap_is_told_on_the_command_line_until_it_is_noted(data: DataDirectory) -> None:
    meter = RecordSigner()
    _signed_session(meter)
    _signed_session(meter, first=9, number=2)
    with pytest.raises(CommandError, match="pagination_gap"):
        call_command("signedrecords", "check")
    call_command(
        "signedrecords", "note", "--meter", meter.serial, "--by", "Inspector", "--reason", "meter was repaired"
    )
    call_command("signedrecords", "check")


def test_an_archive_that_is_lost_stops_the_station_until_it_is_noted_and_no_number_is_given_twice(
    data: DataDirectory,
) -> None:
    meter = RecordSigner()
    _signed_session(meter)
    _signed_session(meter, first=3, number=2)
    data.signed_archive.unlink()
    with pytest.raises(CommandError, match="rows_missing"):
        call_command("signedrecords", "check")

    call_command("signedrecords", "note", "--meter", meter.serial, "--by", "Inspector", "--reason", "disk was replaced")

    call_command("signedrecords", "check")
    began = ChargingSession.objects.values_list("signed_begin", flat=True)
    _signed_session(meter, first=5, number=3)
    assert len(set(began)) == 3
    call_command("signedrecords", "check")
