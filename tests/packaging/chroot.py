"""A clean Debian in a folder, made by debootstrap, as root. It shares the network of the machine and no more."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from tests.waits import until

#: kept between two runs beside what build-deb keeps
CACHE = Path(os.environ.get("TILLWATCH_DEB_CACHE", Path.home() / ".cache" / "tillwatch-deb"))
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
#: what the package needs and recommends, so that it is installed without a network
INCLUDE = "openssl,ca-certificates,libusb-1.0-0,init-system-helpers"
_MOUNTS = {"proc": "proc", "dev": "/dev", "dev/pts": "/dev/pts"}
#: what any package leaves with any removal: lists, logs and backups of the machine's own tools
_NOT_OURS = ("var/lib/dpkg", "var/log", "var/cache", "var/lib/apt", "tmp", "root", "proc", "dev", "sys", "run/mount")
_BACKUPS = ("etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock")


def debian() -> Path:
    """The folder of a Debian that nobody has touched."""
    return debootstrap("bookworm-clean", INCLUDE)


def debootstrap(name: str, include: str) -> Path:
    """A minimal Debian with these packages, made once and kept below CACHE. Raises RuntimeError with the reason."""
    made = CACHE / name
    if not (made / ".ready").exists():
        for place in ("proc", "sys"):  # what one that was broken off has left mounted
            subprocess.run(["umount", "--quiet", str(made / place)], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", "--one-file-system", str(made)], check=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        words = ["debootstrap", "--variant=minbase", f"--include={include}", "bookworm", str(made), MIRROR]
        done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-1000:]}")
        (made / ".ready").touch()
    return made


class Chroot:
    """A copy of it, with /proc and /dev while it is in use."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "debian"
        subprocess.run(["cp", "-a", "--reflink=auto", str(debian()), str(self.root)], check=True)
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Chroot:
        for place, what in _MOUNTS.items():
            kind = ["-t", "proc", "proc"] if what == "proc" else ["--bind", what]
            subprocess.run(["mount", *kind, str(self.root / place)], check=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop_all()
        for place in reversed(_MOUNTS):
            subprocess.run(["umount", "--lazy", str(self.root / place)], check=False)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in it as root, to its end."""
        done = subprocess.run(self._inside(words), capture_output=True, text=True, check=False, env=_environment())
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, user: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a program in it as a user; its output goes to start.log."""
        with (self.root.parent / "start.log").open("ab") as log:
            inside = self._inside(("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *words))
            process = subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment())
        self._running.append(process)
        return process

    def stop_all(self) -> None:
        """End what was started, and the bridge's successor, which is nobody's child."""
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        for pid in self._inhabitants():
            os.kill(pid, signal.SIGTERM)
        until(lambda: not self._inhabitants(), what="nothing runs in it any more")

    def _inhabitants(self) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if (process / "root").readlink() == self.root:
                    found.append(int(process.name))
        return found

    @property
    def log(self) -> str:
        """What the started programs have said."""
        return (self.root.parent / "start.log").read_text(errors="replace")

    def write(self, path: str, text: str) -> None:
        """Write a file in it."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def files(self) -> dict[str, str]:
        """Every file of it with what it is: a digest, the target of a link, or a folder."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            inside = Path(folder).relative_to(self.root)
            folders[:] = [name for name in folders if str(inside / name) not in _NOT_OURS]
            for name in (*folders, *names):
                path = Path(folder) / name
                if str(inside / name) not in _BACKUPS:
                    found[str(inside / name)] = _what(path)
        return found

    def _inside(self, words: tuple[str, ...]) -> list[str]:
        return ["chroot", str(self.root), *words]


def _what(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "folder" if path.is_dir() else "special"


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
