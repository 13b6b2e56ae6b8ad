"""What a maker signs is looked into first: a station that installs it must stay one of the same maker and board."""

import shutil
from pathlib import Path

import pytest

from scripts.image import bundle
from scripts.image.__main__ import main as build_image
from scripts.image.maker import ROOT, MakerKeys, maker_keys
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


def root_of(directory: Path, trusted: Path | None, *, test: bool = False) -> Path:
    """Make a root file system of version 1.4.0 for the board demo."""
    tree, file = directory / "tree", directory / "root.ext4"
    for place in ("etc/rauc", "usr/lib/systemd/system", "usr/share/station"):
        (tree / place).mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text('ID=station\nVERSION_ID="1.4.0"\n')
    (tree / "etc/rauc/system.conf").write_text(SETTINGS.replace("@BOARD@", "demo"))
    if trusted is not None:
        shutil.copy(trusted, tree / "usr/share/station/maker.pem")
    if test:
        (tree / "usr/lib/systemd/system/test-shell.service").write_text("[Service]\n")
    run("mke2fs", "-q", "-t", "ext4", "-d", tree, file, "4096k")
    return file


def refusal(root: Path, keys: MakerKeys, *, version: str = "1.4.0", board: str = "demo") -> str:
    with pytest.raises(StepFailed) as refused:
        bundle.check_root(root, version=version, board=board, keys=keys, allow_test=False)
    return str(refused.value)


def test_a_root_of_this_maker_board_and_version_is_signed(tmp_path: Path, keys: MakerKeys) -> None:
    root = root_of(tmp_path, keys.trusted)

    bundle.check_root(root, version="1.4.0", board="demo", keys=keys, allow_test=False)
    assert bundle.board_of(root) == "demo"


def test_a_root_that_trusts_somebody_else_is_not_signed(tmp_path: Path, keys: MakerKeys) -> None:
    root = root_of(tmp_path, new_keys(tmp_path / "other", "Development").trusted)

    assert "would not take updates signed with" in refusal(root, keys)


def test_a_root_that_trusts_nobody_is_not_signed(tmp_path: Path, keys: MakerKeys) -> None:
    assert "it has no certificate at" in refusal(root_of(tmp_path, None), keys)


def test_every_difference_is_told(tmp_path: Path, keys: MakerKeys) -> None:
    said = refusal(root_of(tmp_path, keys.trusted), keys, version="1.5.0", board="other")

    assert "version 1.4.0" in said
    assert "board demo" in said


def test_the_root_of_a_test_image_is_not_signed_for_customers(tmp_path: Path, keys: MakerKeys) -> None:
    root = root_of(tmp_path, keys.trusted, test=True)

    assert "root shell" in refusal(root, keys)
    bundle.check_root(root, version="1.4.0", board="demo", keys=keys, allow_test=True)


def test_keys_without_the_one_that_signs_are_refused(tmp_path: Path, keys: MakerKeys) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(keys.trusted, bare)

    assert "no signing.key" in refusal(root_of(tmp_path, keys.trusted), MakerKeys(bare))


def test_the_command_makes_nothing_of_a_foreign_root(
    tmp_path: Path, keys: MakerKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = root_of(tmp_path, new_keys(tmp_path / "other", "Other").trusted), tmp_path / "out"

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
