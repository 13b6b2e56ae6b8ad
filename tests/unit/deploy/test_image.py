"""The pure parts of an image: partitions, packages, the boot loader's memory."""

import re
import subprocess
from pathlib import Path

import pytest

from scripts.image import boot, checkout, disk, packages, tree
from station.host.firewall import Networks

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_partitions_follow_one_another_without_gaps(architecture):
    laid = disk.partitions(architecture)

    assert [part.name for part in laid] == ["EFI", "rootA", "rootB", "data"]
    assert laid[0].start == disk.MIB
    assert [part.start + part.size for part in laid[:-1]] == [part.start for part in laid[1:]]
    assert all(part.start % disk.MIB == 0 for part in laid)


def test_the_copy_of_the_partition_table_has_room_behind_the_last_partition():
    laid = disk.partitions("amd64")

    assert disk.disk_size(laid) == laid[-1].start + laid[-1].size + disk.MIB


def test_sfdisk_is_told_sectors():
    script = disk.sfdisk_script([disk.Partition("data", "TYPE", disk.MIB, 2 * disk.MIB)])

    assert script == 'label: gpt\nunit: sectors\n\nstart=2048, size=4096, type=TYPE, name="data"\n'


def test_a_root_that_is_too_large_is_refused():
    slot = disk.partitions("amd64")[1]

    disk.check_fits(slot, slot.size)
    with pytest.raises(disk.ContentIsTooLarge, match="SLOT_MIB"):
        disk.check_fits(slot, slot.size + 1)


def test_the_slots_are_equal():
    _efi, slot_a, slot_b, _data = disk.partitions("arm64")

    assert (slot_a.size, slot_a.type) == (slot_b.size, slot_b.type)


def test_a_later_list_leaves_out_what_an_earlier_one_names():
    assert packages.chosen(["a1  # why\nb2\n", "# only\n-b2 # why\nc3\n"], "amd64") == ("a1", "c3")


def test_a_line_may_be_for_one_architecture():
    text = "kernel-amd64 [amd64]\nkernel-arm64 [arm64]  # why\n"

    assert packages.chosen([text], "arm64") == ("kernel-arm64",)


@pytest.mark.parametrize("line", ["two names", "name [riscv]", "UPPER", "name;rm"])
def test_a_line_that_is_not_understood_is_refused(line):
    with pytest.raises(packages.PackageLineNotUnderstood, match="is not understood"):
        packages.chosen([line], "amd64")


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_an_image_has_neither_ssh_nor_pip_nor_a_compiler(architecture):
    lists = [(DEPLOY / "packages.txt").read_text(), (DEPLOY / "image/packages.txt").read_text()]
    names = packages.chosen(lists, architecture)

    assert not {"openssh-server", "python3-venv", "python3-pip", "gcc", "build-essential"} & set(names)
    assert {"network-manager", "nftables", "modemmanager", "polkitd", "rauc", "redis-server"} <= set(names)


def test_the_fingerprint_changes_with_packages_and_recipe():
    assert len({packages.fingerprint(["a"]), packages.fingerprint(["b"]), packages.fingerprint(["a"], "x")}) == 3


def test_grubenv_has_always_the_size_that_grub_expects():
    block = boot.environment_block({"ORDER": "A B", "A_OK": "1"})

    assert len(block) == 1024
    assert block.startswith(b"# GRUB Environment Block\nORDER=A B\nA_OK=1\n#")


def test_grubenv_takes_no_more_than_fits():
    with pytest.raises(boot.BootEnvironmentIsFull):
        boot.environment_block({"ORDER": "A" * 1024})


def test_the_boot_loader_is_told_the_command_line():
    assert "@COMMAND_LINE@" in (DEPLOY / "image/grub.cfg").read_text()
    assert "net.ifnames=0" in boot.command_line("arm64")


def test_a_private_key_stops_the_image(tmp_path):
    (tmp_path / "text.txt").write_text('HEAD = "-----BEGIN PRIVATE KEY-----"')
    tree.refuse_private_keys(tmp_path)
    (tmp_path / "key.pem").write_text("-----BEGIN EC PRIVATE KEY-----\n" + "M" * 64)

    with pytest.raises(tree.PrivateKeyFound, match=r"key\.pem"):
        tree.refuse_private_keys(tmp_path)


def test_only_what_git_knows_is_in_an_image_and_the_rest_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    (tmp_path / "deploy").mkdir()
    for name in ("known", "changed", "removed"):
        (tmp_path / "deploy" / name).write_text(name)
    for words in ("init --quiet", "add .", "-c user.name=a -c user.email=a@b commit --quiet --message=first"):
        subprocess.run(["git", "-C", tmp_path, *words.split()], check=True)
    assert checkout.differences("deploy") == []
    (tmp_path / "deploy/changed").write_text("otherwise")
    (tmp_path / "deploy/removed").unlink()
    (tmp_path / "deploy/draft").write_text("unknown")

    checkout.copy_over(tmp_path / "deploy", tmp_path / "tree")

    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["changed", "known"]
    unknown, changed = checkout.differences("deploy")
    assert "deploy/draft" in unknown
    assert "deploy/changed" in changed


def test_the_service_port_has_no_name_that_the_kernel_gives_to_modems_and_cards():
    link = (DEPLOY / "70-station-service.link").read_text()
    (name,) = re.findall(r"^Name=(\w+)$", link, re.MULTILINE)

    assert "\nType=gadget\n" in link
    assert not re.fullmatch(r"(usb|eth|wwan|wlan)\d+", name)
    # Systemd's own file for network cards on USB must not come first.
    assert tree._PLACES["70-station-service.link"] == "usr/lib/systemd/network"
    assert f"STATION_SERVICE_INTERFACES={name}\n" in (DEPLOY / "station.env").read_text()
    assert f'elements = {{ "{name}" }}' in (DEPLOY / "station.nft").read_text()
    assert f"interface-name:{name}\n" in (DEPLOY / "50-station-network.conf").read_text()
    assert Networks().service == (name,)
    assert f":-{name}}}" in (DEPLOY / "image/root/usr/lib/station/service-network").read_text()
