"""A real PostgreSQL for tests: a cluster of its own in a folder, reached by its Unix socket only, gone afterwards.

with Cluster(folder) as cluster:
    url = cluster.create()
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql

_START_S = 60.0
#: The tests' data is thrown away: nothing has to survive a power cut.
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Cluster:
    """One server. Its socket's folder is as short as sun_path wants it. `settings` are those of postgresql.conf."""

    def __init__(self, settings: tuple[str, ...] = _QUICK) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._settings = (
            *settings,
            "listen_addresses=",
            f"unix_socket_directories={self.folder}",
            "max_connections=60",
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        # The server refuses to run as root; the package has brought this user.
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._user:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)

    def __enter__(self) -> Cluster:
        try:
            self._run(
                "initdb",
                "-D",
                str(self._data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
                "--locale=C",
            )
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server and wait until it lets us in."""
        options = [word for setting in self._settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", str(self._data), *options], stdout=log, stderr=log, **self._as_user()
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self._address("postgres")).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")) from None
                time.sleep(0.02)  # polling: the server does not say when it is ready

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends sessions and shuts down, SIGQUIT is a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(30)

    def close(self) -> None:
        """Stop it and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, template: str = "template1") -> str:
        """A new database, a copy of `template`; returns its address."""
        self._count += 1
        name = f"db{self._count}"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Throw a database away."""
        name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        """The address of a database of this cluster."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _address(self, name: str) -> str:
        return f"host={self.folder} user=postgres dbname={name}"

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [_program(program), *words], capture_output=True, text=True, check=False, **self._as_user()
        )
        if done.returncode:
            raise RuntimeError(done.stderr)

    def _as_user(self) -> dict[str, object]:
        user = self._user
        if user is None:
            return {}
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": self.folder}


def _program(name: str) -> str:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name) or next((str(f / name) for f in folders if (f / name).exists()), None)
    if found is None:
        raise RuntimeError(f"{name} is not installed: apt-get install postgresql")
    return found
