"""Every key of the agent's configuration: its type, its default and its meaning, in one table a section.

Validation, nearest-key messages and docs/configuration.md all come from here; nothing about a key is said elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config_values import (
    CURRENCY,
    WORD,
    Address,
    Choice,
    Duration,
    FilePath,
    Kind,
    Number,
    PortAddress,
    Text,
    Url,
)
from agent.texts import LANGUAGES, language_of_environment

#: What is known when a default is worked out: the section's other values, and under "agent" those of [agent].
Known = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key. `default` is written as in the file; `derive` works one out, and `derived` says how, for people."""

    name: str
    kind: Kind
    meaning: str
    default: str | int | None = None
    required: bool = False
    derive: Callable[[Known], object] | None = None
    derived: str = ""
    field: str = ""  # the dataclass field, where it is not the key's name

    @property
    def target(self) -> str:
        """The dataclass field that takes the value."""
        return self.field or self.name


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the file."""

    name: str
    keys: tuple[Key, ...]
    meaning: str
    tables: tuple[str, ...] = ()  # tables inside this one

    def key(self, name: str) -> Key | None:
        """The key of that name, or None."""
        return next((key for key in self.keys if key.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all keys."""
        return tuple(key.name for key in self.keys)


def host_name(_: Known) -> str:
    """The host name, made to fit the alphabet of ids."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", os.uname().nodename)[:64] or "agent"


def is_protocol(name: str) -> bool:
    """Whether there is a driver of that name, or it is "auto". Loads that driver only."""
    from drivers import registry  # drivers are only wanted by those who read a configuration
    from drivers.detection import AUTO

    if name == AUTO:
        return True
    try:
        registry.get(name)
    except KeyError:
        return False
    except ValueError as error:
        from agent.profiles import refused  # only where a profile has mistakes

        raise refused(error) from error
    return True


def protocols() -> tuple[str, ...]:
    """The names of all drivers, and "auto"."""
    from drivers import registry
    from drivers.detection import AUTO

    return (AUTO, *registry.names())


def _line(setting: str) -> Callable[[Known], object]:
    def usual(known: Known) -> object:
        from drivers import registry
        from drivers.detection import line_of

        return getattr(line_of(known["protocol"], registry.get), setting)

    return usual


def _virtual_port(known: Known) -> Address:
    link = known["agent"]["run_dir"] / known["name"]
    return Address("pty", f"pty:{link}", path=Path(link))


AGENT = Section(
    "agent",
    (
        Key(
            name="id",
            kind=WORD,
            meaning="Name of this agent, unique at the collector; also its MQTT client id.",
            derive=host_name,
            derived="the host name, other characters replaced by -",
        ),
        Key(name="site", kind=WORD, default="default", meaning="Where the PC stands, such as a ward or a building."),
        Key(
            name="state_dir",
            kind=FilePath(),
            default="/var/lib/tillwatch",
            meaning="Folder of the journal. On a disk that survives a power cut, never on tmpfs.",
        ),
        Key(
            name="run_dir",
            kind=FilePath(),
            default="/run/tillwatch",
            meaning="Folder of sockets and virtual ports; may be empty after a restart of the PC.",
        ),
        Key(
            name="language",
            kind=Choice(LANGUAGES),
            meaning="Language of explanations, advice and proofs.",
            derive=lambda _: language_of_environment(),
            derived="the language of the environment (LC_ALL, LC_MESSAGES, LANG)",
        ),
        Key(
            name="port_group",
            kind=WORD,
            meaning="Group whose members may open the virtual ports: that of the user who runs the cashier "
            "application. The service's user must be in it, too (docs/install.md).",
            derived="the group of the system's terminals (tty)",
        ),
    ),
    "The agent itself. The whole table may be left out.",
)

TERMINAL = Section(
    "terminal",
    (
        Key(name="name", kind=WORD, required=True, meaning="Name of the terminal, unique on this PC."),
        Key(
            name="protocol",
            kind=Choice(protocols, known=is_protocol),
            required=True,
            meaning="How the terminal speaks. `tillwatch simulate --list` names them all; auto listens until it is "
            "clear (docs/devices.md).",
        ),
        Key(
            name="device",
            kind=PortAddress(("serial", "usb", "tcp", "file")),
            required=True,
            meaning="Where the terminal is. `tillwatch devices` finds stable names; usb: is for devices without a tty "
            "(docs/usb.md), file: hears what is written into a folder (docs/devices.md).",
        ),
        Key(
            name="cashier",
            kind=PortAddress(("pty", "tcp", "serial", "file", "none")),
            meaning="Where the cashier application connects: a link to a virtual port, a TCP port that listens, "
            "a serial port, files it writes (beside a file: device only), or none to watch the terminal alone.",
            derive=_virtual_port,
            derived="a pty: link in run_dir with the terminal's name",
        ),
        Key(
            name="baudrate",
            kind=Number(1, 4_000_000, ("follow",)),
            meaning='Speed of the serial line. "follow" takes the speed that the cashier application sets on its '
            "virtual port.",
            derive=_line("baudrate"),
            derived="the usual one of the protocol",
        ),
        Key(
            name="bytesize",
            kind=Number(5, 8),
            meaning="Data bits.",
            derive=_line("bytesize"),
            derived="the usual one of the protocol",
        ),
        Key(
            name="parity",
            kind=Choice(("N", "E", "O", "M", "S")),
            meaning="None, even, odd, mark or space.",
            derive=_line("parity"),
            derived="the usual one of the protocol",
        ),
        Key(
            name="stopbits",
            kind=Number(1, 2),
            meaning="Stop bits.",
            derive=_line("stopbits"),
            derived="the usual one of the protocol",
        ),
        Key(
            name="flow",
            kind=Choice(("none", "rtscts", "xonxoff", "dsrdtr")),
            default="none",
            meaning="Flow control of the serial line.",
        ),
        Key(name="currency", kind=CURRENCY, meaning="Currency of amounts where the protocol does not say it."),
        Key(
            name="framing",
            kind=Choice(("auto", "serial", "none")),
            default="auto",
            meaning="How messages are laid on the line; auto finds out from the first bytes.",
        ),
    ),
    "One `[[terminal]]` for each payment terminal of this PC; at least one.",
    ("confirm",),
)

CONFIRM = Section(
    "terminal.confirm",
    (
        Key(
            name="first_delay",
            kind=Duration(),
            default="5s",
            field="first_delay_s",
            meaning="From an unknown outcome to the first question.",
        ),
        Key(
            name="max_delay",
            kind=Duration(),
            default="5m",
            field="max_delay_s",
            meaning="Longest pause between two questions; the pauses grow up to it.",
        ),
        Key(
            name="give_up_after",
            kind=Duration(),
            default="24h",
            field="give_up_after_s",
            meaning="Then the transaction is escalated to people, never dropped.",
        ),
        Key(
            name="quiet",
            kind=Duration(),
            default="2s",
            field="quiet_s",
            meaning="The cashier's line must have been idle this long before the agent speaks.",
        ),
        Key(
            name="policy",
            kind=Choice(("watch", "ask")),
            meaning="watch: never ask the terminal, only see what comes by. ask: send the protocol's read-only "
            "queries.",
            derived="what the driver has proven safe",
        ),
        Key(
            name="escalate_after",
            kind=Duration(),
            default="15m",
            field="escalate_after_s",
            meaning="So long an outcome may stay unknown before people are called; the terminal is still asked then.",
        ),
    ),
    "How pending outcomes of the terminal above are settled. May be left out.",
)

MQTT = Section(
    "mqtt",
    (
        Key(name="url", kind=Url(), required=True, meaning="The broker; mqtts:// is encrypted."),
        Key(name="username", kind=Text(), meaning="Account at the broker."),
        Key(
            name="password_file",
            kind=FilePath(readable=True, secret=True),
            meaning="File that holds the password. Refused when everybody may read it.",
        ),
        Key(
            name="ca_file",
            kind=FilePath(readable=True),
            meaning="Certificates (PEM) of who may sign the broker's certificate.",
            derived="those of the system",
        ),
        Key(name="cert_file", kind=FilePath(readable=True), meaning="This agent's certificate (PEM)."),
        Key(
            name="key_file",
            kind=FilePath(readable=True, secret=True),
            meaning="This agent's private key (PEM). Refused when everybody may read it.",
        ),
        Key(
            name="keepalive",
            kind=Duration(),
            default="30s",
            field="keepalive_s",
            meaning="After that long without a word the connection counts as lost.",
        ),
    ),
    "Where events are published. Without this table they stay in the journal of this PC.",
)

LOG = Section(
    "log",
    (
        Key(
            name="level",
            kind=Choice(("debug", "info", "warning", "error")),
            default="info",
            meaning="The least important lines that are written.",
        ),
        Key(
            name="format",
            kind=Choice(("auto", "console", "json")),
            default="auto",
            meaning="auto: for people on a terminal, JSON otherwise.",
        ),
    ),
    "The log goes to stderr. It never holds a card number.",
)

PROOF = Section(
    "proof",
    (
        Key(name="hospital", kind=Text(), meaning="The name that stands on it."),
        Key(name="contact", kind=Text(), meaning="Whom the patient may ask: an office, a telephone number."),
    ),
    "What `tillwatch proof` says besides the payment. May be left out.",
)

#: In the order of the file. A terminal's own tables are named "terminal.…".
SECTIONS = (AGENT, TERMINAL, CONFIRM, MQTT, LOG, PROOF)
TABLES = ("agent", "terminal", "mqtt", "log", "proof")
