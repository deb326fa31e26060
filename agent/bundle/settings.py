"""The configuration as it may leave the PC: the keys of a closed list with their values, of all others only that they
are set. Comments, unknown keys and values that were refused stay on the PC: people write passwords there.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

from agent.bundle.part import Part
from agent.config import Config, InvalidConfigError

#: what may leave, by the names of the values that `load` gives (agent/config.py)
SHOWN: dict[str, frozenset[str]] = {
    "agent": frozenset({"id", "site", "state_dir", "run_dir", "language", "port_group"}),
    "terminal": frozenset(
        {
            "name",
            "protocol",
            "device",
            "cashier",
            "baudrate",
            "bytesize",
            "parity",
            "stopbits",
            "flow",
            "currency",
            "framing",
        }
    ),
    "confirm": frozenset({"first_delay_s", "max_delay_s", "give_up_after_s", "quiet_s", "policy", "escalate_after_s"}),
    "mqtt": frozenset({"host", "port", "tls", "ca_file", "cert_file", "keepalive_s"}),
    "log": frozenset({"level", "format"}),
    "proof": frozenset({"hospital"}),
}
#: what stays: of these a bundle only says whether they are set
WITHHELD: dict[str, frozenset[str]] = {
    "mqtt": frozenset({"url", "username", "password_file", "key_file"}),
    "proof": frozenset({"contact"}),
}
_SET = "(set)"
_SECRETS = ("password_file", "key_file")
_SHORTEST = 6  # of a line of a key file; shorter ones stand anywhere


def settings_part(config: Config | InvalidConfigError) -> Part:
    """What is configured; of a configuration that can't be used, where it is wrong."""
    if isinstance(config, InvalidConfigError):
        wrong = [{"where": each.where, "key": each.key, "problem": each.what.key} for each in config.problems]
        return Part.of_json("configuration.json", {"usable": False, "problems": wrong})
    terminals = [
        _section("terminal", terminal) | {"confirm": _section("confirm", terminal.confirm)}
        for terminal in config.terminals
    ]
    sections = {name: _section(name, getattr(config, name)) for name in ("agent", "mqtt", "log", "proof")}
    return Part.of_json(
        "configuration.json",
        {
            "usable": True,
            "file": str(config.path),
            "fleet_version": config.fleet_version,
            **sections,
            "terminals": terminals,
        },
    )


def secrets_of(config: Config) -> list[str]:
    """The passwords and keys of this PC that can be read, so that a bundle can be searched for them."""
    if config.mqtt is None:
        return []
    found: list[str] = []
    for name in _SECRETS:
        path: Path | None = getattr(config.mqtt, name)
        if path is None:
            continue
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue  # who asks may not read it, so nothing of it can be in what was gathered with the same rights
        found += [text for line in lines if len(text := line.strip()) >= _SHORTEST and not text.startswith("-----")]
    return found


def _section(name: str, values: object) -> dict[str, object]:
    """What may be shown of a section; empty where it is not configured."""
    shown: dict[str, object] = {}
    if not is_dataclass(values):
        return shown
    for field in fields(values):
        value = getattr(values, field.name)
        if field.name in SHOWN[name]:
            shown[field.name] = value if isinstance(value, bool | int | float | None) else str(value)
        elif not is_dataclass(value) and value is not None:
            shown[field.name] = _SET
    return shown
