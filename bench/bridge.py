"""Round trip, bulk and memory of the bridge, beside socat and a bare pty in the same run; ring and tap are on.

python -m bench bridge
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.bridge.child import spawn_bridge, stop_bridge
from agent.errors import UnreachableError
from agent.tap import bridge_status

FRAMES, FRAME, BULK, ROUNDS = 1500, 64, 2_000_000, 3


def run() -> Iterator[dict[str, Any]]:
    """One JSON object a subject: the median of some rounds."""
    subjects: dict[str, Callable[[], dict[str, float]]] = {"direct pty": _direct, "bridge": _bridge}
    if shutil.which("socat"):
        subjects["socat"] = _socat
    # Rounds are interleaved, so that a busy moment of the machine meets all of them.
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, measure in subjects.items():
            rounds[name].append(measure())
    middle = {
        name: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for name, results in rounds.items()
    }
    for name, row in middle.items():
        figure: dict[str, Any] = {"subject": name} | {key: round(value, 2) for key, value in row.items()}
        if "socat" in middle:
            for key in ("p50_us", "p99_us", "bulk_MB_s"):
                figure[f"{key}_vs_socat"] = round(row[key] / middle["socat"][key], 2)
        yield figure


def _direct() -> dict[str, float]:
    far, near, _ = _raw_pty()
    try:
        return _measure(near, far)
    finally:
        os.close(far)
        os.close(near)


def _socat() -> dict[str, float]:
    far, slave, path = _raw_pty()
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "port")
        words = ["socat", f"{path},raw,echo=0", f"PTY,link={link},raw,echo=0"]
        process = subprocess.Popen(words)
        try:
            return _through(link, far, lambda: _resident(process.pid))
        finally:
            process.terminate()
            process.wait()
            os.close(far)
            os.close(slave)


def _bridge() -> dict[str, float]:
    far, slave, path = _raw_pty()
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "port")
        settings = {
            "run_dir": folder,
            "ring_bytes": 4 << 20,
            "child": True,
            "digest": "",
            "log_format": "json",
            "log_level": "error",
            "language": "en",
            "lines": [
                {
                    "name": "pos1",
                    "device": f"serial:{path}",
                    "cashier": f"pty:{link}",
                    "baudrate": 9600,
                    "follow": False,
                    "bytesize": 8,
                    "parity": "N",
                    "stopbits": 1,
                    "flow": "none",
                }
            ],
        }
        started = time.perf_counter()
        process = spawn_bridge(settings)
        _until(lambda: _link_up(Path(folder)))
        ready = time.perf_counter() - started
        tap = subprocess.Popen([sys.executable, "-c", _READER, folder])  # as the agent does, in a process of its own
        _until(lambda: tap.poll() is None)
        try:
            measured = _through(link, far, lambda: _resident(process.pid))
            return measured | {"line_up_after_s": ready, "beside_ring_MiB": _beside_ring(process.pid)}
        finally:
            tap.kill()
            tap.wait()
            stop_bridge(Path(folder))
            process.wait()
            os.close(far)
            os.close(slave)


_READER = """
import sys
from pathlib import Path
from agent.tap import Tap
tap = Tap.connect(Path(sys.argv[1]))
tap.request("tap", **{"from": None})
while True:
    tap.receive()
"""


def _through(link: Path, far: int, resident: Callable[[], float]) -> dict[str, float]:
    _until(link.exists)
    time.sleep(0.5)
    near = os.open(link, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(near)
    try:
        return _measure(near, far) | {"resident_MiB": resident()}
    finally:
        os.close(near)


def _measure(near: int, far: int) -> dict[str, float]:
    """Round trips of a frame that the far end sends back, then bytes one way as fast as they go."""
    stop = threading.Event()

    def echo() -> None:
        while not stop.is_set():
            if select.select([far], [], [], 0.1)[0]:
                os.write(far, os.read(far, 65536))

    peer = threading.Thread(target=echo, daemon=True)
    peer.start()
    frame, times = os.urandom(FRAME), []
    for number in range(FRAMES + 50):
        started = time.perf_counter()
        os.write(near, frame)
        if _read(near, FRAME) != frame:
            raise SystemExit("bytes changed on the way")
        if number >= 50:
            times.append((time.perf_counter() - started) * 1e6)
        time.sleep(0.0005)
    stop.set()
    peer.join()
    blob, started = os.urandom(BULK), time.perf_counter()
    threading.Thread(target=_push, args=(near, blob), daemon=True).start()
    if _read(far, BULK) != blob:
        raise SystemExit("bytes changed on the way")
    rate = BULK / (time.perf_counter() - started) / 1e6
    times.sort()
    return {"p50_us": times[len(times) // 2], "p99_us": times[int(len(times) * 0.99)], "bulk_MB_s": rate}


def _push(descriptor: int, blob: bytes) -> None:
    for at in range(0, len(blob), 1024):
        os.write(descriptor, blob[at : at + 1024])


def _read(descriptor: int, size: int) -> bytes:
    data = bytearray()
    deadline = time.monotonic() + 60
    while len(data) < size and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.5)[0]:
            data += os.read(descriptor, min(65536, size - len(data)))
    return bytes(data)


def _raw_pty() -> tuple[int, int, str]:
    master, slave = pty.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    return master, slave, os.ttyname(slave)


def _link_up(run_dir: Path) -> bool:
    try:
        return bool(bridge_status(run_dir)["lines"]["pos1"]["link"] == "up")
    except UnreachableError:
        return False


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _beside_ring(pid: int) -> float:
    """Resident memory without the pages of the ring."""
    ring, inside = 0.0, False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="ascii", errors="replace").splitlines():
        if "-" in line.split(" ")[0]:
            inside = "memfd:tillwatch-ring" in line
        elif inside and line.startswith("Rss:"):
            ring += int(line.split()[1]) / 1024
    return _resident(pid) - ring


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("did not start")
        time.sleep(0.005)
