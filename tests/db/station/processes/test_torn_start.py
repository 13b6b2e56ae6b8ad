"""The power may fail at any step of a first start; the next one is whole, and somebody can sign in."""

import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from station import secret_key
from station.host.web_certificate import Pair
from station.paths import DataDirectory
from station.processes import preparation
from station.processes.plan import Address, Plan
from station.services import accounts, identity
from tests.db.station.web.conftest import AT
from tests.unit.station.test_private_files import PowerCut, power_cut_before_call

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick_hash(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def start(data: DataDirectory, settings: Any) -> preparation.Prepared:
    settings.DATA, settings.STATIC_ROOT = data, data.run / "static"
    secret_key.obtain(data.secret_key)
    addresses = Address("127.0.0.1", 1), Address("127.0.0.1", 2)
    plan = Plan(data=data.root, http=addresses[0], https=addresses[1], simulate=True, demo_backend=Address("::1", 3))
    return preparation.prepare(plan, at=AT)


def test_after_a_first_start_torn_at_any_step_somebody_can_sign_in(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in itertools.count(1):
        data = DataDirectory(tmp_path / str(number))
        data.create()
        with transaction.atomic():
            with power_cut_before_call(number, monkeypatch) as calls, suppress(PowerCut):
                start(data, settings)

            prepared = start(data, settings)

            assert prepared.factory_password is not None
            user = accounts.sign_in(account="admin", password=prepared.factory_password, address="192.0.2.1", at=AT)
            assert user == User.objects.get(username="admin")
            assert Pair.of(data).is_usable()
            assert prepared.has_hardware
            assert start(data, settings) == prepared
            assert identity.load().serial == prepared.serial
            transaction.set_rollback(True)
        if len(calls) < number:
            break
    # Six files of four calls each.
    assert number > 24


@pytest.mark.parametrize("content", [b"", b"\0" * 4096])
def test_a_simulated_description_torn_by_a_power_cut_is_made_anew(
    content: bytes, data: DataDirectory, settings: Any
) -> None:
    data.hardware.write_bytes(content)

    assert start(data, settings).has_hardware
    assert data.hardware.read_text().startswith("{")
    assert (data.root / "hardware.json.broken-1").read_bytes() == content


def test_a_description_somebody_wrote_is_refused_not_replaced(data: DataDirectory, settings: Any) -> None:
    data.hardware.write_text('{"connectors": [')

    with pytest.raises(preparation.RealHardwareIsConfigured, match="mend it or move it away"):
        start(data, settings)

    assert data.hardware.read_text() == '{"connectors": ['


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"{"])
def test_a_broken_identity_is_refused_because_nobody_could_make_it_again(
    content: bytes, data: DataDirectory, settings: Any
) -> None:
    data.identity.write_bytes(content)

    with pytest.raises(identity.IdentityFileBroken, match="Restore it from the production record"):
        start(data, settings)

    assert data.identity.read_bytes() == content
