"""`tillwatch devices`: what is plugged in, who may open it, who has it, and what to write into the configuration."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from agent.cli import add_json
from agent.cli.layout import columns
from agent.texts import Texts, language_of_environment
from drivers import registry
from drivers.links.discover import Device, devices


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print all devices; 1 when there is none."""
    found = devices()
    texts = Texts(language_of_environment())
    protocols = registry.names()
    if args.json:
        print(json.dumps(as_data(found, protocols, texts), ensure_ascii=False, indent=2))
    else:
        print("\n".join(as_text(found, protocols, texts)))
    return 0 if found else 1


def as_data(found: Sequence[Device], protocols: Sequence[str], texts: Texts) -> list[dict[str, object]]:
    """The devices for programs."""
    return [
        {
            "kind": device.kind,
            "path": device.path,
            "stable": device.stable,
            "address": device.address,
            "description": device.description,
            "usb_id": device.usb_id,
            "serial_number": device.serial_number,
            "manufacturer": device.manufacturer,
            "owner": device.owner,
            "group": device.group,
            "mode": device.mode,
            "accessible": device.accessible,
            "holders": [{"pid": holder.pid, "name": holder.name} for holder in device.holders],
            "likely": None
            if device.likely is None
            else {"name": device.likely.name, "kind": device.likely.kind, "protocol": device.likely.protocol},
            "configuration": block(device, place, protocols, texts),
        }
        for place, device in enumerate(found, 1)
    ]


def as_text(found: Sequence[Device], protocols: Sequence[str], texts: Texts) -> list[str]:
    """The devices for people: a table, then a block to paste for each that can be used."""
    if not found:
        return [texts.say("devices.none")]
    head = [texts.say(f"devices.{name}") for name in ("device", "what", "usb", "access", "held")]
    lines = columns([head, *(_row(device, texts) for device in found)])
    for place, device in enumerate(found, 1):
        lines += ["", f"# {device.path or device.address}: {_what(device, texts)}"]
        if device.path and not device.accessible:
            lines.append("# " + texts.say("devices.no_access_hint", group=device.group or "tillwatch"))
        lines.append(block(device, place, protocols, texts))
    return lines


def block(device: Device, place: int, protocols: Sequence[str], texts: Texts) -> str:
    """The `[[terminal]]` to paste; for a device that can't be used yet, the line that says why."""
    if device.path is None:
        return f"# {texts.say('devices.no_port')}"
    guess = device.likely.protocol if device.likely else None
    protocol = guess if guess in protocols else next(iter(protocols), "")
    note = texts.say("devices.guessed" if guess == protocol else "devices.choose", protocols=", ".join(protocols))
    return (
        f'[[terminal]]\nname = "pos{place}"\nprotocol = "{protocol}"  # {note}\n'
        f"device = {json.dumps(device.address, ensure_ascii=False)}"
    )


def _row(device: Device, texts: Texts) -> list[str]:
    held = ", ".join(f"{holder.name} ({holder.pid})" for holder in device.holders)
    if device.path is None:
        access = "-"
    else:
        access = f"{device.owner}:{device.group} {device.mode} " + texts.say(
            "devices.open" if device.accessible else "devices.closed"
        )
    return [
        device.stable or device.path or device.address,
        _what(device, texts),
        device.usb_id or "-",
        access,
        held or "-",
    ]


def _what(device: Device, texts: Texts) -> str:
    said = " ".join(dict.fromkeys(part for part in (device.manufacturer, device.description) if part))
    return said if device.likely is None else texts.say("devices.likely", said=said, name=device.likely.name)
