"""The package in a clean Debian: what docs/install.md says, done. `make test-deb` builds it first."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.packaging.chroot import Chroot
from tests.subscriber import Subscriber
from tests.waits import until

PACKAGE = os.environ.get("TILLWATCH_DEB", "")
TERMINAL = "/var/lib/tillwatch/terminal"
CONFIG = """\
[agent]
id = "cashier-07"
site = "outpatient-1"
language = "en"

[[terminal]]
name = "pos1"
protocol = "concert"
device = "serial:/var/lib/tillwatch/terminal"

[mqtt]
url = "{broker}"
"""
PAY = """\
from pathlib import Path
from agent.demo.cashier import Manner, pay_concert
print(pay_concert(Path("/run/tillwatch/pos1"), {amount}, Manner.PROPER, 20))
"""
DEBIAN_SCRIPTS = Path(__file__).parents[2] / "packaging" / "debian"

needs_package = pytest.mark.skipif(
    not PACKAGE or os.geteuid() != 0 or shutil.which("debootstrap") is None,
    reason="make test-deb, as root, with debootstrap",
)


@pytest.fixture
def chroot(tmp_path: Path) -> Iterator[Chroot]:
    with Chroot(tmp_path) as made:
        yield made


def install(chroot: Chroot, package: Path) -> str:
    """As docs/install.md says, and without a network."""
    shutil.copy(package, chroot.root / "tmp")
    offline = ("-o", "Acquire::http::Proxy=http://127.0.0.1:9")
    return chroot.run("apt-get", "install", "--yes", *offline, f"/tmp/{package.name}").stdout


def newer(package: Path, folder: Path) -> Path:
    """The same as a later version."""
    return repacked(package, folder, "9+")


def repacked(package: Path, folder: Path, before_version: str = "") -> Path:
    """The same without compression, and with this before its version."""
    unpacked = folder / f"unpacked{before_version}"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(unpacked)], check=True)
    control = unpacked / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("\nVersion: ", f"\nVersion: {before_version}"))
    made = folder / f"tillwatch_{before_version}amd64.deb"
    quickly = ["dpkg-deb", "--root-owner-group", "-Znone", "--build"]
    subprocess.run([*quickly, str(unpacked), str(made)], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(unpacked)
    return made


def pay(chroot: Chroot, amount: int) -> str:
    return chroot.run("/opt/tillwatch/bin/python3.11", "-c", PAY.format(amount=amount)).stdout.strip()


def check(chroot: Chroot) -> list[dict[str, str]]:
    """Every line of `tillwatch check`, of which none fails."""
    done = chroot.run("tillwatch", "check", "--json")
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def start_all(chroot: Chroot) -> subprocess.Popen[bytes]:
    """What systemd does with the units, in their order; gives the bridge."""
    for folder in ("/var/lib/tillwatch", "/run/tillwatch"):
        chroot.run("install", "-d", "-o", "tillwatch", "-g", "tillwatch", "-m", "755", folder)
    chroot.start("tillwatch", "tillwatch", "simulate", "concert", "--pty", TERMINAL, "--think", "0")
    until(lambda: os.path.lexists(f"{chroot.root}{TERMINAL}"), what="the simulated terminal")
    bridge = chroot.start("tillwatch", "tillwatch", "bridge")
    until(lambda: "link.up" in chroot.log, 30, "the terminal's line: " + chroot.log)
    chroot.start("tillwatch", "env", "TILLWATCH_BRIDGE=service", "tillwatch", "run")
    until(lambda: "agent.ready" in chroot.log, 30, "the agent: " + chroot.log)
    return bridge


@needs_package
@pytest.mark.timeout(900)
def test_install_check_pay_upgrade_remove_purge(chroot: Chroot, tmp_path: Path) -> None:
    package = Path(PACKAGE).resolve()
    before = chroot.files()
    said = install(chroot, package)
    assert "edit /etc/tillwatch/agent.toml" in said
    config = chroot.root / "etc/tillwatch/agent.toml"
    assert config.read_text() == (chroot.root / "usr/share/doc/tillwatch/examples/agent.toml").read_text()
    assert config.stat().st_mode & 0o777 == 0o640
    assert not list(chroot.root.glob("etc/systemd/system/*.wants/tillwatch*")), "an example was switched on"

    with Broker(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        chroot.write("/etc/tillwatch/agent.toml", CONFIG.format(broker=broker.url))
        bridge = start_all(chroot)
        assert [line for line in check(chroot) if line["state"] == "fail"] == []
        assert pay(chroot, 1234) == "0"
        until(lambda: completed(subscriber) == [1234], 20, "the event")

        install(chroot, newer(package, tmp_path))
        assert chroot.run("dpkg-query", "-W", "-f=${Version}", "tillwatch").stdout.startswith("9+")
        assert config.read_text() == CONFIG.format(broker=broker.url), "an upgrade has changed the configuration"
        ready = chroot.log.count("bridge.ready")
        bridge.send_signal(signal.SIGHUP)  # what systemctl reload does
        until(lambda: chroot.log.count("bridge.ready") > ready, 30, "the successor")
        assert bridge.wait(30) == 0, "the old process has handed over"
        assert pay(chroot, 2345) == "0"
        until(lambda: completed(subscriber) == [1234, 2345], 20, "the second event")
        assert [line for line in check(chroot) if line["state"] == "fail"] == []
        chroot.stop_all()

    chroot.run("apt-get", "remove", "--yes", "tillwatch")
    assert not (chroot.root / "opt/tillwatch").exists()
    assert config.exists(), "only a purge takes the configuration"
    assert (chroot.root / "var/lib/tillwatch/journal.sqlite").exists(), "only a purge takes the journal"
    chroot.run("apt-get", "purge", "--yes", "tillwatch")
    after = chroot.files()
    assert {path: what for path, what in after.items() if before.get(path) != what} == {}
    assert set(before) - set(after) == set()


def completed(subscriber: Subscriber) -> list[int]:
    return [event["data"]["amount"] for event in subscriber.events if event["type"] == "transaction.completed"]


@needs_package
@pytest.mark.timeout(300)
def test_a_configuration_that_is_there_first_is_kept_and_switches_the_services_on(chroot: Chroot) -> None:
    chroot.write("/etc/tillwatch/agent.toml", CONFIG.format(broker="mqtt://127.0.0.1:1"))
    install(chroot, Path(PACKAGE).resolve())
    assert (chroot.root / "etc/tillwatch/agent.toml").read_text() == CONFIG.format(broker="mqtt://127.0.0.1:1")
    wanted = chroot.root / "etc/systemd/system/multi-user.target.wants"
    assert sorted(path.name for path in wanted.glob("tillwatch*")) == [
        "tillwatch-agent.service",
        "tillwatch-bridge.service",
    ]
    chroot.run("apt-get", "purge", "--yes", "tillwatch")
    assert list(wanted.glob("tillwatch*")) == []


@needs_package
def test_the_c_library_of_uos_v20_is_enough() -> None:
    """The compile has looked for the newest symbol; here is the number that came of it."""
    fields = ["dpkg-deb", "--field", PACKAGE, "Depends"]
    needs = subprocess.run(fields, capture_output=True, text=True, check=True).stdout
    major, minor = needs.split("libc6 (>= ")[1].split(")")[0].split(".")
    assert (int(major), int(minor)) <= (2, 28), "UOS V20 has 2.28"


@needs_package
def test_starting_takes_no_longer_than_a_technician_waits(chroot: Chroot) -> None:
    """The bytecode is there: nothing is compiled at the first start, when nobody could keep the result either."""
    install(chroot, Path(PACKAGE).resolve())
    site = chroot.root / "opt/tillwatch/lib/python3.11"
    sources = {path for path in site.rglob("*.py") if "lib2to3" not in path.parts}
    missing = [path for path in sources if not (path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc").exists()]
    assert missing == []
    began = time.monotonic()
    assert chroot.run("tillwatch", "--version").stdout.startswith("tillwatch ")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_are_sh_and_refuse_what_dpkg_does_not_say(script: str) -> None:
    """An unknown word ends before anything is touched."""
    path = DEBIAN_SCRIPTS / script
    subprocess.run(["sh", "-n", str(path)], check=True)
    assert path.stat().st_mode & 0o111
    done = subprocess.run(["sh", str(path), "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown argument nonsense" in done.stderr
