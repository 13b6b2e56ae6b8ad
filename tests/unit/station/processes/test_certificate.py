from datetime import UTC, datetime, timedelta

from station.host.addresses import SERVICE_ADDRESS
from station.paths import DataDirectory
from station.processes.certificate import Pair, ensure, names_in

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def made(data: DataDirectory, *, at: datetime = NOW, addresses: tuple[str, ...] = ("10.0.0.7",)):
    certificate = ensure(data, identity="TE 100/7", addresses=addresses, at=at).load()
    assert certificate is not None
    return certificate


def test_the_certificate_names_every_way_to_the_station(data: DataDirectory) -> None:
    assert {"localhost", "127.0.0.1", SERVICE_ADDRESS, "10.0.0.7", "te-100-7.local"} <= names_in(made(data))


def test_the_key_is_nobody_elses_business(data: DataDirectory) -> None:
    made(data)

    assert Pair.of(data).key.stat().st_mode & 0o077 == 0


def test_a_good_certificate_is_kept(data: DataDirectory) -> None:
    assert made(data).serial_number == made(data, at=NOW + timedelta(days=300)).serial_number


def test_it_is_renewed_a_month_before_it_ends(data: DataDirectory) -> None:
    first = made(data)
    second = made(data, at=first.not_valid_after_utc - timedelta(days=29))

    assert second.not_valid_after_utc > first.not_valid_after_utc


def test_a_new_address_makes_a_new_certificate(data: DataDirectory) -> None:
    assert made(data).serial_number != made(data, addresses=("10.0.0.8",)).serial_number


def test_a_clock_that_was_never_set_makes_no_certificate_of_1970(data: DataDirectory) -> None:
    early = made(data, at=datetime(1970, 1, 2, tzinfo=UTC))

    assert early.not_valid_before_utc.year >= 2025
    assert early.not_valid_after_utc - early.not_valid_before_utc <= timedelta(days=825)


def test_an_uploaded_certificate_is_never_replaced(data: DataDirectory) -> None:
    made(data)
    for suffix in ("pem", "key"):
        (data.certificates / f"web_own.{suffix}").write_text("the installer's own")

    pair = ensure(data, identity="x", addresses=(), at=NOW)

    assert pair.is_own
    assert pair.certificate.read_text() == "the installer's own"


def test_two_stations_have_two_keys(data: DataDirectory, tmp_path_factory) -> None:
    other = DataDirectory(tmp_path_factory.mktemp("other"))
    other.create()

    assert made(data).public_key() != made(other).public_key()
