"""`tillwatch diag`: walks from the plug to the host, one line a step, and ends with where the fault is."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime

from agent.cli import add_config, add_json, diag_bundle, diag_watch
from agent.cli.protocols import nearest
from agent.config import Config, InvalidConfigError, Terminal, load
from agent.diag.kept import Kept, begin
from agent.diag.mouth import reach_bridge
from agent.diag.scene import Scene
from agent.diag.step import Level, Step
from agent.diag.walk import PART_OF, SHARED, STEPS, Result, walk
from agent.errors import UsageError
from agent.phrase import Phrase, phrase
from agent.texts import Texts, language_of_environment

_COLOURS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "31", Level.SKIP: "90"}


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    say = Texts(language_of_environment()).say
    parser.add_argument("--terminal", metavar="NAME", help=say("diag.help_terminal"))
    parser.add_argument("--only", action="append", default=[], metavar="STEP", help=say("diag.help_only"))
    parser.add_argument("--resume", action="store_true", help=say("diag.help_resume"))
    parser.add_argument("--loopback", action="store_true", help=say("diag.help_loopback"))
    diag_watch.configure(parser)
    diag_bundle.configure(parser)
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Walk; 0 nothing is wrong, 1 something was found, 3 the running bridge may not be asked."""
    if args.bundle or args.send:
        return diag_bundle.run(args)
    if args.watch:
        return diag_watch.run(args)
    config = _loaded(args.config)
    texts = Texts(config.agent.language)
    terminals = _terminals(config, args.terminal)
    only = _only(args.only)
    reach_bridge(config.agent.run_dir)
    results, runs = [], []
    shared: dict[str, list[Step]] = {}
    for terminal in terminals:
        show = _nothing if args.json else _shower(texts, sys.stdout.isatty())
        tell = _nothing if args.json else _teller(texts)
        if not args.json:
            print(texts.say("diag.begin", name=terminal.name, device=terminal.device, protocol=terminal.protocol))
        scene = Scene(config, terminal, loopback=args.loopback, tell=tell)
        # Single steps are no run: they are not kept, and leave the one that was broken off as it is.
        kept = Kept(None) if only else begin(config.agent.state_dir, terminal, os.environ, args.resume)
        if kept.resumed_s is not None:
            tell(phrase("diag.resumed", since=f"{datetime.fromtimestamp(kept.resumed_s):%Y-%m-%d %H:%M}"))
        kept.done |= shared
        runs.append(kept)
        result = walk(scene, kept, only, show)
        shared = {name: kept.done[name] for name in SHARED if name in kept.done}
        results.append(result)
        if not args.json:
            print("\n".join(_verdict(result, texts)), flush=True)
    for kept in runs:
        kept.end()
    if args.json:
        print(json.dumps([result.as_data(texts) for result in results], ensure_ascii=False, indent=2))
    return 1 if any(result.verdict.found for result in results) else 0


def _loaded(path: str) -> Config:
    """The configuration. A password that only the agent's user may read is no mistake of a technician's: it is not
    asked for then. Raises ConfigError.
    """
    try:
        return load(path)
    except InvalidConfigError:
        if os.geteuid() == 0:
            raise
        return load(path, secrets=False)


def _terminals(config: Config, name: str | None) -> Sequence[Terminal]:
    if name is None:
        return config.terminals
    known = {terminal.name: terminal for terminal in config.terminals}
    if name not in known:
        raise UsageError("diag.no_terminal", name=name, nearest=nearest(name, known), known=", ".join(known))
    return [known[name]]


def _only(asked: Sequence[str]) -> Sequence[str]:
    """The steps to take. What is told by a step of another name may be asked for as well."""
    known = (*STEPS, *PART_OF)
    for name in asked:
        if name not in known:
            raise UsageError("diag.no_step", name=name, nearest=nearest(name, known), known=", ".join(known))
    return [PART_OF.get(name, name) for name in asked]


def _nothing(_: object) -> None:
    """For programs: everything comes at the end."""


def _shower(texts: Texts, colours: bool) -> Callable[[Step], None]:
    def show(step: Step) -> None:
        print(as_line(step, texts, colours), flush=True)

    return show


def _teller(texts: Texts) -> Callable[[Phrase], None]:
    def tell(what: Phrase) -> None:
        print(f"      {what.say(texts)}", file=sys.stderr, flush=True)

    return tell


def as_line(step: Step, texts: Texts, colours: bool = False) -> str:
    """One step for people: level, title, evidence, what to do."""
    level = f"{step.level:<4}"
    if colours:
        level = f"\x1b[{_COLOURS[step.level]}m{level}\x1b[0m"
    mend = step.mend(texts)
    text = f"{step.name:<15} {step.title(texts)}: {step.what.say(texts)}"
    return f"{level}  {text}" + (f" → {mend}" if mend else "")


def _verdict(result: Result, texts: Texts) -> list[str]:
    found = result.verdict
    lines = ["", texts.say("diag.verdict", verdict=texts.say(f"diag.verdict_{found.culprit}"))]
    for step in found.reasons:
        lines.append(f"  - {step.title(texts)}: {step.what.say(texts)}")
        if mend := step.mend(texts):
            lines.append(f"    → {mend}")
    for culprit, step in found.also:
        also = texts.say("diag.also", verdict=texts.say(f"diag.verdict_{culprit}"))
        lines.append(f"  {also}: {step.title(texts)}: {step.what.say(texts)}")
    warnings = [step.title(texts) for step in result.steps if step.level is Level.WARN]
    if warnings:
        lines.append("  " + texts.say("diag.warnings", steps=", ".join(dict.fromkeys(warnings))))
    return lines
