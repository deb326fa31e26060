"""The demo's collector with its dashboard: a process of its own on a ledger in the demo's folder, like a real one."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from agent.errors import UnreachableError

#: what `pip install '.[collector]'` brings; the agent itself does without
_EXTRA = ("fastapi", "sqlalchemy", "alembic", "uvicorn", "argon2")
_READY_S = 60.0
_STOP_S = 10.0


def check(port: int) -> None:
    """Raises UnreachableError when the collector is not installed, or the port is taken."""
    for package in _EXTRA:
        if importlib.util.find_spec(package) is None:
            raise UnreachableError("demo.no_collector", package=package)
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        detail = getattr(error, "strerror", None) or str(error)
        raise UnreachableError("demo.port_taken", port=port, detail=detail) from error


class Dashboard:
    """The collector as a child process; `stop` ends it."""

    def __init__(self, folder: Path, broker_port: int, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self._database = f"sqlite:///{folder / 'ledger.sqlite'}"
        self._broker = f"mqtt://127.0.0.1:{broker_port}"
        self._folder = folder
        self._log = folder / "collector.log"
        listen = ("--listen", f"127.0.0.1:{port}", "--guest", "operations")
        self._collector = self._spawn(
            "agent", "collector", "--database", self._database, "--mqtt", self._broker, *listen
        )
        self._books: subprocess.Popen[bytes] | None = None

    def await_ready(self) -> None:
        """Until it answers. Raises UnreachableError, with the last line of its log, when it does not."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self.alive:
            try:
                with urllib.request.urlopen(f"{self.url}api/health", timeout=2) as answer:  # noqa: S310 (our own)
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() or ["-"]
        raise UnreachableError("demo.collector_failed", log=self._log, detail=lines[-1])

    @property
    def alive(self) -> bool:
        """Whether the collector runs."""
        return self._collector.poll() is None

    def keep_books(self) -> None:
        """Play yesterday: its payments, the books of hospital and acquirer with planted differences, and reconcile."""
        self._books = self._spawn(
            "collector.demo",
            "--database",
            self._database,
            "--mqtt",
            self._broker,
            "--folder",
            str(self._folder / "books"),
        )

    def stop(self) -> None:
        """End it."""
        for process in (self._books, self._collector):
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _spawn(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the demo; it ends its parts in order
            )
