"""Who belongs to a cluster, kept over restarts of its master."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from loadmgmt.cluster import members, pairing
from loadmgmt.cluster.failures import Reason
from loadmgmt.cluster.registration import MAX_STATIONS
from station.domain.commands import Origin
from station.domain.units import MilliAmpere
from station.models import AuditEntry
from station.services import configuration
from tests.unit.loadmgmt.cluster.test_registration import REGISTRATION, WHO

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 12, tzinfo=UTC)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data")]


def test_a_station_stays_a_member_with_what_it_says_of_itself_now() -> None:
    assert members.adopt(REGISTRATION, own="WB-0001", at=AT)
    changed = replace(WHO, fallback=MilliAmpere(0), name="Tiefgarage 3")
    assert not members.adopt(replace(REGISTRATION, who=changed), own="WB-0001", at=LATER)

    assert members.known() == (changed,)
    assert members.password_hashes() == {WHO.station: REGISTRATION.password_hash}
    assert [row.registered_at for row in members.listing()] == [AT]


def test_another_station_with_the_same_serial_number_is_refused_until_the_first_is_forgotten() -> None:
    members.adopt(REGISTRATION, own="WB-0001", at=AT)
    other = replace(REGISTRATION, password_hash="cd" * 32)
    with pytest.raises(members.MemberRefused) as refused:
        members.adopt(other, own="WB-0001", at=AT)
    assert refused.value.reason is Reason.ID_TAKEN

    members.forget(WHO.station, actor="admin", origin=Origin.WEB, at=LATER)
    assert members.adopt(other, own="WB-0001", at=LATER)
    entry = AuditEntry.objects.get(command=members.FORGET)
    assert (entry.actor, entry.origin, entry.data) == ("admin", "web", {"station": WHO.station})


def test_a_station_whose_fallback_no_longer_fits_beside_the_others_is_refused() -> None:
    lead = {"/cluster/role": "master", "/cluster/limitA": "24", "/cluster/enabled": "true"}
    configuration.change(lead, origin=Origin.LOCAL, actor="test", at=AT)
    fitting = replace(WHO, points=(1, 2), fallback=MilliAmpere(6_000))
    assert members.adopt(replace(REGISTRATION, who=fitting), own="WB-0001", at=AT)

    for too_much in (replace(fitting, fallback=MilliAmpere(7_000)), replace(fitting, station="S2", points=(1,))):
        with pytest.raises(members.MemberRefused) as refused:
            members.adopt(replace(REGISTRATION, who=too_much), own="WB-0001", at=LATER)
        assert refused.value.reason is Reason.FALLBACKS

    assert members.known() == (fitting,)


def test_nobody_takes_the_masters_own_serial_number() -> None:
    with pytest.raises(members.MemberRefused) as refused:
        members.adopt(REGISTRATION, own=WHO.station, at=AT)

    assert refused.value.reason is Reason.ID_TAKEN
    assert members.known() == ()


def test_a_master_leads_a_hundred_stations_with_its_own() -> None:
    for number in range(MAX_STATIONS - 1):
        members.adopt(replace(REGISTRATION, who=replace(WHO, station=f"S{number}")), own="WB-0001", at=AT)

    with pytest.raises(members.MemberRefused) as refused:
        members.adopt(REGISTRATION, own="WB-0001", at=AT)
    assert refused.value.reason is Reason.FULL


def test_who_is_no_member_cannot_be_forgotten() -> None:
    with pytest.raises(members.MemberUnknown):
        members.forget("WB-0404", actor="admin", origin=Origin.WEB, at=AT)


def test_a_master_makes_its_pairing_code_once_and_nobody_reads_it_from_the_trail() -> None:
    made = pairing.ensure(AT)

    assert pairing.code() == made == pairing.ensure(LATER)
    entry = AuditEntry.objects.get(command=configuration.COMMAND)
    assert entry.data == {pairing.KEY: "***"}
    assert entry.origin == Origin.LOCAL.value
    (listed,) = configuration.listing(Origin.BACKEND, [pairing.KEY]).known
    assert listed.value is None

    assert pairing.new_code("admin", Origin.WEB) == pairing.code() != made
