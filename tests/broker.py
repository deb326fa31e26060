"""A real mosquitto for tests: its own folder, a free port, stopped or killed at will.

with Broker(tmp_path, users={"cashier-07": "secret"}) as broker:
    client.connect(broker.host, broker.port)
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_START_S = 15.0


@dataclass(frozen=True, slots=True)
class Tls:
    """The files a broker needs to speak TLS; `ca` makes it ask clients for a certificate."""

    certificate: Path
    key: Path
    ca: Path | None = None


class Broker:
    """One mosquitto. The port stays the same over `restart`, so that clients find it again."""

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        *,
        persistence: bool = False,
        users: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        options: str = "",
    ) -> None:
        """`users`: name → password; without them everybody is let in. `options`: more lines of mosquitto.conf."""
        self.folder = folder
        self.port = free_port()
        self.log = folder / "mosquitto.log"
        self._configuration = folder / "mosquitto.conf"
        self._persistence = persistence
        self._users = users
        self._tls = tls
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address as the configuration writes it."""
        return f"mqtt{'s' if self._tls else ''}://{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> Broker:
        """Start and wait until connections are accepted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(5):
            self._configuration.write_text(self._text(), encoding="utf-8")
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [_program("mosquitto"), "-c", str(self._configuration)], stdout=log, stderr=log
                )
            if self._accepts():
                return self
            if "Address already in use" not in self.log.read_text(errors="replace"):
                break
            self.port = free_port()  # somebody else took it between the question and the start
        self.kill()
        raise RuntimeError(f"mosquitto did not start:\n{self.log.read_text(errors='replace')}")

    def stop(self) -> None:
        """End it in good order; what it persists is written."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it where it runs, and start it on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Broker:
        return self.start()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _end(self, signal_number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal_number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _accepts(self) -> bool:
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self.pid is not None:
            try:
                socket.create_connection((self.host, self.port), 1).close()
            except OSError:
                time.sleep(0.02)  # polling: mosquitto does not say when it is ready
            else:
                return self.pid is not None
        return False

    def _text(self) -> str:
        # mosquitto changes to a user of its own when root starts it; that user can't read a test's folder.
        lines = ["user root", f"listener {self.port} {self.host}", "allow_zero_length_clientid true"]
        if self._tls:
            lines += [f"certfile {self._tls.certificate}", f"keyfile {self._tls.key}"]
            if self._tls.ca:
                lines += [f"cafile {self._tls.ca}", "require_certificate true", "use_identity_as_username true"]
        if self._users is None:
            lines.append("allow_anonymous true")
        else:
            lines += ["allow_anonymous false", f"password_file {self._passwords(self._users)}"]
        lines.append(f"persistence {'true' if self._persistence else 'false'}")
        if self._persistence:
            lines.append(f"persistence_location {self.folder}/")
        return "\n".join([*lines, self._options, ""])

    def _passwords(self, users: Mapping[str, str]) -> Path:
        path = self.folder / "passwords"
        path.write_text("".join(f"{name}:{password}\n" for name, password in users.items()), encoding="utf-8")
        path.chmod(0o600)
        subprocess.run([_program("mosquitto_passwd"), "-U", str(path)], check=True)
        return path


def free_port() -> int:
    """A TCP port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed: apt-get install mosquitto")
    return found
