"""Runs in the guest, as root, by the package's own Python: tries the units under systemd and says what became of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.guest.hands import (
    AGENT,
    BRIDGE,
    CONTAINER,
    PASSTHROUGH,
    PORT,
    PYTHON,
    Payment,
    Trials,
    as_user,
    booked,
    command,
    link,
    pay,
    pid,
    ring,
    show,
    still_open,
    until,
)

CONFIG = """\
[agent]
id = "cashier-07"
language = "en"
port_group = "cashier"

[[terminal]]
name = "pos1"
protocol = "concert"
device = "serial:{device}"

[mqtt]
url = "mqtt://127.0.0.1:1883"
"""
#: tried inside a copy of the bridge's unit; each must be refused
FORBIDDEN = {
    "reads /etc/shadow": "open('/etc/shadow').read()",
    "lists /home": "assert os.listdir('/home')",
    "writes /usr": "open('/usr/x', 'w')",
    "writes /opt/tillwatch": "open('/opt/tillwatch/x', 'w')",
    "writes /etc/tillwatch": "open('/etc/tillwatch/x', 'w')",
    "opens the disk": "os.open('/dev/vda', os.O_RDONLY)",
    "opens /dev/mem": "os.open('/dev/mem', os.O_RDONLY)",
    "opens a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "makes a namespace": "assert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0",
    "mounts": "assert ctypes.CDLL(None, use_errno=True).mount(b'none', b'/mnt', b'tmpfs', 0, None) == 0",
    "makes a file setuid": "open('/tmp/x', 'w'); os.chmod('/tmp/x', 0o4755)",
    "maps memory to write and execute": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "sees root's processes": "assert os.path.exists('/proc/1/status')",
}
TRY = "try:\n    {words}\nexcept Exception:\n    pass\nelse:\n    found.append({name!r})\n"
PROBE = "import ctypes, errno, glob, json, mmap, os, socket\nfound = []\n" + "".join(
    TRY.format(words=words, name=name) for name, words in FORBIDDEN.items()
)
#: what the bridge needs. The cable is marked exclusive by the bridge itself: busy, and not forbidden.
ALLOWED = """\
os.openpty()
try:
    os.open(os.path.realpath(glob.glob('/dev/tillwatch/*')[0]), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
except OSError as error:
    assert error.errno == errno.EBUSY, error
ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)()
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
"""


def cable(_: Trials) -> str:
    """udev: the FTDI cable has its group, its stable name, and is left alone by ModemManager"""
    until(lambda: list(Path("/dev/tillwatch").glob("*")), 120, "a link in /dev/tillwatch")
    device = next(Path("/dev/tillwatch").glob("*"))
    found = device.stat()
    about = command("udevadm", "info", str(device))
    assert "ID_MM_DEVICE_IGNORE=1" in about, about
    assert command("stat", "-L", "-c", "%G %a", str(device)) == "tillwatch 660", oct(found.st_mode)
    latency = Path("/sys/class/tty", device.resolve().name, "device/latency_timer")
    assert not latency.exists() or latency.read_text().strip() == "1", latency.read_text()
    Path("/etc/tillwatch/agent.toml").write_text(CONFIG.format(device=device))
    return f"{device} -> {device.resolve()}"


def pty(trials: Trials) -> str:
    """a pty stands for the cable, as a container has no udev"""
    trials.plug()
    device = Path("/dev/tillwatch/cable")
    until(device.exists, 30, str(device))
    Path("/etc/tillwatch/agent.toml").write_text(CONFIG.format(device=device))
    return f"{device} -> {device.resolve()}"


def start(trials: Trials) -> str:
    """units start as docs/install.md says, and say that they are ready"""
    command("usermod", "-aG", "cashier", "tillwatch", fine=True)
    command("systemctl", "enable", "--now", BRIDGE, AGENT, fine=True)
    assert [show(unit, "ActiveState") for unit in (BRIDGE, AGENT)] == ["active", "active"]
    until(lambda: link() == "up", 120, "the line")
    trials.held = os.open(PORT, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    said = command("systemd-analyze", "security", "--no-pager", BRIDGE, AGENT, PASSTHROUGH)
    levels = [line.split(": ")[1].split()[0] for line in said.splitlines() if "exposure level" in line]
    return f"systemd {command('systemctl', '--version').split()[1]}, exposure {', '.join(levels)}"


def group(_: Trials) -> str:
    """port_group: the cashier application's user pays, another one may not open the port"""
    found = command("stat", "-L", "-c", "%U:%G %a", str(PORT))
    assert found == "tillwatch:cashier 660", found
    assert as_user("patient", "sh", "-c", f"exec 3<>{PORT}").returncode != 0
    pay(1001)
    booked(1001)
    return found


def check(_: Trials) -> str:
    """tillwatch check is green"""
    return command("tillwatch", "check", fine=True).splitlines()[-1]


def sandbox(_: Trials) -> str:
    """sandbox: nothing that is forbidden succeeds from inside the bridge's unit"""
    unit = Path("/lib/systemd/system", BRIDGE).read_text()
    drop = (
        "Type=",
        "NotifyAccess=",
        "Exec",
        "Restart=",
        "WatchdogSec=",
        "OnFailure=",
        "Conflicts=",
        "RuntimeDirectory",
    )
    lines = [line for line in unit.splitlines() if not line.startswith((*drop, "FileDescriptor", "Environment="))]
    lines.insert(lines.index("[Service]") + 1, f"Type=oneshot\nExecStart={PYTHON} -I /run/probe.py")
    Path("/run/systemd/system/probe.service").write_text("\n".join(lines) + "\n")
    Path("/run/probe.py").write_text(PROBE + ALLOWED + "print('succeeded:', json.dumps(found))\n")
    command("systemctl", "daemon-reload", fine=True)
    command("systemctl", "start", "probe.service")
    said = command("journalctl", "-u", "probe.service", "-o", "cat", "--no-pager")
    assert "succeeded: []" in said, said[-1000:]
    status = Path(f"/proc/{pid()}/status").read_text()
    for line in ("NoNewPrivs:\t1", "CapBnd:\t0000000000000000", "Seccomp:\t2"):
        assert line in status, status
    return f"{len(FORBIDDEN)} refused"


def killed(trials: Trials) -> str:
    """kill -9 of the bridge in the middle of a payment: same ring, same port, payment approved"""
    if not CONTAINER:
        trials.think(90)  # emulated, a bridge takes half a minute to start: longer than a terminal asks for an answer
    before, old = ring(), pid()
    with Payment(1002):
        os.kill(old, signal.SIGKILL)
        until(lambda: pid() not in (0, old), 120, "another bridge")
    assert ring() == before
    still_open(trials)
    booked(1002)
    if not CONTAINER:
        trials.think(10)
    return f"ring {before}, process {old} -> {pid()}"


def reloaded(trials: Trials) -> str:
    """systemctl reload in the middle of a payment: the successor has the same ring, payment approved"""
    before, old = (ring(), show(BRIDGE, "NRestarts")), pid()
    with Payment(1003):
        command("systemctl", "reload", BRIDGE, fine=True)
        until(lambda: pid() not in (0, old), 120, "the successor")
    assert (ring(), show(BRIDGE, "NRestarts")) == before
    still_open(trials)
    booked(1003)
    return ""


def upgraded(trials: Trials) -> str:
    """the package is upgraded in the middle of a payment: bridge handed over, agent started again"""
    bridge, agent, before = pid(), pid(AGENT), ring()
    trials.think(60)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    with Payment(1004):
        words = ["apt-get", "install", "--yes", "-o", "Acquire::http::Proxy=http://127.0.0.1:9", "/root/later.deb"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-300:] + done.stderr[-300:]
    version = command("dpkg-query", "-W", "-f=${Version}", "tillwatch")
    assert version.startswith("9+"), version
    until(lambda: pid() not in (0, bridge), 120, "the successor")
    assert ring() == before
    until(lambda: pid(AGENT) not in (0, agent) and show(AGENT, "ActiveState") == "active", 120, "the new agent")
    still_open(trials)
    booked(1004)
    trials.think(3)
    return f"to {version}"


def watchdog(trials: Trials) -> str:
    """watchdog: a bridge that hangs is started again, lines kept"""
    before, old = ring(), pid()
    os.kill(old, signal.SIGSTOP)
    began = time.monotonic()
    until(lambda: pid() not in (0, old), 90, "another bridge")
    until(lambda: link() == "up", 120, "the line")
    assert ring() == before
    assert "Watchdog timeout" in command("journalctl", "-u", BRIDGE, "--no-pager", "-n", "50")
    still_open(trials)
    pay(1005)
    booked(1005)
    return f"after {time.monotonic() - began:.0f} s"


def replugged(trials: Trials) -> str:
    """the cable is pulled out and plugged in: the line comes back by its stable name, the port stays open"""
    old = pid()
    trials.unplug()
    until(lambda: link() == "down", 120, "the line down")
    until(lambda: not list(Path("/dev/tillwatch").glob("*")), 60, "udev to take the link away")
    trials.plug()
    began = time.monotonic()
    until(lambda: link() == "up", 120, "the line up")
    took = time.monotonic() - began
    assert pid() == old
    still_open(trials)
    pay(1006)
    booked(1006)
    return f"up {took:.1f} s after"


def agent_killed(_: Trials) -> str:
    """kill -9 of the agent in the middle of a payment: nothing is missed"""
    with Payment(1007):
        os.kill(pid(AGENT), signal.SIGKILL)
    booked(1007)
    return ""


def storm(trials: Trials) -> str:
    """a bridge that keeps dying gives way to the passthrough, payments go on; and back"""
    os.close(trials.held)
    deaths = 0
    while show(PASSTHROUGH, "ActiveState") != "active":
        deaths += 1
        assert deaths < 30, "no passthrough after 30 deaths"
        found = pid()
        if found:
            os.kill(found, signal.SIGKILL)
        time.sleep(0.4)
    until(PORT.exists, 120, "the passthrough's port")
    assert command("stat", "-L", "-c", "%G", str(PORT)) == "cashier"
    pay(1008)
    command("systemctl", "reset-failed", BRIDGE)
    command("systemctl", "start", BRIDGE, AGENT, fine=True)
    assert show(PASSTHROUGH, "ActiveState") in ("inactive", "failed")
    until(lambda: link() == "up", 120, "the line")
    pay(1009)
    booked(1009)
    return f"after {deaths} deaths"


def silent(_: Trials) -> str:
    """no card number in the journal of systemd or on the disk of the state"""
    said = command("journalctl", "--no-pager", "-o", "cat")
    state = b"".join(path.read_bytes() for path in Path("/var/lib/tillwatch").rglob("*") if path.is_file())
    for card in ("4111111111111111", "5017670000003000"):
        assert card not in said
        assert card.encode() not in state
    return f"{len(said)} characters of log, {len(state)} bytes of state"


def purged(_: Trials) -> str:
    """purge: no unit, no user, no file"""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "purge", "--yes", "tillwatch"], env=environment, capture_output=True, check=True)
    left = command("sh", "-c", "find / -xdev -name '*tillwatch*' -not -path '/proc/*' -not -path '/var/log/*'")
    assert [line for line in left.splitlines() if "/root/" not in line and "/sys/" not in line] == [], left
    assert "no such user" in command("id", "tillwatch")
    assert show(BRIDGE, "LoadState") == "not-found"
    return ""


def main() -> None:
    """All trials, in an order in which one prepares the next."""
    trials = Trials()
    only = Path("/root/only").read_text().split()
    first = pty if CONTAINER else cable
    for trial in (
        *(first, start, group, check, sandbox, killed, reloaded, agent_killed, upgraded, watchdog, replugged),
        *(storm, silent, purged),
    ):
        if not only or trial in (first, start) or trial.__name__ in only:
            trials.run(trial)
    trials.say("end")
    subprocess.run(["systemctl", "poweroff"], check=False)
