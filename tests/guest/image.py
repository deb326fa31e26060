"""The guest's files and its disk: Debian with systemd, a kernel, mosquitto, and the packages to try."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.packaging.chroot import debootstrap

_INCLUDE = ",".join(
    ("systemd,systemd-sysv,udev,dbus,linux-image-amd64,initramfs-tools,kmod", "mosquitto,openssl,libusb-1.0-0,socat")
)
_INSIDE = ("__init__.py", "hands.py", "inside.py")
_SIZE = "2G"
_UNIT = """\
[Unit]
Description=tillwatch is tried
After=multi-user.target
FailureAction=poweroff

[Service]
Type=oneshot
ExecStart=/bin/sh /root/begin
StandardOutput=journal+console
StandardError=journal+console
"""
_BEGIN = """\
set -e
useradd --create-home patient
groupadd cashier
useradd --create-home --gid cashier cashier
apt-get install --yes --no-install-recommends -o Acquire::http::Proxy=http://127.0.0.1:9 /root/tillwatch.deb
exec /opt/tillwatch/bin/python3.11 -I /root/begin.py
"""
_BEGIN_PY = """\
import sys

sys.path.append("/root")
from tests.guest.inside import main

main()
"""


@dataclass(frozen=True, slots=True)
class Image:
    """What QEMU needs to boot."""

    disk: Path
    kernel: Path
    initrd: Path


def tree(folder: Path, package: Path, later: Path, only: list[str]) -> Path:
    """A fresh tree of files. `later`: the same package as a later version. `only`: names of trials; none means all."""
    root = folder / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", str(debootstrap("bookworm-guest", _INCLUDE)), str(root)], check=True)
    shutil.copy(package, root / "root" / "tillwatch.deb")
    shutil.copy(later, root / "root" / "later.deb")
    (root / "root/tests/guest").mkdir(parents=True)
    for name in _INSIDE:
        shutil.copy(Path(__file__).with_name(name), root / "root/tests/guest" / name)
    (root / "root" / "begin").write_text(_BEGIN)
    (root / "root" / "begin.py").write_text(_BEGIN_PY)
    (root / "root" / "only").write_text(" ".join(only))
    (root / "etc/systemd/system/tried.service").write_text(_UNIT)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "tried.service").symlink_to("../tried.service")
    (root / "etc/hostname").write_text("cashier-07\n")
    (root / "etc/mosquitto/conf.d/open.conf").write_text("listener 1883 127.0.0.1\nallow_anonymous true\n")
    return root


def disk(folder: Path, root: Path) -> Image:
    """The tree as a disk; the tree is gone then."""
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    slow = root / "etc/systemd/system.conf.d/slow.conf"  # emulated, Python takes a minute to start
    slow.parent.mkdir(exist_ok=True)
    slow.write_text("[Manager]\nDefaultTimeoutStartSec=900s\n")
    settings = root / "etc/initramfs-tools"
    (settings / "conf.d/small").write_text("MODULES=list\nCOMPRESS=gzip\n")
    (settings / "modules").write_text("virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n")
    subprocess.run(["chroot", str(root), "update-initramfs", "-u"], check=True, stdout=subprocess.DEVNULL)
    kernel = next((root / "boot").glob("vmlinuz-*"))
    initrd = next((root / "boot").glob("initrd.img-*"))
    for each in (kernel, initrd):
        shutil.copy(each, folder / each.name)
    made = folder / "disk.raw"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(made), _SIZE], check=True)
    shutil.rmtree(root)
    return Image(made, folder / kernel.name, folder / initrd.name)
