"""What a maker signs is looked into first: a station that installs it must stay one of the same maker and board."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scripts.image import bundle
from scripts.image.__main__ import main as build_image
from scripts.image.maker import ROOT, MakerKeys, maker_keys, unfit_to_sign, warn_of_expiry
from scripts.image.run import StepFailed, run

SETTINGS = (ROOT / "deploy/image/rauc/system.conf").read_text()
pytestmark = pytest.mark.skipif(
    not all(shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in ("mke2fs", "debugfs", "openssl")),
    reason="e2fsprogs and openssl are not on this computer",
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> MakerKeys:
    return new_keys(tmp_path_factory.mktemp("maker"), "Maker")


def new_keys(directory: Path, name: str) -> MakerKeys:
    run(ROOT / "scripts/maker-key", directory, name)
    return MakerKeys(directory)


def root_of(directory: Path, keyring: str, *, test: bool = False, settings: str = SETTINGS) -> Path:
    """Make a root file system of version 1.4.0 for the board demo."""
    tree, file = directory / "tree", directory / "root.ext4"
    for place in ("etc/rauc", "usr/lib/systemd/system", "usr/share/station"):
        (tree / place).mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text('ID=station\nVERSION_ID="1.4.0"\n')
    (tree / "etc/rauc/system.conf").write_text(settings.replace("@BOARD@", "demo"))
    if keyring:
        (tree / "usr/share/station/maker.pem").write_text(keyring)
    if test:
        (tree / "usr/lib/systemd/system/test-shell.service").write_text("[Service]\n")
    run("mke2fs", "-q", "-t", "ext4", "-d", tree, file, "4096k")
    return file


def refusal(root: Path, keys: MakerKeys, *, version: str = "1.4.0", board: str = "demo") -> str:
    with pytest.raises(StepFailed) as refused:
        bundle.check_root(root, version=version, board=board, keys=keys, allow_test=False)
    return str(refused.value)


def test_a_root_of_this_maker_board_and_version_is_signed(tmp_path: Path, keys: MakerKeys) -> None:
    root = root_of(tmp_path, keys.keyring)

    bundle.check_root(root, version="1.4.0", board="demo", keys=keys, allow_test=False)
    assert bundle.board_of(root) == "demo"


def test_a_root_that_trusts_somebody_else_is_not_signed(tmp_path: Path, keys: MakerKeys) -> None:
    root = root_of(tmp_path, new_keys(tmp_path / "other", "Development").keyring)

    assert "would not take updates signed with" in refusal(root, keys)


def test_a_root_that_trusts_nobody_is_not_signed(tmp_path: Path, keys: MakerKeys) -> None:
    assert "it has no certificate at" in refusal(root_of(tmp_path, ""), keys)


def test_every_difference_is_told(tmp_path: Path, keys: MakerKeys) -> None:
    said = refusal(root_of(tmp_path, keys.keyring), keys, version="1.5.0", board="other")

    assert "version 1.4.0" in said
    assert "board demo" in said


def test_the_root_of_a_test_image_is_not_signed_for_customers(tmp_path: Path, keys: MakerKeys) -> None:
    root = root_of(tmp_path, keys.keyring, test=True)

    assert "root shell" in refusal(root, keys)
    bundle.check_root(root, version="1.4.0", board="demo", keys=keys, allow_test=True)


def test_keys_without_the_one_that_signs_are_refused(tmp_path: Path, keys: MakerKeys) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(keys.trusted, bare)

    assert "no signing.key" in refusal(root_of(tmp_path, keys.keyring), MakerKeys(bare))


def test_with_a_certificate_that_is_revoked_nothing_is_signed(tmp_path: Path) -> None:
    keys = new_keys(tmp_path / "keys", "Maker")
    run(ROOT / "scripts/maker-key", keys.directory, "--revoke")

    said = refusal(root_of(tmp_path, keys.keyring), keys)

    assert "signing.pem is revoked" in said
    assert "--renew" in said
    run(ROOT / "scripts/maker-key", keys.directory, "--renew")
    (tmp_path / "later").mkdir()
    root = root_of(tmp_path / "later", keys.keyring)
    bundle.check_root(root, version="1.4.0", board="demo", keys=keys, allow_test=False)


def test_a_root_with_an_older_list_is_not_signed(tmp_path: Path) -> None:
    """Stations that installed it would take again what the stolen key has signed."""
    keys = new_keys(tmp_path / "keys", "Maker")
    root = root_of(tmp_path, keys.keyring)
    (tmp_path / "former").mkdir()
    settings = SETTINGS.replace("check-crl=true\n", "")
    former = root_of(tmp_path / "former", keys.trusted.read_text(), settings=settings)
    bundle.check_root(former, version="1.4.0", board="demo", keys=keys, allow_test=False)

    run(ROOT / "scripts/maker-key", keys.directory, "--renew", "--revoke")

    assert "its list is an older one" in refusal(root, keys)
    assert "its list is an older one" in refusal(former, keys)


def test_a_root_that_asks_for_a_list_and_has_none_is_not_signed(tmp_path: Path, keys: MakerKeys) -> None:
    """No station that installed it could be updated again."""
    assert "unable to get certificate CRL" in refusal(root_of(tmp_path, keys.trusted.read_text()), keys)


def signs_until(keys: MakerKeys, end: timedelta) -> None:
    """Give the maker's signing key a certificate that ends so much later."""
    root = x509.load_pem_x509_certificate(keys.trusted.read_bytes())
    signer = serialization.load_pem_private_key((keys.directory / "root.key").read_bytes(), None)
    old = x509.load_pem_x509_certificate(keys.certificate.read_bytes())
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(root.subject, old.subject, old.public_key(), old.serial_number)
    made = builder.not_valid_before(old.not_valid_before_utc).not_valid_after(datetime.now(tz=UTC) + end)
    keys.certificate.write_bytes(made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def test_with_a_certificate_that_has_expired_nothing_is_signed(tmp_path: Path) -> None:
    keys = new_keys(tmp_path / "keys", "Maker")
    signs_until(keys, -timedelta(days=1))

    said = refusal(root_of(tmp_path, keys.keyring), keys)

    assert "signing.pem has expired" in said
    assert "--renew" in said


@pytest.mark.parametrize(("days", "warnings"), [(29, 1), (31, 0)])
def test_a_certificate_that_ends_soon_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days: int, warnings: int
) -> None:
    keys = new_keys(tmp_path / "keys", "Maker")
    signs_until(keys, timedelta(days=days))

    warn_of_expiry(keys)

    assert capsys.readouterr().err.count("expires soon") == warnings
    assert not unfit_to_sign(keys)


def test_with_a_certificate_of_another_root_nothing_is_signed(tmp_path: Path, keys: MakerKeys) -> None:
    mixed, other = new_keys(tmp_path / "keys", "Maker"), new_keys(tmp_path / "other", "Other")
    for file in (other.certificate, other.key):
        shutil.copy(file, mixed.directory)

    assert "signing.pem is not signed by root.pem" in refusal(root_of(tmp_path, mixed.keyring), mixed)


def test_a_makers_directory_without_a_list_is_told_what_to_do(tmp_path: Path) -> None:
    keys = new_keys(tmp_path / "keys", "Maker")
    keys.revoked.unlink()

    with pytest.raises(StepFailed, match=f"scripts/maker-key {keys.directory} --list"):
        maker_keys(tmp_path, keys.directory)

    run(ROOT / "scripts/maker-key", keys.directory, "--list")
    assert maker_keys(tmp_path, keys.directory).keyring.count("-----BEGIN ") == 2


def test_keys_for_development_from_before_there_were_lists_get_one(tmp_path: Path) -> None:
    made = maker_keys(tmp_path, None)
    root = made.trusted.read_text()
    made.revoked.unlink()

    assert maker_keys(tmp_path, None).keyring == root + made.revoked.read_text()


@pytest.mark.parametrize(("first", "last"), [(2020, 2030), (2026, 2100)])
def test_a_list_that_would_lock_the_stations_out_one_day_gets_into_no_image(
    tmp_path: Path, first: int, last: int
) -> None:
    keys = new_keys(tmp_path / "keys", "Maker")
    signer = serialization.load_pem_private_key((keys.directory / "root.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    root = x509.load_pem_x509_certificate(keys.trusted.read_bytes())
    begin, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (first, last))
    builder = x509.CertificateRevocationListBuilder(root.subject, begin, end)
    keys.revoked.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    with pytest.raises(StepFailed, match="would refuse every update"):
        maker_keys(tmp_path, keys.directory)


def test_a_list_of_another_root_gets_into_no_image(tmp_path: Path) -> None:
    keys, other = new_keys(tmp_path / "keys", "Maker"), new_keys(tmp_path / "other", "Other")
    shutil.copy(other.revoked, keys.revoked)

    with pytest.raises(StepFailed, match="would refuse every update"):
        maker_keys(tmp_path, keys.directory)


def test_the_command_makes_nothing_of_a_foreign_root(
    tmp_path: Path, keys: MakerKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = root_of(tmp_path, new_keys(tmp_path / "other", "Other").keyring), tmp_path / "out"

    assert bundle.main([f"--root={root}", f"--keys={keys.directory}", f"--output={output}"]) == 1

    assert "is not packed" in capsys.readouterr().err
    assert not output.exists()


def test_nobody_signs_an_update_with_keys_for_development_without_having_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATION_IMAGE_CACHE", str(tmp_path))

    with pytest.raises(SystemExit):
        bundle.main([])

    said = capsys.readouterr().err
    assert "--keys DIR" in said
    assert "--development" in said


def test_keys_for_development_are_refused_with_words_for_image_and_bundle(tmp_path: Path) -> None:
    made = maker_keys(tmp_path, None)

    with pytest.raises(StepFailed, match=r"leave --keys out \(scripts/build-bundle: --development instead\)"):
        maker_keys(tmp_path, made.directory)


def test_an_image_without_keys_needs_no_option_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_image(["--development"])

    assert "unrecognized arguments: --development" in capsys.readouterr().err
    assert "--development" not in (ROOT / "scripts/build-image").read_text()


def test_an_older_list_with_a_key_that_the_root_revokes_is_told_as_that(tmp_path: Path) -> None:
    keys = new_keys(tmp_path / "keys", "Maker")
    shutil.copytree(keys.directory, tmp_path / "older")
    run(ROOT / "scripts/maker-key", keys.directory, "--renew", "--revoke")

    said = refusal(root_of(tmp_path, keys.keyring), MakerKeys(tmp_path / "older"))

    assert "bring back the latest revoked.pem" in said
    assert "same --keys" not in said


def test_a_key_and_a_certificate_that_do_not_belong_together_sign_nothing(tmp_path: Path) -> None:
    keys = new_keys(tmp_path / "keys", "Maker")
    certificate = keys.certificate.read_bytes()
    run(ROOT / "scripts/maker-key", keys.directory, "--renew")
    keys.certificate.write_bytes(certificate)

    assert "is not the key of" in unfit_to_sign(keys)


def test_keys_in_the_middle_of_a_change_are_not_taken(tmp_path: Path) -> None:
    keys = new_keys(tmp_path / "keys", "Maker")
    (keys.directory / ".ready").mkdir()

    with pytest.raises(StepFailed, match="start the same again"):
        maker_keys(tmp_path, keys.directory)


def test_paths_are_meant_from_where_the_person_stands(
    tmp_path: Path, keys: MakerKeys, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root_of(tmp_path, new_keys(tmp_path / "other", "Other").keyring)
    shutil.copytree(keys.directory, tmp_path / "mine")
    monkeypatch.setenv("CALLED_FROM", str(tmp_path))

    assert bundle.main(["--root=root.ext4", "--keys=mine"]) == 1

    assert f"signed with {tmp_path}/mine/signing.pem" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["noise", "folder"])
def test_what_is_no_root_file_system_is_told_as_that(
    tmp_path: Path, keys: MakerKeys, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    root = tmp_path / "root.ext4"
    if kind == "folder":
        root.mkdir()
    else:
        root.write_bytes(bytes(5000))

    assert bundle.main([f"--root={root}", f"--keys={keys.directory}"]) == 1
    assert "is no root file system" in capsys.readouterr().err


def test_a_root_of_another_architecture_is_not_signed(
    tmp_path: Path, keys: MakerKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tree/usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    root = root_of(tmp_path, keys.keyring)

    assert bundle.main([f"--root={root}", f"--keys={keys.directory}", "--arch=arm64"]) == 1
    assert "it is for amd64, not for arm64" in capsys.readouterr().err
    bundle.check_architecture(root, "amd64")


def test_an_output_that_is_a_file_is_refused_in_words(
    tmp_path: Path, keys: MakerKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = root_of(tmp_path, keys.keyring), tmp_path / "file"
    output.write_text("")

    assert bundle.main([f"--root={root}", f"--keys={keys.directory}", f"--output={output}"]) == 1
    assert "cannot be a directory: File exists" in capsys.readouterr().err
