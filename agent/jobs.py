"""Commands over MQTT that take long: each runs as a process of its own, `tillwatch VERB --json`, one at a time.

So neither the agent's loop nor its broker connection waits, and what such a command imports or breaks is gone with it.
What the process prints is the answer. None of these verbs moves money.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.commands import Command

#: a job that has not ended by then never will
LONGEST_S = 600.0
#: what a job may answer, in bytes: brokers bound their messages, and an answer is read by people
MOST_BYTES = 256 * 1024

#: `error` in one word or None, and what the verb printed
Done = Callable[[str | None, Any], None]


def diag_words(command: Command) -> Sequence[str]:
    """The words of a diagnosis, of one terminal where the command names one."""
    return ["diag", *([f"--terminal={command.terminal}"] if command.terminal else [])]


def bundle_words(_: Command) -> Sequence[str]:
    """The words of a support bundle that goes with the answer where it is small enough."""
    return ["diag", "--send"]


#: name of the command → the verb and its options, but for --json and --config
VERBS: Mapping[str, Callable[[Command], Sequence[str]]] = {"diag": diag_words, "bundle": bundle_words}


class Jobs:
    """Runs them. `config`: the agent's own configuration file."""

    def __init__(self, config: Path, verbs: Mapping[str, Callable[[Command], Sequence[str]]] = VERBS) -> None:
        self._config = config
        self._verbs = verbs
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def start(self, command: Command, done: Done) -> str | None:
        """Begin; returns why not, in one word. `done` is called in another thread when it has ended."""
        words = self._verbs.get(command.name)
        if words is None:
            return "not_supported"
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return "busy"
            own = [sys.executable, "-m", "agent", *words(command), "--json", "--config", str(self._config)]
            try:
                self._process = subprocess.Popen(
                    own, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
            except OSError:
                return "failed"
            self._thread = threading.Thread(target=_wait, args=(self._process, done), name="job", daemon=True)
            self._thread.start()
        return None

    def close(self) -> None:
        """End what runs."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
            thread = self._thread
        if thread is not None:
            thread.join(5)


def _wait(process: subprocess.Popen[bytes], done: Done) -> None:
    try:
        printed, complaint = process.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        done("timeout", None)
        return
    if len(printed) > MOST_BYTES:
        done("too_large", None)
        return
    try:
        result = json.loads(printed)
    except ValueError:
        result = None
    if result is None:
        done("failed", complaint.decode("utf-8", "replace").strip()[:500] or None)
    else:
        done(None, result)
