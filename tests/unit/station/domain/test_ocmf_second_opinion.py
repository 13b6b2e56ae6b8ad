"""A library of others reads the same records; it says yes to more than we do, and never no to what we accept."""

from typing import Any

import pyocmf
import pytest

from station.domain import ocmf
from tests.ocmf import RecordSigner, reading


def _their_verdict(raw: bytes, key: str) -> bool:
    try:
        return pyocmf.OCMF.from_string(raw.decode()).verify_signature(key)
    except (pyocmf.PyOCMFError, ValueError):
        return False


@pytest.mark.parametrize("changed", [{}, {"FV": "1.2"}, {"IL": "HEARSAY"}, {"CT": None, "CI": None}])
def test_both_verify_what_a_meter_has_signed(changed: dict[str, Any]) -> None:
    meter = RecordSigner()
    raw = meter.record("T4", reading("B", "12.340"), **changed)
    assert ocmf.check(raw, meter.public_key) == ()
    assert _their_verdict(raw, meter.public_key)


def test_both_refuse_a_changed_register() -> None:
    meter = RecordSigner()
    raw = meter.record("T4", reading("B", "12.340")).replace(b"12.340", b"11.340")
    assert ocmf.check(raw, meter.public_key) == (ocmf.Finding.SIGNATURE_WRONG,)
    assert not _their_verdict(raw, meter.public_key)


def test_both_accept_a_session_and_only_we_see_the_gap_in_it() -> None:
    meter = RecordSigner()
    begin, end = meter.pair()
    late = meter.record("T9", reading("E", "12.34", minute=30))
    for last, findings in ((end, ()), (late, (ocmf.Finding.PAGINATION_GAP,))):
        assert ocmf.check_session([begin, last], meter.public_key) == findings
        assert all(_their_verdict(raw, meter.public_key) for raw in (begin, last))
