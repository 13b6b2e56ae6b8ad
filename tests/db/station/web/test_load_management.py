"""Communication – Load management: what an installer sets for a cluster, and what everybody sees of it."""

import json
import re
import socket
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from loadmgmt.cluster import pairing
from loadmgmt.models import ClusterMember
from station import clock
from station.domain.cluster.link_lost import LATEST_S, Step
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.domain.power_history import MOST_SAMPLES, PowerSample, sample_of
from station.domain.snapshot import (
    ClusterFoundSnapshot,
    ClusterPointSnapshot,
    ClusterRefusalSnapshot,
    ClusterSnapshot,
    ClusterStationSnapshot,
)
from station.domain.units import MilliAmpere
from station.host import redis_server
from station.models import AuditEntry
from station.services import configuration, power_history
from tests.db.station.web.conftest import Parts, charging, point
from tests.db.station.web.test_settings import enter, page

PAGE = "/communication/load-management"
OWN, OTHER = "100002440", "100002441"


def member(station: str, *points: ClusterPointSnapshot, **changes: Any) -> ClusterStationSnapshot:
    made = ClusterStationSnapshot(
        id=station,
        name=f"TE{station}",
        role="slave",
        points=points or (ClusterPointSnapshot(number=1, state="idle"),),
        rating_ma=MilliAmpere(32_000),
        fallback_ma=MilliAmpere(6_000),
        reserved_ma=MilliAmpere(6_000),
        link_age_s=1,
    )
    return replace(made, **changes)


def point_of(number: int, state: str, **changes: Any) -> ClusterPointSnapshot:
    return ClusterPointSnapshot(number=number, state=state, active=state != "idle", **changes)


def leading(**changes: Any) -> ClusterSnapshot:
    made = ClusterSnapshot(
        enabled=True,
        role="master",
        state="leading",
        own_id=OWN,
        fallback_ma=MilliAmpere(6_000),
        master_id=OWN,
        limit_ma=MilliAmpere(63_000),
        reserved_ma=(MilliAmpere(48_000), MilliAmpere(48_000), MilliAmpere(44_000)),
        stations=(
            member(
                OWN,
                point_of(1, "charging", limit_ma=32_000, granted_ma=31_500, held_ma=31_500, flowing_ma=29_800),
                role="master",
                link_age_s=0,
            ),
            member(OTHER, point_of(1, "waiting", limit_ma=32_000, granted_ma=0, waiting=True)),
        ),
        found=(
            ClusterFoundSnapshot(
                id=OTHER, name="TE" + OTHER, role="slave", points=1, web="https://192.168.30.51", same_cluster=True
            ),
            ClusterFoundSnapshot(id="7", name="TE7", role="slave", points=2, web="https://192.168.30.52"),
        ),
    )
    return replace(made, **changes)


def show(parts: Parts, cluster: ClusterSnapshot) -> None:
    assert parts.hardware is not None
    parts.hardware = replace(parts.hardware, cluster=cluster)


def enable(**items: str) -> None:
    wanted = {"/cluster/role": "master", "/cluster/limitA": "63", "/cluster/enabled": "true", **items}
    configuration.change(wanted, origin=Origin.LOCAL, actor="test", at=clock.now())


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> list[PowerSample]:
    """What Redis would hold."""
    found: list[PowerSample] = []
    monkeypatch.setattr(power_history, "samples", lambda: tuple(found))
    return found


def test_the_master_sees_every_station_with_a_crown_at_itself_and_a_link_to_the_others(
    browser: Client, parts: Parts
) -> None:
    show(parts, leading())
    enable()

    said = page(browser, PAGE)

    assert "This station is the master" in said
    own = said.partition(f'data-station="{OWN}"')[2].partition("</tr>")[0]
    other = said.partition(f'data-station="{OTHER}"')[2].partition("</tr>")[0]
    assert 'aria-label="Master"' in own
    assert "31.5 A" in own
    assert "29.8 A" in own
    assert 'aria-label="Master"' not in other
    assert 'href="https://192.168.30.51"' in other
    assert "waits for capacity" in other
    assert "heard 1 s ago" in other
    assert f"TE{OTHER}, charging point 1" in said.partition('data-fact="waiting"')[2].partition("</p>")[0]


def test_the_sum_stands_against_the_limit_on_every_phase(browser: Client, parts: Parts) -> None:
    show(parts, leading())
    enable()

    said = page(browser, PAGE, "de")

    assert '<meter min="0" max="63000" value="48000"' in said
    assert "48 A von 63 A" in said.partition('data-phase="L2"')[2].partition("</li>")[0]
    assert "44 A von 63 A" in said.partition('data-phase="L3"')[2].partition("</li>")[0]


def test_a_lost_station_is_shown_as_lost_and_says_nothing_of_its_points(browser: Client, parts: Parts) -> None:
    lost = member(OTHER, point_of(1, "charging", granted_ma=16_000, flowing_ma=15_000), lost=True, link_age_s=42)
    show(parts, leading(stations=(lost,)))
    enable()

    said = page(browser, PAGE).partition(f'data-station="{OTHER}"')[2].partition("</tr>")[0]

    assert "lost: not heard for 42 s" in said
    assert "15 A" not in said


def test_a_station_of_the_network_that_does_not_belong_to_the_cluster_stands_apart(
    browser: Client, parts: Parts
) -> None:
    show(parts, leading())
    enable()

    said = page(browser, PAGE)

    assert 'data-found="7"' in said
    assert f'data-found="{OTHER}"' not in said


def test_after_its_start_the_master_says_why_the_sum_may_be_above_the_limit(browser: Client, parts: Parts) -> None:
    unheard = member(OTHER, point_of(1, "idle"), lost=True, link_age_s=None)
    show(parts, leading(stations=(unheard,)))
    enable()

    said = page(browser, PAGE)

    assert 'data-fact="gathering"' in said


def test_what_the_server_says_of_a_wrong_code_is_not_repeated(browser: Client, parts: Parts) -> None:
    words = "invalid username-password pair or user is disabled."
    show(parts, leading(state="silent", problem="wrong_key", problem_detail=words, stations=()))
    enable()

    said = page(browser, PAGE)

    assert "The pairing code is not the master" in said
    assert words not in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"state": "silent", "problem": "unreachable"}, "An der Adresse des Masters antwortet niemand"),
        ({"state": "joining", "problem": "wrong_key"}, "Der Kopplungscode ist nicht der des Masters"),
        ({"state": "no_key"}, "Geben Sie den Kopplungscode ein"),
        ({"state": "refused"}, "Ein Verbund hat genau einen Master"),
        ({"state": "silent", "rise_in_s": 12}, "dürfen in 12 s auf den Rückfallwert von 6 A steigen"),
        ({"state": "member", "lease_remaining_s": 27}, "gilt noch 27 s, danach der Rückfallwert von 6 A"),
        ({"state": "no_server", "problem": "port_taken", "problem_detail": "6390"}, "benutzt den Port"),
    ],
)
def test_a_station_says_what_stands_between_it_and_its_master(
    browser: Client, parts: Parts, changes: dict[str, Any], sentence: str
) -> None:
    show(parts, leading(role="slave", stations=(), **changes))

    assert sentence in page(browser, PAGE, "de")


def test_a_slave_that_does_not_hear_its_master_shows_nothing_of_the_others(browser: Client, parts: Parts) -> None:
    show(parts, leading(role="slave", state="silent", problem="unreachable", master_id=OTHER))
    enable(**{"/cluster/role": "slave", "/cluster/key": "a pairing code"})

    said = page(browser, PAGE)

    assert "data-station=" not in said
    assert "data-phase=" not in said
    assert "No cluster is known" in page(browser, f"{PAGE}/link-lost")


def test_a_network_of_members_alone_is_not_called_empty(browser: Client, parts: Parts) -> None:
    members_alone = tuple(each for each in leading().found if each.same_cluster)
    show(parts, leading(found=members_alone))
    enable()
    assert "None beside those of the cluster" in page(browser, PAGE)

    show(parts, leading(role="slave", state="silent", found=members_alone))
    said = page(browser, PAGE)

    assert "None was found" not in said
    assert f'data-found="{OTHER}"' in said


def test_a_second_master_and_a_refused_station_are_named(browser: Client, parts: Parts) -> None:
    second = ClusterFoundSnapshot(id="9", name="TE9", role="master", points=2, address="192.168.30.60:6390")
    refusal = ClusterRefusalSnapshot(at=clock.now(), station=OTHER, reason="id_taken")
    show(parts, leading(second_master=second, refusal=refusal, malformed=3))

    said = page(browser, PAGE)

    assert "There is a second master: TE9 (192.168.30.60:6390)" in said
    assert f"Last refused: {OTHER}" in said
    assert "3 messages that nobody can read were dropped" in said


def test_what_happens_when_the_link_is_lost_is_shown_step_by_step(browser: Client, parts: Parts) -> None:
    show(parts, leading())
    enable()

    assert f'href="{PAGE}/link-lost"' in page(browser, PAGE)
    said = page(browser, f"{PAGE}/link-lost", "de")

    slave = said.partition(f"TE{OTHER}, Ladepunkt 1")[2].partition("</tr>")[0]
    assert re.findall(r">(\d+) A<", slave) == ["0", "0", "0", "0", "6"]
    assert "Die höchste Summe aller Schritte ist 38 A, das Limit 63 A." in said
    assert f"nach spätestens {LATEST_S[Step.FALLBACKS]:.0f} s" in said


def test_without_a_cluster_nothing_is_foretold(browser: Client, parts: Parts) -> None:
    assert "No cluster is known" in page(browser, f"{PAGE}/link-lost")


def test_without_a_cluster_the_page_offers_the_settings_and_this_stations_hour(
    browser: Client, parts: Parts, samples: list[PowerSample]
) -> None:
    now = clock.now()
    assert parts.hardware is not None
    parts.show(charging(1), point(2))
    samples += [replace(sample_of(parts.hardware), at=now - timedelta(seconds=10 * age)) for age in range(9, -1, -1)]

    said = page(browser, PAGE)

    assert 'id="cluster-form"' in said
    assert "Switched off" in said
    assert 'id="plot-cluster"' not in said
    plot = said.partition('id="plot-station"')[2]
    assert 'data-curve="limit" d="M' in plot
    assert "15.8 A" in plot


def test_the_plot_of_a_cluster_has_the_limit_the_sum_and_each_station(
    browser: Client, parts: Parts, samples: list[PowerSample]
) -> None:
    show(parts, leading())
    assert parts.hardware is not None
    samples.append(sample_of(parts.hardware))
    samples.insert(0, replace(samples[0], at=clock.now() - timedelta(minutes=10), stations={OWN: MilliAmpere(6_000)}))

    said = page(browser, PAGE).partition('id="plot-cluster"')[2].partition('id="plot-station"')[0]

    assert "63 A" in said
    assert re.search(rf"TE{OWN}</span></td>.*?>29.8 A<.*?>17.9 A<", said)
    # Ten minutes without a sample are a gap, not a line.
    assert said.partition('data-curve="sum" d="')[2].partition('"')[0].count("M") == 2


def test_an_hour_of_a_hundred_stations_is_small_enough_for_redis(parts: Parts) -> None:
    stations = tuple(member(str(100_000_000 + number)) for number in range(100))
    show(parts, leading(stations=stations))
    assert parts.hardware is not None

    size = len(json.dumps(sample_of(parts.hardware).stations))

    assert size * MOST_SAMPLES < 1_000_000


# --- what is set


def post(browser: Client, **values: str) -> tuple[int, str]:
    return enter(browser, PAGE, "de", **{f"cluster-{name}": value for name, value in values.items()})


def add_member(station: str, points: int = 2, fallback_a: int = 6) -> None:
    ClusterMember.objects.create(
        station=station,
        name=f"TE{station}",
        points=points,
        rating_ma=32_000,
        fallback_ma=fallback_a * 1_000,
        password_hash="0" * 64,
        registered_at=clock.now(),
    )


def test_the_first_master_gets_a_pairing_code_with_the_first_saving(browser: Client, parts: Parts) -> None:
    status, said = post(browser, enabled="true", role="master", limitA="63")

    assert status == 200
    code = pairing.code()
    assert len(code) >= 26
    assert code in said
    assert post(browser, enabled="true", role="master", limitA="50")[0] == 200
    assert pairing.code() == code


def test_a_slave_is_given_the_code_and_shows_it_to_nobody(browser: Client, parts: Parts) -> None:
    code = "ABCDE-FGHIJ-KLMNO-PQRST-UVWXY-Z"

    status, said = post(browser, enabled="true", role="slave", key=code)

    assert status == 200
    assert configuration.get("/cluster/key") == code
    assert code not in said
    assert code not in json.dumps(list(AuditEntry.objects.values_list("data", flat=True)))


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"role": "slave"}, "cluster-key", "Ein Slave braucht den Kopplungscode"),
        ({"role": "master"}, "cluster-limitA", "Ein Master braucht das Cluster Limit in A. Beispiel: 63"),
        (
            {"role": "master", "limitA": "20", "fallbackA": "16"},
            "cluster-fallbackA",
            "dürfen alle 2 Ladepunkte zusammen 32 A ziehen, mehr als das Cluster Limit von 20 A",
        ),
    ],
)
def test_a_cluster_that_cannot_work_is_refused_beside_the_field_to_mend(
    browser: Client, parts: Parts, values: dict[str, str], field: str, reason: str
) -> None:
    status, said = post(browser, enabled="true", **values)

    assert status == 422
    assert reason in said.partition(f'id="{field}"')[2].partition('class="field-help"')[0]
    assert not configuration.get_bool("/cluster/enabled")
    assert pairing.code() == ""


def test_a_limit_that_is_lowered_too_far_is_refused_beside_the_limit(browser: Client, parts: Parts) -> None:
    assert post(browser, enabled="true", role="master", limitA="40", fallbackA="16")[0] == 200

    status, said = post(browser, limitA="20")

    assert status == 422
    reason = said.partition('id="cluster-limitA"')[2].partition('class="field-help"')[0]
    assert "mehr als das Cluster Limit von 20 A" in reason


def test_the_fallbacks_of_lost_stations_count_even_when_they_are_not_heard(browser: Client, parts: Parts) -> None:
    for number in range(4):
        add_member(f"10000300{number}")

    status, said = post(browser, enabled="true", role="master", limitA="59")

    assert status == 422
    assert "alle 10 Ladepunkte zusammen 60 A" in said
    assert post(browser, enabled="true", role="master", limitA="60")[0] == 200


def test_a_slave_counts_the_fallbacks_that_its_master_tells(browser: Client, parts: Parts) -> None:
    stations = (member(OTHER, role="master", fallback_ma=MilliAmpere(32_000)), member(OWN))
    show(parts, leading(role="slave", state="member", master_id=OTHER, stations=stations, limit_ma=MilliAmpere(40_000)))
    enable(**{"/cluster/role": "slave", "/cluster/key": "a pairing code", "/cluster/fallbackA": "0"})

    status, said = post(browser, fallbackA="6")

    assert status == 422
    assert "alle 3 Ladepunkte zusammen 44 A" in said


def found_master(address: str) -> ClusterFoundSnapshot:
    return ClusterFoundSnapshot(
        id=OTHER, name="TE" + OTHER, role="master", points=2, address=address, same_cluster=True
    )


def test_the_place_of_a_master_that_no_longer_answers_may_be_taken(browser: Client, parts: Parts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = "{}:{}".format(*gone.getsockname())
    show(parts, leading(role="slave", state="silent", stations=(), found=(found_master(address),)))
    enable(**{"/cluster/role": "slave", "/cluster/key": "a pairing code"})

    assert post(browser, role="master")[0] == 200
    assert configuration.get("/cluster/role") == "master"


def test_a_second_master_is_refused_over_every_door(browser: Client, parts: Parts) -> None:
    enable(**{"/cluster/role": "slave", "/cluster/key": "a pairing code"})
    with socket.create_server(("127.0.0.1", 0)) as first:
        address = "{}:{}".format(*first.getsockname())
        show(parts, leading(role="slave", state="searching", stations=(), found=(found_master(address),)))

        status, said = post(browser, role="master")
        with pytest.raises(ConfigurationRefused) as refusal:
            configuration.change({"/cluster/role": "master"}, origin=Origin.BACKEND, actor="csms", at=clock.now())

    assert status == 422
    assert f"TE{OTHER} ist schon der Master dieses Verbunds" in said
    assert [problem.code for problem in refusal.value.problems] == ["cluster_second_master"]


def test_a_master_without_a_server_of_its_own_is_refused(
    browser: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*, is_trial: bool) -> None:
        raise redis_server.RedisIsMissing

    monkeypatch.setattr(redis_server, "choose", none)

    status, said = post(browser, enabled="true", role="master", limitA="63")

    assert status == 422
    assert "redis-server oder valkey-server ab Version 7" in said


def test_switching_off_is_never_refused(browser: Client, parts: Parts) -> None:
    enable()
    show(parts, leading(second_master=ClusterFoundSnapshot(id="9", name="TE9", role="master", points=2)))

    assert post(browser, enabled="false")[0] == 200
    assert not configuration.get_bool("/cluster/enabled")


def test_a_new_code_is_made_only_after_what_it_does_was_read(browser: Client, parts: Parts) -> None:
    enable()
    before = pairing.new_code("test", Origin.LOCAL)

    question = page(browser, f"{PAGE}/code")
    assert pairing.code() == before
    answer = enter(browser, f"{PAGE}/code")[1]

    assert "Every slave loses the master" in question
    assert pairing.code() != before
    assert pairing.code() in answer


def test_a_new_code_that_is_refused_says_why(browser: Client, parts: Parts) -> None:
    enable()
    before = pairing.new_code("test", Origin.LOCAL)
    for number in range(20):
        add_member(f"WB-{number}")

    answer = enter(browser, f"{PAGE}/code")[1]

    assert "The code stays. While the links are lost" in answer
    assert pairing.code() == before


def test_a_slave_has_no_code_to_renew(browser: Client, parts: Parts) -> None:
    assert browser.post(f"{PAGE}/code").status_code == 404


def test_a_station_is_forgotten_only_after_what_it_means_was_read(browser: Client, parts: Parts) -> None:
    add_member(OTHER)
    show(parts, leading())
    enable()

    assert f'href="{PAGE}/forget/{OTHER}"' in page(browser, PAGE)
    assert f'href="{PAGE}/forget/{OWN}"' not in page(browser, PAGE)
    assert "may still draw its fallback" in page(browser, f"{PAGE}/forget/{OTHER}")
    assert ClusterMember.objects.exists()
    enter(browser, f"{PAGE}/forget/{OTHER}")

    assert not ClusterMember.objects.exists()
    assert AuditEntry.objects.get(command="ForgetClusterMember").data == {"station": OTHER}
    assert browser.get(f"{PAGE}/forget/{OTHER}").status_code == 404
