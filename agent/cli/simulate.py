"""`tillwatch simulate`: a simulated terminal at a pty, a TCP port or a serial port, treating payments as told.

The first line on stdout is the port (with --json `{"event": "ready", "device": "pty:…"}`); then a line an event.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TextIO

from agent.cli import add_json
from agent.cli.arguments import seconds
from agent.cli.layout import columns
from agent.cli.protocols import driver_named, framing_named, nearest
from agent.errors import UnreachableError, UsageError
from agent.profiles import refused
from agent.texts import Texts, language_of_environment
from drivers import registry
from drivers.driver import Driver, Framing, Log, Scenario, Simulation
from drivers.links.base import LinkError
from drivers.simulated.shell import Port, PtyPort, SerialPort, Shell, TcpPort

_CARD = re.compile(r"\d{13,19}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")

_Sink = tuple[TextIO, Callable[[Log], str]]  # where the log goes, and how an entry is written there


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options. Times are seconds."""
    say = Texts(language_of_environment()).say
    usual = Simulation()
    parser.add_argument("protocol", nargs="?", metavar="PROTOCOL")
    parser.add_argument("--list", action="store_true", help=say("simulate.help_list"))
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--pty", type=Path, metavar="LINK", help=say("simulate.help_pty"))
    where.add_argument("--tcp", metavar="HOST:PORT", help=say("simulate.help_tcp"))
    where.add_argument("--serial", metavar="PATH", help=say("simulate.help_serial"))
    parser.add_argument("--scenario", default="approve", metavar=",".join(Scenario), help=say("simulate.help_scenario"))
    parser.add_argument(
        "--think", type=seconds, default=usual.think_s, metavar="SECONDS", help=say("simulate.help_think")
    )
    parser.add_argument("--slow", type=seconds, default=usual.slow_s, metavar="SECONDS", help=say("simulate.help_slow"))
    parser.add_argument("--late", type=seconds, default=usual.late_s, metavar="SECONDS", help=say("simulate.help_late"))
    parser.add_argument(
        "--reboot", type=seconds, default=usual.reboot_s, metavar="SECONDS", help=say("simulate.help_reboot")
    )
    parser.add_argument("--card", default=usual.card, metavar="NUMBER", help=say("simulate.help_card"))
    parser.add_argument("--currency", default=usual.currency, help=say("simulate.help_currency"))
    parser.add_argument("--terminal-id", default=usual.terminal_id, help=say("simulate.help_terminal_id"))
    parser.add_argument(
        "--framing", choices=[str(Framing.SERIAL), str(Framing.NONE)], help=say("simulate.help_framing")
    )
    parser.add_argument("--seed", type=int, default=usual.seed, help=say("simulate.help_seed"))
    parser.add_argument("--count", type=int, metavar="N", help=say("simulate.help_count"))
    parser.add_argument("--log", type=Path, metavar="FILE", help=say("simulate.help_log"))
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List the protocols, or simulate one until SIGINT or SIGTERM, or until --count payments are done."""
    if args.list:
        _print_list(as_json=args.json)
        return 0
    if args.protocol is None:
        raise UsageError("simulate.no_protocol", known=", ".join(registry.names()))
    driver = driver_named(args.protocol)
    if driver.simulated is None:
        raise UsageError("simulate.nothing_to_simulate", protocol=driver.name)
    terminal = driver.simulated(settings(args, driver))
    with ExitStack() as opened:
        sinks: list[_Sink] = [(sys.stdout, _line_as_json if args.json else _line_for_people)]
        if args.log is not None:
            sinks.append((opened.enter_context(_appended(args.log)), _line_as_json))
        shell = Shell(terminal, port(args, driver), _reporter(sinks), args.count)
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, lambda *_: shell.stop())
            opened.callback(signal.signal, number, before)
        try:
            shell.run()
        except LinkError as error:
            where = args.pty or args.tcp or args.serial or "pty"
            raise UnreachableError("simulate.no_port", port=where, detail=error.detail) from error
    return 0


def settings(args: argparse.Namespace, driver: Driver) -> Simulation:
    """The simulator's settings. Raises UsageError."""
    if not _CARD.fullmatch(args.card):
        raise UsageError("simulate.bad_card")
    if not _CURRENCY.fullmatch(args.currency):
        raise UsageError("simulate.bad_currency", found=args.currency)
    # TCP carries messages bare in the protocols that know both ways.
    usual = Framing.NONE if args.tcp and Framing.NONE in driver.framings else driver.framings[0]
    return Simulation(
        scenarios=scenarios(args.scenario),
        think_s=args.think,
        slow_s=args.slow,
        late_s=args.late,
        reboot_s=args.reboot,
        card=args.card,
        currency=args.currency,
        framing=framing_named(driver, args.framing) if args.framing else usual,
        terminal_id=args.terminal_id,
        payments=args.count,
        seed=args.seed,
        clock=datetime.now,
    )


def scenarios(text: str) -> tuple[Scenario, ...]:
    """The scenarios of a comma-separated list. Raises UsageError that names the nearest one."""
    found = []
    for name in text.split(","):
        try:
            found.append(Scenario(name.strip()))
        except ValueError:
            known = [str(scenario) for scenario in Scenario]
            raise UsageError(
                "simulate.bad_scenario", name=name.strip(), nearest=nearest(name, known), known=", ".join(known)
            ) from None
    return tuple(found)


def port(args: argparse.Namespace, driver: Driver) -> Port:
    """The port asked for; without one a pty that nobody chose a name for. Raises UsageError."""
    if args.tcp:
        host, _, number = args.tcp.rpartition(":")
        if not host or not number.isdecimal() or int(number) > 65535:
            raise UsageError("simulate.bad_address", found=args.tcp)
        return TcpPort(host, int(number))
    if args.serial:
        return SerialPort(args.serial, driver.line)
    return PtyPort(args.pty)


def _appended(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise UnreachableError("simulate.no_log", path=path, detail=error.strerror) from error


def _reporter(sinks: list[_Sink]) -> Callable[[Log], None]:
    def report(entry: Log) -> None:
        for stream, line in sinks:
            print(line(entry), file=stream, flush=True)

    return report


def _line_as_json(entry: Log) -> str:
    return json.dumps({"event": entry.event} | dict(entry.facts), ensure_ascii=False)


def _line_for_people(entry: Log) -> str:
    if entry.event == "ready":
        return str(dict(entry.facts)["device"]).partition(":")[2]
    facts = " ".join(f"{name}={value}" for name, value in entry.facts if value is not None)
    return f"{datetime.now().astimezone():%H:%M:%S}  {entry.event:<12}{facts}".rstrip()


def _print_list(as_json: bool) -> None:
    known = []
    for name in registry.names():
        try:
            known.append(registry.get(name))
        except ValueError as error:  # a profile with mistakes: told, and the others listed
            print(f"tillwatch: {refused(error).text(Texts(language_of_environment()))}", file=sys.stderr)
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "name": driver.name,
                        "title": driver.title,
                        "maturity": str(driver.maturity),
                        "framings": [str(framing) for framing in driver.framings],
                        "simulated": driver.simulated is not None,
                    }
                    for driver in known
                ],
                ensure_ascii=False,
                indent=2,
            )
        )
        return
    rows = [(driver.name, str(driver.maturity), ", ".join(driver.framings), driver.title) for driver in known]
    print("\n".join(columns(rows)))
