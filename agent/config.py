"""The agent's configuration: `load` reads file and environment into frozen values, or says in one line what is wrong.

Types, defaults and meanings of the keys are in config_schema.py; rules between keys in config_rules.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.config_values import Address
from agent.errors import ConfigError
from agent.phrase import Phrase
from agent.texts import Texts

__all__ = [
    "Address",
    "Agent",
    "Config",
    "Confirm",
    "InvalidConfigError",
    "Log",
    "Mqtt",
    "Problem",
    "Proof",
    "Terminal",
    "load",
    "problems",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who this agent is and where it keeps its things."""

    id: str
    site: str
    state_dir: Path
    run_dir: Path
    language: str
    port_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """How pending outcomes are settled; seconds. `policy` None: what the driver has proven safe."""

    first_delay_s: float
    max_delay_s: float
    give_up_after_s: float
    quiet_s: float
    policy: Literal["watch", "ask"] | None = None
    escalate_after_s: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """One payment terminal: its device, the cashier's port, and the line between them."""

    name: str
    protocol: str
    device: Address
    cashier: Address
    baudrate: int | Literal["follow"]
    bytesize: int
    parity: str
    stopbits: int
    flow: Literal["none", "rtscts", "xonxoff", "dsrdtr"]
    currency: str | None
    framing: Literal["auto", "serial", "none"]
    confirm: Confirm


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt:
    """The broker and this agent's account there."""

    url: str
    host: str
    port: int
    tls: bool
    username: str | None
    password_file: Path | None
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    keepalive_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, and how it is written."""

    level: str
    format: Literal["auto", "console", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who a patient's proof speaks for, and whom to ask."""

    hospital: str | None = None
    contact: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration that may be used. `mqtt` is None where nothing is published.

    `fleet_version`: of the fleet's configuration that is in it (agent/fleet.py).
    """

    agent: Agent
    terminals: tuple[Terminal, ...]
    mqtt: Mqtt | None
    log: Log
    proof: Proof
    path: Path
    fleet_version: int | None = None

    def protocol_of(self, terminal: str) -> str:
        """The protocol of a terminal; empty when the terminal is not configured any more."""
        return next((known.protocol for known in self.terminals if known.name == terminal), "")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `where` is "file:line", or the environment variable's name; `key` is dotted."""

    where: str
    line: int | None
    key: str | None
    what: Phrase

    def say(self, texts: Texts) -> str:
        """The problem in one line."""
        if self.key is None:
            return f"{self.where}: {self.what.say(texts)}"
        return f"{self.where}: {self.key}: {self.what.say(texts)}"


class InvalidConfigError(ConfigError):
    """The configuration can't be used. Its text is the first problem, and where to learn of the others."""

    others = "config.more"

    def __init__(self, found: tuple[Problem, ...]) -> None:
        super().__init__(self.others, more=len(found) - 1, keys=", ".join(p.key or p.where for p in found[1:]))
        self.problems = found

    def text(self, texts: Texts) -> str:
        """The one line for a person."""
        first = self.problems[0].say(texts)
        return first if len(self.problems) == 1 else f"{first} {super().text(texts)}"


def load(path: str | Path, environ: Mapping[str, str] = os.environ, *, secrets: bool = True) -> Config:
    """Read a configuration, environment variables on top.

    `secrets` False leaves out whether password and key files can be read: for those who do not log in
    (the bridge, a cashier who looks at the journal) and may lack the permission.

    Raises InvalidConfigError (a ConfigError) whatever is wrong.
    """
    from agent.config_reader import read  # it needs the values defined here

    config, found = read(Path(path), environ, secrets=secrets)
    if config is None or found:
        raise InvalidConfigError(tuple(found))
    return config


def problems(path: str | Path, environ: Mapping[str, str] = os.environ) -> list[Problem]:
    """Everything that is wrong with a configuration, in the order of the file; empty when it can be used."""
    from agent.config_reader import read

    return read(Path(path), environ, secrets=True)[1]
