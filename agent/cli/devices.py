"""`tillwatch devices`: what is plugged in, who may open it, who has it, and what to write into the configuration.

With --probe also which protocol answered: free ports are asked, in words that move no money (agent/probe.py).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from agent.cli import add_config, add_json, probe
from agent.cli.layout import columns
from agent.errors import UnreachableError
from agent.probe import Found, Probed
from agent.texts import Texts, language_of_environment
from drivers import registry
from drivers.detection import AUTO
from drivers.links.discover import Device, devices


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    say = Texts(language_of_environment()).say
    parser.add_argument("--probe", nargs="*", metavar="PORT", help=say("devices.help_probe"))
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print all devices; 1 when there is none, or when none answered that was asked.

    Raises UnreachableError when ports were named and none of them could be asked.
    """
    found = devices()
    texts = Texts(language_of_environment())
    protocols = registry.names()
    results: dict[str, Probed] = {}
    if args.probe is not None:
        done = probe.probe(found, args.probe, args.config, texts)
        found = [device for device, _ in done]
        results = {device.address: result for device, result in done}
    if args.json:
        print(json.dumps(as_data(found, protocols, texts, results), ensure_ascii=False, indent=2))
    else:
        print("\n".join(as_text(found, protocols, texts, results)))
    if args.probe and all(result.found in _NOT_ASKED for result in results.values()):
        raise UnreachableError("devices.none_asked")
    answered = any(result.found is Found.ANSWERED for result in results.values())
    return 0 if (answered if args.probe is not None else found) else 1


_NOT_ASKED = (Found.HELD, Found.OURS, Found.FAILED)
Results = Mapping[str, Probed]


def as_data(
    found: Sequence[Device], protocols: Sequence[str], texts: Texts, results: Results = MappingProxyType({})
) -> list[dict[str, object]]:
    """The devices for programs; `results` of a probe by the device's address."""
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
            "configuration": block(device, place, protocols, texts, results.get(device.address)),
        }
        | ({"probe": probe.as_data(results[device.address])} if device.address in results else {})
        for place, device in enumerate(found, 1)
    ]


def as_text(
    found: Sequence[Device], protocols: Sequence[str], texts: Texts, results: Results = MappingProxyType({})
) -> list[str]:
    """The devices for people: a table, then a block to paste for each that can be used."""
    if not found:
        return [texts.say("devices.none")]
    head = [texts.say(f"devices.{name}") for name in ("device", "what", "usb", "access", "held")]
    lines = columns([head, *(_row(device, texts) for device in found)])
    for place, device in enumerate(found, 1):
        lines += ["", f"# {device.path or device.address}: {_what(device, texts)}"]
        if device.mode and not device.accessible:
            group = "tillwatch" if device.group in (None, "root") else device.group
            lines.append("# " + texts.say("devices.no_access_hint", group=group))
        if device.path is None and device.kind == "usb":
            lines.append(f"# {texts.say('devices.no_port')}")
        result = results.get(device.address)
        if result is not None:
            lines.append(f"# {probe.said(result, texts)}")
        lines.append(block(device, place, protocols, texts, result))
    return lines


def block(device: Device, place: int, protocols: Sequence[str], texts: Texts, result: Probed | None = None) -> str:
    """The `[[terminal]]` to paste, with the protocol that answered, else the likely one, else "auto"."""
    lines = ["[[terminal]]", f'name = "pos{place}"']
    guess = device.likely.protocol if device.likely else None
    if result is not None and result.found is Found.ANSWERED:
        lines.append(f'protocol = "{result.protocol}"  # {texts.say("devices.answered")}')
    elif guess in protocols:
        lines.append(f'protocol = "{guess}"  # {texts.say("devices.guessed", protocols=", ".join(protocols))}')
    else:
        lines.append(f'protocol = "{AUTO}"  # {texts.say("devices.choose", protocols=", ".join(protocols))}')
    lines.append(f"device = {json.dumps(device.address, ensure_ascii=False)}")
    lines += [f"{name} = {json.dumps(value)}" for name, value in (probe.unusual(result) if result else [])]
    return "\n".join(lines)


def _row(device: Device, texts: Texts) -> list[str]:
    held = ", ".join(f"{holder.name} ({holder.pid})" for holder in device.holders)
    if device.mode is None:
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
