"""Which device may be erased, over file trees in the form of the kernel's: never one of the running system."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle import block_device, codes
from appliance.bundle.block_device import Device


class Machine:
    """sysfs and procfs of a machine with a stick (sdb, 8:16) and whatever is added."""

    def __init__(self, folder: Path) -> None:
        self.system, self.processes = folder / "sys", folder / "proc"
        (self.processes / "self").mkdir(parents=True)
        self.mounts, self.swaps = "", "Filename Type Size Used Priority\n"
        usb = self.system / "devices/pci0000:00/usb1"
        self.write(usb / "serial", "0000:00:14.0")
        self.write(usb / "idVendor", "1d6b")
        self.write(usb / "1-2/serial", "4C53 0001\n")
        self.write(usb / "1-2/idVendor", "0781")
        self.add("sdb", "8:16", under="pci0000:00/usb1/1-2/host0/block")
        self.write(self.disk("sdb") / "device/model", "Ultra   \n")
        self.add("sda", "8:0")
        self.add("sda1", "8:1", of="sda")
        self.add("sda2", "8:2", of="sda")

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def disk(self, name: str) -> Path:
        return (self.system / "class/block" / name).resolve()

    def add(self, name: str, number: str, *, of: str = "", under: str = "virtual/block", on: tuple = ()) -> None:
        place = self.disk(of) / name if of else self.system / "devices" / under / name
        self.write(place / "dev", number)
        self.write(place / "size", str(8_000_000_000 // 512))
        self.write(place / "ro", "0")
        if of:
            self.write(place / "partition", "1")
        for link in (self.system / "dev/block" / number, self.system / "class/block" / name):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(place)
        for each in on:
            (place / "slaves").mkdir(exist_ok=True)
            (place / "slaves" / each).symlink_to(self.disk(each))
            (self.disk(each) / "holders").mkdir(exist_ok=True)
            (self.disk(each) / "holders" / name).symlink_to(place)

    def mount(self, number: str, at: str, source: str = "none") -> None:
        self.mounts += f"22 1 {number} / {at} rw,relatime shared:1 - ext4 {source} rw\n"

    def judge(self, name: str, needed: int = 1000) -> Device:
        (self.processes / "self/mountinfo").write_text(self.mounts)
        (self.processes / "swaps").write_text(self.swaps)
        number = (self.system / "class/block" / name / "dev").read_text()
        return block_device.judge(
            Path("/dev") / name, number, needed, system=self.system, processes=self.processes
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.mount("8:1", "/")
    return made


def test_a_stick_is_known_by_its_serial(machine: Machine) -> None:
    found = machine.judge("sdb")
    assert (found.name, found.size_bytes, found.model) == ("sdb", 8_000_000_000, "Ultra")
    assert found.confirmation == "4C53 0001"
    assert str(found) == "sdb, 8.0 GB, Ultra, serial 4C53 0001"


def test_one_without_a_serial_is_known_by_its_name_and_not_by_that_of_the_hub(machine: Machine) -> None:
    (machine.system / "devices/pci0000:00/usb1/1-2/serial").unlink()
    assert machine.judge("sdb").confirmation == "sdb"


def encrypted(machine: Machine) -> None:
    """LVM on LUKS on a partition of the stick, mounted."""
    machine.add("sdb1", "8:17", of="sdb")
    machine.add("dm-0", "253:0", on=("sdb1",))
    machine.add("dm-1", "253:1", on=("dm-0",))
    machine.mount("253:1", "/srv")


def raid_of_whole_disks(machine: Machine) -> None:
    machine.add("md0", "9:0", on=("sdb",))


def mounted_by_source(machine: Machine) -> None:
    machine.mount("0:44", "/data", source="/dev/sdb")


def swapped(machine: Machine) -> None:
    machine.add("sdb2", "8:18", of="sdb")
    machine.swaps += "/dev/sdb2 partition 1000 0 -2\n"


REFUSED = {
    "the system's disk": (lambda m: None, "sda", "mounted at / is on it"),
    "a partition of it": (lambda m: None, "sda2", "a partition of sda"),
    "mounted": (lambda m: m.mount("8:16", "/media/stick"), "sdb", "mounted at /media/stick is on it"),
    "a partition mounted": (
        lambda m: (m.add("sdb1", "8:17", of="sdb"), m.mount("8:17", "/m")), "sdb", "mounted at /m is on it"),
    "mounted, with a number of its own": (mounted_by_source, "sdb", "mounted at /data is on it"),
    "swap": (swapped, "sdb", "swap is on it"),
    "held by encryption": (encrypted, "sdb", "sdb1 is held by dm-0"),
    "held by a RAID": (raid_of_whole_disks, "sdb", "sdb is held by md0"),
    "read-only": (lambda m: m.write(m.disk("sdb") / "ro", "1"), "sdb", "read-only"),
    "too small": (lambda m: m.write(m.disk("sdb") / "size", "1"), "sdb", "it holds 512 bytes, 1000 are needed"),
    "empty, as a reader without a card": (lambda m: m.write(m.disk("sdb") / "size", "0"), "sdb", "it holds 0 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(machine: Machine, what: str) -> None:
    change, name, why = REFUSED[what]
    change(machine)
    with pytest.raises(ApplianceError) as caught:
        machine.judge(name)
    assert (caught.value.code, caught.value.code.exit_code) == (codes.DEVICE_REFUSED, 2)
    assert why in caught.value.message


def test_a_file_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "x.img").write_bytes(bytes(5000))
    for path in (tmp_path / "x.img", tmp_path, tmp_path / "absent", Path("/dev/null")):
        with pytest.raises(ApplianceError) as caught:
            block_device.examine(path, 1)
        assert caught.value.code is codes.DEVICE_REFUSED
