"""The certificates of a cluster hold at every moment, for one side, and for this cluster only."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from OpenSSL import crypto

from loadmgmt.cluster.certificates import Credentials, Purpose, issue, member_context
from loadmgmt.cluster.keys import derive

OURS, THEIRS = derive("our cluster"), derive("their cluster")


def verify(authority: Credentials, leaf: Credentials, at: datetime) -> None:
    store = crypto.X509Store()
    store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, authority.authority))
    # pyOpenSSL takes a naive moment as UTC.
    store.set_time(at.replace(tzinfo=None))
    crypto.X509StoreContext(store, crypto.load_certificate(crypto.FILETYPE_PEM, leaf.own)).verify_certificate()


@pytest.mark.parametrize("year", [1970, 2000, 2026, 2038, 2050, 2100, 2500])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_clock_that_is_wrong_by_decades_keeps_nobody_out(year: int, purpose: Purpose) -> None:
    verify(issue(OURS, Purpose.MASTER), issue(OURS, purpose), datetime(year, 1, 2, tzinfo=UTC))


def test_every_station_makes_the_same_authority_and_a_certificate_of_its_own() -> None:
    first, second = issue(OURS, Purpose.MEMBER), issue(OURS, Purpose.MEMBER)

    assert first.authority == second.authority
    assert first.own != second.own
    assert "PRIVATE" not in repr(first)


def test_a_certificate_of_another_cluster_is_worth_nothing() -> None:
    with pytest.raises(crypto.X509StoreContextError):
        verify(issue(OURS, Purpose.MASTER), issue(THEIRS, Purpose.MASTER), datetime(2026, 1, 1, tzinfo=UTC))


def test_a_certificate_signs_no_further_ones_and_is_for_one_side() -> None:
    leaf = x509.load_pem_x509_certificate(issue(OURS, Purpose.MEMBER).own)

    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [Purpose.MEMBER.value]


def test_a_member_trusts_this_authority_and_no_other() -> None:
    context = member_context(OURS)

    (trusted,) = context.get_ca_certs()
    assert "EV cluster" in str(trusted["subject"])
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert context.minimum_version.name == "TLSv1_3"
