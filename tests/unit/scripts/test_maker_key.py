"""What a maker signs updates with: made whole or not at all, and a failure says why."""

import fcntl
import os
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

SCRIPT = Path(__file__).parents[3] / "scripts" / "maker-key"
FRESH = {"root.key", "root.pem", "signing.key", "signing.pem", "revoked.pem"}


def made(
    directory: Path, *options: str | Path, path: str = os.environ["PATH"], alone: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, directory, *options],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        start_new_session=alone,
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A maker's directory, its root brought there."""
    done = made(tmp_path / "keys", "Möller & Söhne")
    assert done.returncode == 0, done.stderr
    return tmp_path / "keys"


def names(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()}


def contents(directory: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in directory.iterdir()}


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def revocations(keys: Path) -> x509.CertificateRevocationList:
    """Return the list, which the root has signed."""
    found = x509.load_pem_x509_crl((keys / "revoked.pem").read_bytes())
    assert found.is_signature_valid(certificate(keys / "root.pem").public_key())  # type: ignore[arg-type]
    return found


def revoked(keys: Path) -> dict[int, datetime]:
    return {each.serial_number: each.revocation_date_utc for each in revocations(keys)}


def aside(keys: Path) -> list[Path]:
    """Return the certificates that signed before, the oldest first."""
    return sorted(keys.glob("signing-*.pem"), key=lambda file: file.stem.count("-"))


def test_a_failure_of_openssl_is_told_and_leaves_nothing_that_keeps_the_next_try_away(tmp_path: Path) -> None:
    tools, keys = tmp_path / "bin", tmp_path / "keys"
    tools.mkdir()
    broken = tools / "openssl"
    broken.write_text('#!/bin/sh\necho "no entropy today" >&2\nexit 1\n')
    broken.chmod(0o755)

    done = made(keys, path=f"{tools}:{os.environ['PATH']}")

    assert done.returncode != 0
    assert "no entropy today" in done.stderr
    assert list(keys.iterdir()) == []


def test_a_root_is_never_replaced(keys: Path) -> None:
    before = contents(keys)

    second = made(keys)

    assert names(keys) == FRESH
    assert second.returncode != 0
    assert "already holds a root" in second.stderr
    assert contents(keys) == before


def test_a_root_whose_key_lies_in_a_safe_is_never_replaced_either(keys: Path) -> None:
    (keys / "root.key").unlink()
    before = contents(keys)

    done = made(keys)

    assert done.returncode != 0
    assert "already holds a root" in done.stderr
    assert contents(keys) == before


def test_the_list_is_there_from_the_start_and_holds_for_ever(keys: Path) -> None:
    root, signing, found = certificate(keys / "root.pem"), certificate(keys / "signing.pem"), revocations(keys)

    assert revoked(keys) == {}
    assert found.next_update_utc is not None
    assert found.next_update_utc > root.not_valid_after_utc + timedelta(days=36500)
    # Before any clock that a computer may have, and before whatever was signed.
    for beginning in (found.last_update_utc, root.not_valid_before_utc, signing.not_valid_before_utc):
        assert beginning == datetime(2020, 1, 1, tzinfo=UTC)


def test_renewed_it_is_another_key_below_the_same_root_and_the_one_before_is_kept(keys: Path) -> None:
    before = contents(keys)

    for _time in range(2):
        done = made(keys, "--renew")
        assert done.returncode == 0, done.stderr

    today = datetime.now(tz=UTC)
    now = contents(keys)
    assert now["root.pem"] == before["root.pem"]
    assert now["revoked.pem"] == before["revoked.pem"]
    first, second = aside(keys)
    assert abs(datetime.strptime(first.stem, "signing-%Y-%m-%d").replace(tzinfo=UTC) - today) < timedelta(days=2)
    assert first.read_bytes() == before["signing.pem"]
    assert first.with_suffix(".key").read_bytes() == before["signing.key"]
    assert second.stem == f"{first.stem}-2"
    assert len({each for name, each in now.items() if name.endswith(".key")}) == 4
    renewed = certificate(keys / "signing.pem")
    renewed.verify_directly_issued_by(certificate(keys / "root.pem"))
    assert renewed.subject.rfc4514_string() == "CN=Möller & Söhne: updates"


def test_a_stolen_key_is_replaced_and_revoked_at_once(keys: Path) -> None:
    stolen = certificate(keys / "signing.pem").serial_number

    done = made(keys, "--renew", "--revoke")

    assert done.returncode == 0, done.stderr
    assert list(revoked(keys)) == [stolen]
    assert certificate(keys / "signing.pem").serial_number != stolen
    assert certificate(aside(keys)[0]).serial_number == stolen
    assert "Take root.key away" in done.stdout


def test_whatever_was_revoked_stays_so(keys: Path) -> None:
    made(keys, "--renew")
    old, present = certificate(aside(keys)[0]).serial_number, certificate(keys / "signing.pem").serial_number

    first = made(keys, "--revoke", aside(keys)[0])
    when = revoked(keys)[old]
    second = made(keys, "--revoke")
    again = made(keys, "--revoke", aside(keys)[0])

    assert (first.returncode, second.returncode, again.returncode) == (0, 0, 0)
    assert "Nothing can be signed" in second.stdout
    assert revoked(keys).keys() == {old, present}
    assert revoked(keys)[old] == when


def test_what_cannot_be_revoked_is_told_and_changes_nothing(keys: Path, tmp_path: Path) -> None:
    made(tmp_path / "other")
    before = contents(keys)

    for file, word in (
        (keys / "root.pem", "is the root itself"),
        (tmp_path / "other" / "signing.pem", "is no certificate of this root"),
        (tmp_path / "other" / "signing.key", "neither a certificate nor a bundle"),
        (tmp_path / "nothing.pem", "There is no"),
    ):
        done = made(keys, "--renew", "--revoke", file)
        assert done.returncode != 0
        assert word in done.stderr
        assert contents(keys) == before


def test_without_the_root_or_with_another_ones_nothing_is_changed(keys: Path, tmp_path: Path) -> None:
    made(tmp_path / "other")
    (keys / "root.key").unlink()
    before = contents(keys)

    for options in (["--renew"], ["--revoke"], ["--renew", "--revoke"], ["--list"]):
        done = made(keys, *options)
        assert done.returncode != 0
        assert "bring root.key" in done.stderr
    assert contents(keys) == before

    shutil.copy(tmp_path / "other" / "root.key", keys)
    done = made(keys, "--renew", "--revoke")
    assert done.returncode != 0
    assert "not the key of its root.pem" in done.stderr
    assert {**before, "root.key": (keys / "root.key").read_bytes()} == contents(keys)


def test_a_lost_key_is_replaced_whatever_is_left_of_it(keys: Path) -> None:
    (keys / "signing.key").unlink()

    assert made(keys, "--renew").returncode == 0
    assert names(keys) == FRESH | {aside(keys)[0].name}

    for file in ("signing.key", "signing.pem"):
        (keys / file).unlink()
    assert "There is no" in made(keys, "--revoke").stderr
    assert made(keys, "--renew").returncode == 0
    assert (keys / "signing.key").exists()


def test_of_a_key_that_is_gone_as_a_whole_a_bundle_has_the_certificate(keys: Path, tmp_path: Path) -> None:
    stolen = certificate(keys / "signing.pem").serial_number
    content, signature, bundle = (tmp_path / name for name in ("content", "signature", "update.raucb"))
    content.write_bytes(b"[update]")
    signed = ("-in", content, "-signer", keys / "signing.pem", "-inkey", keys / "signing.key", "-out", signature)
    subprocess.run(
        ["openssl", "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-outform", "DER", *signed], check=True
    )
    size = signature.stat().st_size.to_bytes(8, "big")
    bundle.write_bytes(b"hsqs" + bytes(5000) + signature.read_bytes() + size)
    for file in ("signing.key", "signing.pem"):
        (keys / file).unlink()

    done = made(keys, "--renew", "--revoke", bundle)

    assert done.returncode == 0, done.stderr
    assert list(revoked(keys)) == [stolen]
    assert names(keys) == FRESH

    bundle.write_bytes(b"hsqs" + bytes(5000))
    before = contents(keys)
    assert made(keys, "--revoke", bundle).returncode != 0
    assert contents(keys) == before


def test_a_directory_from_before_there_were_lists_gets_one(keys: Path) -> None:
    (keys / "revoked.pem").unlink()

    done = made(keys, "--list")

    assert done.returncode == 0, done.stderr
    assert "If there ever was one, bring it back" in done.stdout
    assert revoked(keys) == {}


def test_a_list_that_was_lost_is_not_begun_anew_beside_something_else(keys: Path) -> None:
    assert made(keys, "--renew", "--revoke").returncode == 0
    (keys / "revoked.pem").unlink()
    before = contents(keys)

    for change in (("--renew",), ("--revoke",), ("--renew", "--revoke")):
        refused = made(keys, *change)

        assert refused.returncode != 0
        assert "bring it back" in refused.stderr
        assert "add --list" in refused.stderr
        assert contents(keys) == before
    assert made(keys, "--renew", "--list").returncode == 0


def test_a_list_of_somebody_else_is_not_signed(keys: Path, tmp_path: Path) -> None:
    made(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "revoked.pem", keys)
    before = contents(keys)

    done = made(keys, "--renew", "--revoke")

    assert done.returncode != 0
    assert "not as root.key has signed it" in done.stderr
    assert contents(keys) == before


def test_a_failure_in_the_middle_of_a_renewal_changes_nothing(keys: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    limited = tools / "openssl"
    limited.write_text(
        f'#!/bin/sh\ncase "$*" in *-startdate*) echo "the disk is full" >&2; exit 1;; esac\n'
        f'exec {shutil.which("openssl")} "$@"\n'
    )
    limited.chmod(0o755)
    before = contents(keys)

    done = made(keys, "--renew", "--revoke", path=f"{tools}:{os.environ['PATH']}")

    assert done.returncode != 0
    assert "the disk is full" in done.stderr
    assert contents(keys) == before


@pytest.mark.parametrize("options", [["--new"], ["--renew", "Name"], ["One", "Two"]])
def test_what_it_does_not_understand_it_does_not_do(tmp_path: Path, options: list[str]) -> None:
    done = made(tmp_path / "keys", *options)

    assert done.returncode == 2
    assert "--renew" in done.stderr
    assert not (tmp_path / "keys").exists()


# What changes something on the disk.
PROGRAMS = ("openssl", "mv", "rm", "mktemp", "cp", "sync", "mkdir")


def killing(tools: Path, moment: int) -> str:
    """Return a PATH with which whatever is called as the moment-th program kills the whole call first."""
    tools.mkdir(exist_ok=True)
    (tools / "calls").write_text("")
    for name in PROGRAMS:
        wrapper = tools / name
        wrapper.unlink(missing_ok=True)
        wrapper.write_text(
            f'#!/bin/bash\n[[ {name} != openssl || " $* " == *" -out "* ]] || exec {shutil.which(name)} "$@"\n'
            f"echo {name} >>{tools}/calls\nmapfile -t calls <{tools}/calls\n"
            f'[ "${{#calls[@]}}" -ne {moment} ] || kill -KILL 0\nexec {shutil.which(name)} "$@"\n'
        )
        wrapper.chmod(0o755)
    return f"{tools}:{os.environ['PATH']}"


def whole(keys: Path) -> None:
    """Every key goes with its certificate, the list is signed, and nothing lies hidden."""
    assert names(keys) >= FRESH
    for file in keys.glob("*.key"):
        key = serialization.load_pem_private_key(file.read_bytes(), None)
        assert key.public_key() == certificate(file.with_suffix(".pem")).public_key()
    for file in keys.glob("signing*.pem"):
        certificate(file).verify_directly_issued_by(certificate(keys / "root.pem"))
    revocations(keys)
    assert not [name for name in names(keys) if name.startswith(".")]


@pytest.mark.parametrize("options", [(), ("--renew", "--revoke")], ids=" ".join)
def test_killed_at_any_moment_and_repeated_it_is_as_if_it_had_gone_through(
    tmp_path: Path, keys: Path, options: tuple[str, ...]
) -> None:
    moment, tools = 0, tmp_path / "bin"
    while True:
        moment += 1
        directory = tmp_path / str(moment)
        if options:
            shutil.copytree(keys, directory)
        killed = made(directory, *options, path=killing(tools, moment), alone=True)
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL
        told = names(directory) if directory.exists() else set()
        again = made(directory, *options)
        # What had gone through as a whole before it was killed is done once more.
        assert again.returncode == 0 or (not options and told >= FRESH), again.stderr
        whole(directory)
        present = certificate(directory / "signing.pem").serial_number
        assert present not in revoked(directory)
        if options:
            assert (directory / "root.pem").read_bytes() == (keys / "root.pem").read_bytes()
            before = [certificate(file).serial_number for file in aside(directory)]
            assert len(before) == 1 or told >= FRESH | {aside(directory)[0].name}
            assert certificate(keys / "signing.pem").serial_number in before
            assert present not in before
        if "--revoke" in options:
            assert set(before) <= revoked(directory).keys()
    assert moment > 15


def test_a_key_that_an_interrupted_call_has_left_is_told_and_thrown_away_and_revoked_with_what_is_stolen(
    tmp_path: Path, keys: Path
) -> None:
    """Whoever has stolen the directory has that key, too, and its certificate."""
    # The copy aside comes after every certificate is made.
    tools = tmp_path / "bin"
    killing(tools, 0)
    (tools / "cp").write_text("#!/bin/sh\nkill -KILL 0\n")
    assert made(keys, "--renew", path=f"{tools}:{os.environ['PATH']}", alone=True).returncode == -signal.SIGKILL
    (left,) = keys.glob(".unfinished.*")
    stolen = {certificate(left / "signing.pem").serial_number, certificate(keys / "signing.pem").serial_number}
    shutil.copytree(keys, tmp_path / "other")

    plain = made(tmp_path / "other", "--renew")
    revoking = made(keys, "--renew", "--revoke")

    for done, directory in ((plain, tmp_path / "other"), (revoking, keys)):
        assert done.returncode == 0, done.stderr
        assert "is thrown away" in done.stdout
        whole(directory)
    assert revoked(keys).keys() == stolen
    assert revoked(tmp_path / "other") == {}


def test_two_calls_at_once_make_one_root(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    descriptor = os.open(keys, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    refused = made(keys)
    os.close(descriptor)

    assert refused.returncode == 1
    assert "Another scripts/maker-key is at work" in refused.stderr
    assert list(keys.iterdir()) == []
    assert made(keys).returncode == 0


@pytest.mark.parametrize("what", ["signing.pem", "signing.key", "revoked.pem"])
def test_what_the_disk_has_not_taken_is_no_key(keys: Path, tmp_path: Path, what: str) -> None:
    """openssl ends with 0 when the disk is full."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "openssl").write_text(
        f'#!/bin/bash\n{shutil.which("openssl")} "$@" || exit\nfor word; do '
        f'[[ $before != -out || $word != */{what} ]] || : >"$word"; before=$word; done\n'
    )
    (tools / "openssl").chmod(0o755)
    before = contents(keys)

    for directory, options in ((keys, ("--renew", "--revoke")), (tmp_path / "new", ())):
        done = made(directory, *options, path=f"{tools}:{os.environ['PATH']}")
        assert done.returncode != 0
        assert done.stderr
    assert contents(keys) == before
    assert list((tmp_path / "new").iterdir()) == []


def test_a_full_disk_is_told(keys: Path, tmp_path: Path) -> None:
    mounted = f"mount -t tmpfs -o size=60k none {tmp_path}/full && cp {keys}/* {tmp_path}/full"
    (tmp_path / "full").mkdir()
    if subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True, check=False).returncode:
        pytest.skip("only root mounts a small disk")
    call = f"{mounted} && {SCRIPT} {tmp_path}/full --renew --revoke; ls -A {tmp_path}/full"

    done = subprocess.run(["unshare", "-m", "sh", "-c", call], capture_output=True, text=True, check=False)

    assert "There is no room on the disk" in done.stderr
    assert set(done.stdout.split()) == FRESH


def test_what_is_no_certificate_is_told_as_what_it_is(keys: Path, tmp_path: Path) -> None:
    pipe, noise, short = (tmp_path / name for name in ("pipe", "noise", "short.raucb"))
    os.mkfifo(pipe)
    noise.write_bytes(os.urandom(500))
    short.write_bytes(b"hsqs" + b"\xff" * 5000)
    before = contents(keys)

    for file, word in (
        (pipe, "no file that you may read"),
        (tmp_path, "no file that you may read"),
        (noise, "neither a certificate nor a bundle"),
        (short, "cut off or damaged"),
    ):
        done = made(keys, "--revoke", file)
        assert done.returncode == 1
        assert word in done.stderr
        assert contents(keys) == before


def test_an_empty_list_is_told_as_one(keys: Path) -> None:
    (keys / "revoked.pem").write_bytes(b"")

    assert "is empty or damaged" in made(keys, "--renew").stderr


@pytest.mark.parametrize("name", ["", " ", "a/b", "a=b", "x" * 56, "a\nb"])
def test_a_name_that_no_certificate_can_have_is_refused(tmp_path: Path, name: str) -> None:
    done = made(tmp_path / "keys", name)

    assert done.returncode == 1
    assert done.stderr.startswith("A name has 1 to 55 characters")
    assert not (tmp_path / "keys").exists()


def test_help_is_no_error(tmp_path: Path) -> None:
    done = made(tmp_path, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "--renew" in done.stdout
