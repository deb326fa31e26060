"""`tillwatch status`: bridge, agent, each terminal, the outbox, payments in doubt."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from agent.cli import add_config, add_json
from agent.config import Config, load
from agent.control import ask
from agent.errors import UnreachableError
from agent.tap import bridge_status
from agent.texts import Texts


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the state; 0 all is well, 1 something is not, 3 neither agent nor bridge answers."""
    config = load(args.config, secrets=False)
    texts = Texts(config.agent.language)
    agent, bridge = _agent(config), _bridge(config)
    if agent is None and bridge is None:
        raise UnreachableError("status.nobody", run_dir=config.agent.run_dir)
    if args.json:
        print(json.dumps({"agent": agent, "bridge": bridge}, ensure_ascii=False))
    else:
        print("\n".join(_lines(config, agent, bridge, texts)))
    lines = (bridge or {}).get("lines", {})
    well = agent is not None and bridge is not None and all(line["link"] == "up" for line in lines.values())
    return 0 if well else 1


def _agent(config: Config) -> dict[str, Any] | None:
    try:
        return ask(config.agent.run_dir, "status")
    except UnreachableError:
        return None


def _bridge(config: Config) -> dict[str, Any] | None:
    try:
        return bridge_status(config.agent.run_dir)
    except UnreachableError:
        return None


def _lines(config: Config, agent: dict[str, Any] | None, bridge: dict[str, Any] | None, texts: Texts) -> list[str]:
    say = texts.say
    if agent:
        shown = {"since": _local(agent["since"]), "broker": say(f"status.broker_{agent['broker']}")}
        lines = [say("status.agent", **agent | shown)]
    else:
        lines = [say("status.no_agent")]
    if bridge:
        lines.append(say("status.bridge", pid=bridge["pid"], since=_local(bridge["since"])))
    else:
        lines.append(say("status.no_bridge"))
    for terminal in config.terminals:
        line = (bridge or {}).get("lines", {}).get(terminal.name)
        seen = (agent or {}).get("terminals", {}).get(terminal.name, {})
        if line is None:
            lines.append(say("status.terminal_unknown", name=terminal.name))
            continue
        link = seen.get("link", line["link"])
        protocol = seen.get("protocol", terminal.protocol)  # with "auto", the one that was heard
        shown = {"name": terminal.name, "protocol": protocol, "device": line["device"]}
        parts = [say("status.terminal", **shown, link=say(f"status.link_{link}"))]
        if line.get("reason"):
            parts.append(say(f"status.reason_{line['reason']}", detail=line.get("detail") or ""))
        if line["port"] != "none":
            parts.append(say("status.port", port=say(f"status.port_{line['port']}"), cashier=line["cashier"]))
        if heard := seen.get("last_frame_at"):
            parts.append(say("status.heard", at=_local(heard)))
        lines.append(say("status.and").join(parts))
    return lines


def _local(moment: str) -> str:
    """In this PC's time, as people write it."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"
