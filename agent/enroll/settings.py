"""What the configuration has to say after enrolment: shown to be pasted, or written into the file.

The file is people's: writing changes the keys of the identity and nothing else, keeps every comment, and either ends in
a file that says what was meant or leaves the old one.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config_schema import AGENT
from agent.config_source import Source, UnreadableError, read
from agent.config_values import RefusedError
from agent.enroll.enrol import Enrolled
from agent.enroll.errors import EnrolError, PlaceError

_HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]\s*(#.*)?")
_ANY_HEADER = re.compile(r"\s*\[")


@dataclass(frozen=True, slots=True)
class Place:
    """The configuration, as far as it matters before there is an identity. None: it does not say."""

    path: Path
    agent: str | None
    site: str | None
    state_dir: Path
    run_dir: Path


def place_of(path: Path, environ: Mapping[str, str] = os.environ) -> Place:
    """Read what is there: the file may be missing, and may lack what only the identity makes complete.

    Raises PlaceError when it is no TOML, or the values needed here can't be used.
    """
    try:
        source = read(path)
    except UnreadableError as error:
        if error.why.key != "config.missing":
            raise PlaceError("enroll.config", path=path, reason=error.why) from error
        source = Source(path, {}, {})
    found = source.data.get("agent", {})
    found = dict(found) if isinstance(found, dict) else {}
    values: dict[str, object] = {}
    for name in ("id", "site", "state_dir", "run_dir"):
        key = AGENT.key(name)
        if key is None:
            continue
        text = environ.get(f"TILLWATCH_AGENT__{name.upper()}")
        value = text if text is not None else found.get(name, key.default if name.endswith("_dir") else None)
        try:
            values[name] = None if value is None else key.kind.read(value)
        except RefusedError as error:
            raise PlaceError("enroll.config", path=f"{path}: agent.{name}", reason=error.why) from error
    agent, site = values["id"], values["site"]
    return Place(
        path,
        str(agent) if agent is not None else None,
        str(site) if site is not None else None,
        Path(str(values["state_dir"])),
        Path(str(values["run_dir"])),
    )


def lines(done: Enrolled) -> str:
    """The tables to paste."""
    parts = []
    for table, values in _wanted(done).items():
        parts += [f"[{table}]", *(f"{name} = {_quoted(value)}" for name, value in values.items()), ""]
    return "\n".join(parts)


def write(place: Place, done: Enrolled) -> None:
    """Put the keys into the file, which is made when there is none. Raises EnrolError; the file is then as it was."""
    path = place.path
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        for table, values in _wanted(done).items():
            text = _with(text, table, values)
        _check(text, done)
        _replace(path, text)
    except (OSError, UnicodeDecodeError) as error:
        raise EnrolError("enroll.not_written", path=path, reason=getattr(error, "strerror", None) or error) from error


def _wanted(done: Enrolled) -> dict[str, dict[str, str]]:
    identity, agreed = done.identity, done.agreed
    mqtt = {"url": agreed.broker}
    if agreed.broker.startswith("mqtts"):
        mqtt |= {
            "ca_file": str(identity.authority),
            "cert_file": str(identity.certificate),
            "key_file": str(identity.key),
        }
    return {"agent": {"id": agreed.agent, "site": agreed.site}, "mqtt": mqtt}


def _with(text: str, table: str, values: Mapping[str, str]) -> str:
    """The text with these keys in that table: lines that set them are replaced, others stay where they are."""
    rows = text.split("\n")
    start = next((n for n, row in enumerate(rows) if (m := _HEADER.fullmatch(row)) and m[1] == table), None)
    new = [f"{name} = {_quoted(value)}" for name, value in values.items()]
    if start is None:
        while rows and not rows[-1].strip():
            rows.pop()
        return "\n".join([*rows, *([""] if rows else []), f"[{table}]", *new, ""])
    end = next((n for n in range(start + 1, len(rows)) if _ANY_HEADER.match(rows[n])), len(rows))
    setting = re.compile(rf"\s*({'|'.join(values)})\s*=")
    kept = [row for row in rows[start + 1 : end] if not setting.match(row)]
    return "\n".join([*rows[: start + 1], *new, *kept, *rows[end:]])


def _check(text: str, done: Enrolled) -> None:
    """Raises EnrolError when the file would not say what it should: it was written in a way we can't change."""
    try:
        data = tomllib.loads(text)
        for table, values in _wanted(done).items():
            if any(data[table][name] != value for name, value in values.items()):
                raise KeyError(table)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EnrolError("enroll.cannot_write") from error


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        before = path.stat() if path.exists() else None
        os.chmod(name, (before.st_mode & 0o777) if before else 0o644)
        if before and os.geteuid() == 0:
            os.chown(name, before.st_uid, before.st_gid)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
