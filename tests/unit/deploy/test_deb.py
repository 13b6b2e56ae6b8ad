"""The Debian package never takes the account of a person, nor deletes a user that it has not made."""

import os
import re
import subprocess
from pathlib import Path

import pytest

DEB = Path(__file__).resolve().parents[3] / "deploy/deb"
OURS = "station:x:998:998:Charging station,,,:/var/lib/station:/usr/sbin/nologin"


def start(
    directory: Path, script: str, *arguments: str, account: str | None, group: str = "", language: str = "C"
) -> tuple[int, str]:
    """Run a script of the package where an account (a line of passwd) and a group are; return its code and words."""
    programs = directory / "programs"
    programs.mkdir()
    stand_ins = {
        "getent": f"case $1 in passwd) found='{account or ''}' ;; group) found='{group}' ;; esac\n"
        '[ -n "$found" ] || exit 2\necho "$found"',
        "deluser": f"echo deleted >>{directory}/deluser",
        "systemctl": "",
        "deb-systemd-helper": "",
        "install": "",
        "rm": "",
    }
    for name, does in stand_ins.items():
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    text = (DEB / script).read_text().replace("/usr/sbin/deluser", str(programs / "deluser"))
    text = text.replace("/usr/share/debconf/confmodule", str(directory / "absent"))
    text = re.sub(r"/var/lib/station(?!:)", str(directory / "data"), text)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "LANG": language}
    done = subprocess.run(
        ["sh", "-s", "--", *arguments], input=text, capture_output=True, text=True, check=False, env=environment
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "account",
    [
        None,
        OURS,
        "station:x:998:998::/srv/station:/usr/sbin/nologin",
        "station:x:998:998::/srv/station:/bin/false",
    ],
)
def test_a_system_user_or_none_is_no_hindrance(tmp_path: Path, account: str | None) -> None:
    assert start(tmp_path, "preinst", "install", account=account) == (0, "")


@pytest.mark.parametrize(
    "account",
    [
        "station:x:1000:1000:Stefan,,,:/home/station:/bin/bash",
        "station:x:1000:1000::/home/station:/usr/sbin/nologin",
        "station:x:998:998::/home/station:/bin/bash",
        "station:x:998:998::/home/station:",
        "station:x:0:0::/root:/usr/sbin/nologin",
    ],
)
@pytest.mark.parametrize(
    ("language", "word"), [("C", "Rename the account"), ("de_DE.UTF-8", "Benennen Sie das Konto um")]
)
def test_the_account_of_a_person_is_not_taken(tmp_path: Path, account: str, language: str, word: str) -> None:
    code, said = start(tmp_path, "preinst", "install", account=account, language=language)

    assert code == 1
    assert word in said
    assert "usermod --login" in said


@pytest.mark.parametrize(
    ("language", "word"), [("C", "Rename the group"), ("de_DE.UTF-8", "Benennen Sie die Gruppe um")]
)
def test_a_group_of_people_is_not_taken_either(tmp_path: Path, language: str, word: str) -> None:
    group = "station:x:1001:stefan"
    code, said = start(tmp_path, "preinst", "install", account=None, group=group, language=language)

    assert code == 1
    assert word in said
    assert "groupmod --new-name" in said
    assert "usermod" not in said


def test_a_group_of_the_system_is_no_hindrance(tmp_path: Path) -> None:
    assert start(tmp_path, "preinst", "install", account=None, group="station:x:998:") == (0, "")


def test_an_upgrade_goes_on_as_it_is(tmp_path: Path) -> None:
    assert start(tmp_path, "preinst", "upgrade", "1.0", account="station:x:1000:1000::/home/station:/bin/bash")[0] == 0


@pytest.mark.parametrize(
    ("account", "deleted"),
    [
        (OURS, True),
        (OURS.replace(",,,", ""), True),
        (OURS.replace("Charging station", ""), False),
        (OURS.replace("/var/lib/station:", "/srv/station:"), False),
        (None, False),
    ],
)
def test_a_purge_deletes_the_user_that_the_package_has_made_and_no_other(
    tmp_path: Path, account: str | None, *, deleted: bool
) -> None:
    assert start(tmp_path, "postrm", "purge", account=account)[0] == 0

    assert (tmp_path / "deluser").exists() == deleted


def test_the_user_that_a_purge_knows_is_the_one_that_an_installation_makes() -> None:
    (made,) = re.findall(r"^adduser (.*) station >&2$", (DEB / "postinst").read_text(), re.MULTILINE)

    assert '--home /var/lib/station --no-create-home --gecos "Charging station"' in made
