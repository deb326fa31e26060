"""The fleet's configuration on a PC: what is taken, what is refused and why, what holds afterwards."""

from __future__ import annotations

import argparse
import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import run as run_verb
from agent.config import Config, load
from agent.enroll import fleet_watch
from agent.enroll.door import Answer, Door
from agent.enroll.fleet_watch import FleetWatch
from agent.enroll.identity import Enrolment, Identity
from agent.errors import UnreachableError
from agent.fleet import FleetError, overlay_of, parse
from agent.fleet_store import MOST_STARTS, FleetStore, refuse_old, verified
from agent.log import logger
from agent.payments import At, Book, Payment, State
from agent.reconfigure import PATIENCE_S, Reconfigure, restart_service
from agent.texts import LANGUAGES, Texts
from drivers.observations import Facts, Kind

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
NOW = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
HEAD = "version = {}\nexpires = 2999-01-01T00:00:00Z\n"


def signed(text: str) -> str:
    return base64.b64encode(KEY.sign(text.encode())).decode()


class Pc:
    """A PC's own configuration, and what it decides about documents."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "agent.toml"
        self.path.write_text(
            f'[agent]\nid = "cashier-07"\nsite = "out-1"\nstate_dir = "{folder}/state"\n'
            '[[terminal]]\nname = "pos1"\nprotocol = "concert"\ndevice = "serial:/dev/x1"\nbaudrate = 9600\n'
            '[[terminal]]\nname = "back"\nprotocol = "concert"\ndevice = "serial:/dev/x2"\n'
        )
        (folder / "state").mkdir()
        self.store = FleetStore(folder / "state")
        self.changed = 0

    def watch(self) -> FleetWatch:
        def changed() -> None:
            self.changed += 1

        return FleetWatch(load(self.path, {}), changed, logger(), {})

    def offer(self, text: str, signature: str | None = None) -> FleetWatch:
        watch = self.watch()
        watch.consider(PUBLIC, text, signed(text) if signature is None else signature, parse_version(text))
        return watch


def parse_version(text: str) -> int:
    return int(text.split("=")[1].split("\n", maxsplit=1)[0])


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    return Pc(tmp_path)


BODY = """
[[group]]
sites = ["out-*"]
[group.agent]
language = "zh-CN"
[group.terminal."*"]
currency = "CNY"
[group.terminal.pos1]
baudrate = 115200
confirm = { quiet = "3s" }
[group.terminal.not-here]
baudrate = 1
[[group]]
sites = ["in-*"]
[group.terminal.pos1]
baudrate = 300
"""


def test_what_is_meant_for_this_pc_is_taken(pc: Pc) -> None:
    pc.offer(HEAD.format(3) + BODY)
    assert pc.changed == 1
    config = load(pc.path, {})
    pos1, back = config.terminals
    assert (config.fleet_version, config.agent.language) == (3, "zh-CN")
    assert (pos1.baudrate, pos1.confirm.quiet_s, pos1.currency) == (115200, 3.0, "CNY")
    assert (back.baudrate, back.currency) == (9600, "CNY")
    assert config.agent.id == "cashier-07"
    assert load(pc.path, {"TILLWATCH_AGENT__LANGUAGE": "en"}).agent.language == "en"  # the environment wins


def test_what_changes_nothing_here_interrupts_nothing(pc: Pc) -> None:
    watch = pc.offer(HEAD.format(3) + '[[group]]\nsites = ["in-*"]\n[group.log]\nlevel = "debug"\n')
    assert pc.changed == 0
    assert watch.report() == {"version": 3, "refused": None}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD.format(7) + '[[group]]\n[group.terminal.pos1]\nprotocol = "klingon"\n', "terminal.pos1.protocol"),
        (HEAD.format(7) + "[[group]]\n[group.terminal.pos1]\nbaudrate = 'x'\n", "terminal.pos1.baudrate"),
        (HEAD.format(7) + '[[group]]\n[group.terminal.pos1]\ndevice = "serial:/dev/x2"\n', "terminal.back.device"),
        (HEAD.format(7) + '[[group]]\n[group.agent]\nid = "x"\n', "for each PC to say"),
        (HEAD.format(7) + '[[group]]\n[group.mqtt]\nkey_file = "/x"\n', "for each PC to say"),
        (HEAD.format(7) + "[[group]]\n[group.terminal.pos1]\nbuadrate = 1\n", "nearest is baudrate"),
        (HEAD.format(7) + "[[groop]]\n", "nearest is group"),
        (HEAD.format(2), "not newer than 2"),
        ("version = 7\nexpires = 2020-01-01T00:00:00Z\n", "expired"),
        ("version = 7\n", "expires"),
        ("version = 7\nexpires = 2999-01-01\n", "time with its zone"),
        (HEAD.format(7) + "[[group]]\nagents = 'x'\n", "list of patterns"),
        (HEAD.format(7) + "[[group", "no TOML"),
    ],
)
def test_a_bad_one_changes_nothing_and_is_told(pc: Pc, text: str, why: str) -> None:
    pc.offer(HEAD.format(2) + BODY)
    watch = pc.offer(text)
    assert pc.changed == 1
    config = load(pc.path, {})
    assert (config.fleet_version, config.terminals[0].baudrate) == (2, 115200)
    told = watch.report()["refused"]
    assert why in told["reason"]
    assert "\n" not in told["reason"]
    assert pc.watch().report()["refused"] == told  # also after a restart
    pc.offer(HEAD.format(8) + "[[group]]\n")  # going back: the older content under a higher number
    assert pc.watch().report() == {"version": 8, "refused": None}
    assert load(pc.path, {}).terminals[0].baudrate == 9600


def test_a_foreign_signature_keeps_no_good_version_out(pc: Pc) -> None:
    text = HEAD.format(9) + BODY
    for signature in ("", "!", signed(text + " ")):
        watch = pc.offer(text, signature)
        assert "signature" in watch.report()["refused"]["reason"]
        assert pc.store.seen() == 0
    assert load(pc.path, {}).fleet_version is None
    pc.offer(text)
    assert load(pc.path, {}).fleet_version == 9


def test_old_documents_are_not_brought_back(pc: Pc) -> None:
    def refused(text: str, seen: int, now: datetime) -> bool:
        try:
            refuse_old(verified(PUBLIC, text, signed(text)), seen, now)
        except FleetError:
            return True
        return False

    short = f"version = 5\nexpires = {NOW + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}\n"
    assert not refused(short, 4, NOW)
    assert refused(short, 5, NOW)
    assert refused(short, 4, NOW + timedelta(minutes=1))

    pc.offer(HEAD.format(5) + BODY)
    bad = HEAD.format(7) + '[[group]]\n[group.terminal.pos1]\nprotocol = "klingon"\n'
    pc.offer(bad)
    for text in (HEAD.format(4), HEAD.format(6) + BODY, bad):  # taken before, passed over, refused
        pc.offer(text)
        assert (load(pc.path, {}).fleet_version, pc.store.seen()) == (5, 7)


def test_a_number_that_nobody_signed_keeps_nothing_out(pc: Pc) -> None:
    """A collector in the wrong hands, without the key, sends an old document and says that it is the newest of all."""
    pc.offer(HEAD.format(3) + BODY)
    old = HEAD.format(2) + BODY
    for text, signature in ((old, signed(old)), (old, "")):
        pc.watch().consider(PUBLIC, text, signature, 2**31 - 1)
        assert pc.store.seen() == 3
    pc.offer(HEAD.format(4))
    assert load(pc.path, {}).fleet_version == 4


def test_damaged_files_and_files_changed_since_leave_the_pcs_own_configuration(pc: Pc) -> None:
    pc.offer(HEAD.format(3) + '[[group]]\n[group.terminal.pos1]\ncashier = "tcp:127.0.0.1:5000"\n')
    assert load(pc.path, {}).fleet_version == 3
    # Somebody gives that port to the other terminal by hand: both can't stand together, so the file alone holds.
    own = pc.path.read_text()
    pc.path.write_text(own + 'cashier = "tcp:127.0.0.1:5000"\n')
    assert load(pc.path, {}).fleet_version is None
    pc.path.write_text(own)
    (pc.store.folder / "current.json").write_text('{"document": "version = "}')
    assert load(pc.path, {}).fleet_version is None


def test_what_does_not_start_is_undone(pc: Pc, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon that begins anew fails: the version before is in force again, and the agent runs."""
    pc.offer(HEAD.format(3) + BODY)
    pc.store.prove(3)
    started: list[int | None] = []

    def run(config: object) -> tuple[int, bool]:
        started.append(config.fleet_version)  # type: ignore[attr-defined]
        if len(started) == 1:
            pc.offer(HEAD.format(4) + "[[group]]\n[group.terminal.pos1]\nbaudrate = 300\n")
            return 0, True
        if len(started) == 2:
            raise UnreachableError("bridge.unreachable", path="/run/x")
        return 0, False

    monkeypatch.setattr(run_verb, "_run", run)
    monkeypatch.setenv("TILLWATCH_LOG__LEVEL", "info")
    assert run_verb.run(argparse.Namespace(config=str(pc.path))) == 0
    assert started == [3, 4, 3]
    refused = pc.store.refused()
    assert refused is not None
    assert (refused.version, pc.store.seen()) == (4, 4)


class Agents:
    """What `tillwatch run` starts, one after the other: each is a function, and ends as that returns or raises."""

    def __init__(self, pc: Pc, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pc = pc
        self.versions: list[int | None] = []
        monkeypatch.setattr(run_verb, "_run", self._run)
        monkeypatch.setenv("TILLWATCH_LOG__LEVEL", "info")

    def start(self, *lives: Callable[[], bool]) -> None:
        self._lives = list(lives)
        assert run_verb.run(argparse.Namespace(config=str(self.pc.path))) == 0

    def _run(self, config: Config) -> tuple[int, bool]:
        self.versions.append(config.fleet_version)
        return 0, self._lives.pop(0)()


def _fails() -> bool:
    raise UnreachableError("bridge.unreachable", path="/run/x")


def _is_told_to_end() -> bool:
    return False


def _crashes() -> bool:
    raise MemoryError


def test_a_version_on_trial_is_undone_also_when_the_pc_went_off_between(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = Agents(pc, monkeypatch)
    pc.offer(HEAD.format(3) + BODY)
    agents.start(_fails, _is_told_to_end)  # a new process: it has not run with version 3 before
    assert agents.versions == [3, None]
    assert pc.store.seen() == 3

    pc.offer(HEAD.format(4) + BODY)
    pc.store.prove(4)
    pc.offer(HEAD.format(5) + "[[group]]\n[group.terminal.pos1]\nbaudrate = 300\n")
    pc.offer(HEAD.format(6) + "[[group]]\n[group.terminal.pos1]\nbaudrate = 600\n")
    agents.start(_fails, _is_told_to_end)
    assert agents.versions[2:] == [6, 4]  # 5 never proved itself
    with pytest.raises(UnreachableError):
        agents.start(_fails)  # 4 did: what fails now is something else
    assert load(pc.path, {}).fleet_version == 4


def test_a_version_that_kills_every_agent_is_undone(pc: Pc, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = Agents(pc, monkeypatch)
    pc.offer(HEAD.format(3) + BODY)
    for _ in range(MOST_STARTS * 2):
        agents.start(_is_told_to_end)  # a PC that is switched off each evening
    for _ in range(MOST_STARTS):
        with pytest.raises(MemoryError):
            agents.start(_crashes)
    agents.start(_is_told_to_end)
    assert agents.versions[-2:] == [3, None]
    refused = pc.store.refused()
    assert refused is not None
    assert "5 times" in refused.reason


def test_who_has_run_with_a_version_for_a_while_proves_it_and_no_other(pc: Pc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Door, "ask", lambda *_: Answer(204, {}))
    monkeypatch.setattr(fleet_watch, "TRIAL_S", 0.0)
    identity, agreed = Identity.below(pc.path.parent), Enrolment("https://c", "a", "s", "mqtts://b", PUBLIC)
    running = pc.watch()
    running.consider(PUBLIC, HEAD.format(3) + BODY, signed(HEAD.format(3) + BODY), 3)
    running.look(identity, agreed)  # it has taken version 3 and waits for a quiet moment
    assert pc.store.begin(3) == 1
    pc.watch().look(identity, agreed)
    assert pc.store.begin(3) == 0


def at(wall_s: int, mono_s: int = 0) -> At:
    return At(wall_s * 1_000_000_000, mono_s * 1_000_000_000, "")


def test_the_moment_is_quiet_when_nothing_is_under_way() -> None:
    waiting = Reconfigure()
    quiet, second = Book(), 1_000_000_000
    assert not waiting.may_now([quiet], False, at(0))
    waiting.want()
    assert waiting.may_now([quiet], False, at(0))
    assert not waiting.may_now([quiet], True, at(0))
    payment = Payment(
        id="P",
        state=State.OPEN,
        kind=Kind.PURCHASE,
        message="",
        facts=Facts(),
        started_wall_ns=0,
        deadline_mono_ns=0,
    )
    busy = replace(quiet, current=payment)
    assert not waiting.may_now([quiet, busy], False, at(0))
    heard = replace(quiet, last_frame_wall_ns=100 * second)
    assert not waiting.may_now([heard], False, at(104))
    assert waiting.may_now([heard], False, at(106))
    assert waiting.may_now([heard], False, at(50))  # the clock was set back: no reason to wait for ever
    # A line where something passes each second is waited for as long; a payment for as long as it takes.
    assert not waiting.may_now([heard], False, at(104, round(PATIENCE_S) - 1))
    assert waiting.may_now([heard], False, at(104, round(PATIENCE_S)))
    assert not waiting.may_now([busy], False, at(104, 10 * round(PATIENCE_S)))
    assert not waiting.may_now([heard], True, at(104, 10 * round(PATIENCE_S)))


def test_only_a_bridge_that_systemd_starts_again_is_ended(tmp_path: Path) -> None:
    for group in ("0::/user.slice/session-1.scope\n", "0::/system.slice/other.service\n"):
        (tmp_path / str(os.getpid())).mkdir(exist_ok=True)
        (tmp_path / str(os.getpid()) / "cgroup").write_text(group)
        assert not restart_service(os.getpid(), tmp_path)
    assert not restart_service(2**22 + 1, tmp_path)


@given(st.text(max_size=200))
def test_no_text_makes_it_stumble(text: str) -> None:
    for candidate in (text, HEAD.format(1) + text):
        why = None
        try:
            overlay_of(parse(candidate), "a", "b").over({"terminal": 3, "mqtt": []})
        except FleetError as error:
            why = error.what
        assert why is None or all("\n" not in why.say(Texts(language)) for language in LANGUAGES)


def test_the_store_keeps_whole_files(pc: Pc) -> None:
    pc.offer(HEAD.format(3) + BODY)
    assert json.loads((pc.store.folder / "current.json").read_text())["document"].startswith("version = 3")
    assert {path.name for path in pc.store.folder.iterdir()} == {"current.json", "trial.json"}
