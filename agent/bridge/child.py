"""Starts and stops a bridge as the agent's child: in a session of its own, so that it outlives the agent's crash."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from agent.errors import UnreachableError
from agent.tap import Tap

_START_S = 5.0
_STOP_S = 3.0
_TRIES = 3


def settings_descriptor(settings: dict[str, Any]) -> int:
    """An inheritable descriptor that gives the settings as JSON; they never touch a disk or an argument list."""
    descriptor = os.memfd_create("tillwatch-settings")
    os.write(descriptor, json.dumps(settings).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    return descriptor


def command(descriptor: int) -> list[str]:
    """The bridge process's command line."""
    return [sys.executable, "-m", "agent.bridge", str(descriptor)]


def spawn_bridge(settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start a bridge and wait until it answers; the caller waits for its end. Raises UnreachableError."""
    descriptor = settings_descriptor(settings)
    try:
        process = subprocess.Popen(
            command(descriptor), stdin=subprocess.DEVNULL, pass_fds=[descriptor], start_new_session=True
        )
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UnreachableError("bridge.did_not_start", code=process.returncode)
        try:
            Tap.connect(Path(settings["run_dir"])).close()
        except UnreachableError:
            time.sleep(0.01)  # it is starting: there is no socket yet
        else:
            return process
    process.kill()
    process.wait()
    raise UnreachableError("bridge.did_not_start", code="time-out")


def stop_bridge(run_dir: Path) -> bool:
    """Ask a child bridge to end, and wait for it. False when there was none, or it is a service."""
    for _ in range(_TRIES):
        try:
            tap = Tap.connect(run_dir)
        except UnreachableError:
            return False
        try:
            process = os.pidfd_open(tap.hello.pid)
        except OSError:  # it has ended meanwhile
            tap.close()
            continue
        try:
            tap.request("stop")
            stopping = bool(tap.await_told("stopping"))
            if stopping:
                select.select([process], [], [], _STOP_S)
            return stopping
        except UnreachableError:  # it has become its successor, which was not asked yet
            continue
        finally:
            os.close(process)
            tap.close()
    return False
