"""The files of this PC's identity: one folder below state_dir, where the agent may write and only it may read.

Not beside the configuration: the agent renews its certificate itself, and its unit may write nothing below /etc.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.checks.certificate import Validity, validity_of_file
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

    def make_folder(self) -> None:
        """The folder, 0700, of the user that owns state_dir (the agent's, also when root enrols)."""
        state_dir = self.folder.parent
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._give(self.folder)
        except OSError as error:
            raise EnrolError("enroll.not_written", path=self.folder, reason=error.strerror or error) from error

    def begin(self, authority: str, certificate: str, agreed: Enrolment) -> None:
        """A new identity is whole: its key, certificate and authority take their places."""
        self.write(self.authority, authority)
        self.write(self._agreed, json.dumps(asdict(agreed), indent=2) + "\n")
        self.write(self.certificate, certificate)
        self._owned_by_agent(self.next_key)
        self.next_key.replace(self.key)

    def write(self, path: Path, text: str) -> None:
        """A file of the folder, whole or as it was, durable, 0600. Raises EnrolError."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=f".{path.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                self._owned_by_agent(Path(name))
                os.replace(name, path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise EnrolError("enroll.not_written", path=path, reason=error.strerror or error) from error

    @property
    def _agreed(self) -> Path:
        return self.folder / "enrolment.json"

    def _owned_by_agent(self, path: Path) -> None:
        path.chmod(0o600)
        self._give(path)

    def _give(self, path: Path) -> None:
        owner = self.folder.parent.stat()
        if os.geteuid() == 0:
            with contextlib.suppress(PermissionError):  # a folder on a share that knows no owners
                os.chown(path, owner.st_uid, owner.st_gid)
