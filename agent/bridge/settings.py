"""From the agent's configuration to the bridge's settings: plain JSON that a small process can read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from agent.bridge.ring import DEFAULT_BYTES
from agent.config import Config, Terminal
from drivers import registry
from drivers.detection import line_of


def bridge_settings(config: Config, child: bool) -> dict[str, Any]:
    """Everything a bridge must know. `child`: it belongs to an agent, which may end it."""
    lines = [_line(terminal) for terminal in config.terminals]
    if config.agent.port_group is not None:  # else the settings, and their digest, stay those of older versions
        lines = [line | {"port_group": config.agent.port_group} for line in lines]
    return {
        "run_dir": str(config.agent.run_dir),
        "ring_bytes": DEFAULT_BYTES,
        "child": child,
        "digest": digest(lines),
        "log_format": config.log.format,
        "log_level": config.log.level,
        "language": config.agent.language,
        "lines": lines,
    }


def digest(lines: list[dict[str, Any]]) -> str:
    """The same for the same settings: tells whether a running bridge has the present configuration."""
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()[:16]


def _line(terminal: Terminal) -> dict[str, Any]:
    follow = terminal.baudrate == "follow"
    usual = line_of(terminal.protocol, registry.get).baudrate
    return {
        "name": terminal.name,
        "device": terminal.device.text,
        "cashier": terminal.cashier.text,
        "baudrate": usual if follow else terminal.baudrate,
        "follow": follow,
        "bytesize": terminal.bytesize,
        "parity": terminal.parity,
        "stopbits": terminal.stopbits,
        "flow": terminal.flow,
    }
