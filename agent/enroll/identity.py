"""The files of this PC's identity: one folder below state_dir, where the agent may write and only it may read.

Not beside the configuration: the agent renews its certificate itself, and its unit may write nothing below /etc.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.checks.certificate import Validity, validity_of_file
from agent.enroll import keys
from agent.enroll.errors import EnrolError


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What was agreed at enrolment. `fleet_key`: the public key (base64) that signs the fleet's configuration."""

    collector: str
    agent: str
    site: str
    broker: str
    fleet_key: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The folder and what is in it."""

    folder: Path

    @classmethod
    def below(cls, state_dir: Path) -> Identity:
        """The identity of the agent that keeps its journal there."""
        return cls(state_dir / "identity")

    @property
    def key(self) -> Path:
        """The private key, 0600."""
        return self.folder / "agent.key"

    @property
    def next_key(self) -> Path:
        """The key of an enrolment that is under way, kept so that a lost answer can be asked for again."""
        return self.folder / "next.key"

    @property
    def certificate(self) -> Path:
        """The certificate, replaced when it is renewed."""
        return self.folder / "agent.pem"

    @property
    def authority(self) -> Path:
        """Who signs our certificate, the broker's and the collector's."""
        return self.folder / "ca.pem"

    def enrolment(self) -> Enrolment | None:
        """What was agreed; None when this PC was never enrolled. Raises EnrolError when the file is damaged."""
        try:
            found = json.loads(self._agreed.read_text(encoding="utf-8"))
            return Enrolment(**{name: str(found[name]) for name in Enrolment.__slots__})
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise EnrolError("enroll.not_readable", path=self._agreed, reason=error.strerror) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EnrolError(
                "enroll.damaged", path=self._agreed, reason=getattr(error, "strerror", None) or error
            ) from error

    def validity(self) -> Validity | None:
        """From when until when the certificate is good."""
        return validity_of_file(self.certificate)

    def holds(self, certificate: str) -> bool:
        """Whether this is the certificate that is there."""
        try:
            return self.certificate.read_text(encoding="ascii", errors="replace").strip() == certificate.strip()
        except OSError:
            return False

    def make_folder(self) -> None:
        """The folder, 0700, of the user that owns state_dir (the agent's, also when root enrols)."""
        state_dir = self.folder.parent
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._give(self.folder)
        except OSError as error:
            raise EnrolError("enroll.not_written", path=self.folder, reason=error.strerror or error) from error

    def make_next_key(self) -> None:
        """The key of an enrolment, where none is under way. Raises EnrolError, or DoorError without openssl."""
        if not self.next_key.exists():
            with self._beside(self.next_key) as (descriptor, name):
                keys.make_key(descriptor)
                os.replace(name, self.next_key)
            self._sync()

    def begin(self, authority: str, certificate: str, agreed: Enrolment) -> None:
        """A new identity is whole: its key, certificate and authority take their places. Raises EnrolError.

        All is written before anything is replaced, so a full disk leaves the former identity as it was.
        """
        texts = {
            self.authority: authority,
            self._agreed: json.dumps(asdict(agreed), indent=2) + "\n",
            self.certificate: certificate,
        }
        with contextlib.ExitStack() as written:
            ready = {path: self._written(written, path, text) for path, text in texts.items()}
            for path, name in ready.items():
                os.replace(name, path)
            self.take_next_key()

    def take_next_key(self) -> None:
        """The key of an enrolment takes its place."""
        self.next_key.replace(self.key)
        self._sync()

    def write(self, path: Path, text: str) -> None:
        """A file of the folder, whole or as it was, durable, 0600. Raises EnrolError."""
        with contextlib.ExitStack() as written:
            os.replace(self._written(written, path, text), path)
            self._sync()

    @property
    def _agreed(self) -> Path:
        return self.folder / "enrolment.json"

    def _written(self, written: contextlib.ExitStack, path: Path, text: str) -> str:
        """A file beside the path that holds the text, gone with the stack unless it was moved."""
        descriptor, name = written.enter_context(self._beside(path))
        with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        return name

    @contextlib.contextmanager
    def _beside(self, path: Path) -> Iterator[tuple[int, str]]:
        """An empty file beside the path, the agent's own, 0600. By its descriptor: the folder may be another user's."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=f".{path.name}.")
            try:
                self._give(descriptor)
                yield descriptor, name
            finally:
                os.close(descriptor)
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise EnrolError("enroll.not_written", path=path, reason=error.strerror or error) from error

    def _sync(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _give(self, place: Path | int) -> None:
        owner = self.folder.parent.stat()
        if os.geteuid() == 0:
            with contextlib.suppress(PermissionError):  # a folder on a share that knows no owners
                os.chown(place, owner.st_uid, owner.st_gid)
