"""The walk as a whole: order, verdict, going on where it was broken off, and payments that it must not disturb."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.cli import diag as diag_cli
from agent.cli import main
from agent.demo.cashier import Manner, pay_concert
from agent.diag import walk as walking
from agent.diag.kept import Kept, begin
from agent.diag.scene import Scene
from agent.diag.step import Level, Step, frozen, thawed
from agent.diag.verdict import BY_STEP, Culprit, verdict
from agent.diag.walk import PART_OF, STEPS, walk
from agent.errors import UnreachableError
from agent.phrase import phrase
from agent.tap import Tap
from agent.texts import LANGUAGES, Texts
from tests.agent.diag.bench import configuration, diagnosed, findings, loaded, scene
from tests.agent.diag.copper import Line, dead, good, terminal
from tests.agent.shut import shut
from tests.broker import Broker
from tests.waits import until
from tests.whole.cashiers import pay_zvt_serial
from tests.whole.stand import Stand

Capture = pytest.CaptureFixture[str]


def test_a_step_has_a_title_and_a_place_in_the_verdict() -> None:
    names = set(STEPS) - {"network"} | set(PART_OF)
    assert names == set(BY_STEP)
    for language in LANGUAGES:
        texts = Texts(language)
        assert [name for name in names if not texts.has(f"diag.title_{name}")] == []
        assert [culprit for culprit in Culprit if not texts.has(f"diag.verdict_{culprit}")] == []


def test_every_text_is_asked_for_and_every_one_that_is_asked_for_exists() -> None:
    folder = Path(walking.__file__).parent
    code = "".join(path.read_text() for path in (*folder.glob("*.py"), folder.parent / "cli" / "diag.py"))
    known = tomllib.loads((folder.parent / "locale" / "en" / "diag.toml").read_text())
    asked = set(re.findall(r'"diag\.(\w+)"', code)) - {"toml"}
    assert asked - known.keys() == set()
    parts = re.compile(r"title_|verdict_|\w+_mend$")
    assert {key for key in known if not parts.match(key)} - asked == set()
    for key in known:
        assert not key.endswith("_mend") or key.removesuffix("_mend") in known


def test_the_first_failure_on_the_way_decides_and_others_are_named() -> None:
    steps = [
        Step.warn("clock", "diag.clock_unknown"),
        Step.fail("noise", "diag.bit_errors"),
        Step.fail("login", "check.login_password"),
        Step.fail("answer", "diag.answers_sometimes"),
    ]
    found = verdict(steps)
    assert (found.culprit, len(found.reasons)) == (Culprit.CABLE, 2)
    assert [(culprit, step.name) for culprit, step in found.also] == [(Culprit.NETWORK, "login")]
    assert not verdict(steps[:1]).found


@pytest.mark.parametrize(
    ("answer", "other", "culprit"),
    [
        (Step.ok("answer", "diag.answers"), None, Culprit.NOTHING),
        (Step.skip("answer", "diag.unaskable"), None, Culprit.UNKNOWN),
        (Step.warn("answer", "diag.talking"), Step.skip("noise", "diag.nothing_passed"), Culprit.UNKNOWN),
        (Step.skip("answer", "diag.unaskable"), Step.ok("noise", "diag.clean"), Culprit.NOTHING),
        (Step.skip("answer", "diag.unaskable"), Step.ok("heard", "diag.heard", whole=0), Culprit.UNKNOWN),
        (Step.skip("answer", "diag.unaskable"), Step.ok("heard", "diag.heard", whole=3), Culprit.NOTHING),
        (Step.skip("answer", "diag.closed"), Step.fail("broker", "check.broker_no_name"), Culprit.NETWORK),
    ],
)
def test_a_terminal_that_nobody_has_heard_is_not_called_good(
    answer: Step, other: Step | None, culprit: Culprit
) -> None:
    found = verdict([answer, *([other] if other else [])])
    assert found.culprit is culprit
    assert found.found == (culprit is Culprit.NETWORK)
    assert (answer in found.reasons) == (culprit is Culprit.UNKNOWN)


def test_a_step_keeps_what_it_found() -> None:
    step = Step.fail("answer", "diag.silent", tries=2, path=Path("/dev/x"), reason=phrase("check.nobody"), none=None)
    again = thawed(json.loads(json.dumps(frozen(step))))
    assert (again.name, again.level, again.what.key) == (step.name, step.level, step.what.key)
    assert again.what.values == {"tries": 2, "path": "/dev/x", "reason": phrase("check.nobody"), "none": None}


@pytest.fixture
def short_walk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three steps that note when they are taken; the second breaks the run off the first time."""
    taken: list[str] = []

    def step(name: str) -> walking.Take:
        def take(_scene: Scene) -> Iterator[Step]:
            taken.append(name)
            if name == "holder" and taken.count(name) == 1:
                raise KeyboardInterrupt
            yield Step.ok(name, "diag.echo_none")

        return take

    monkeypatch.setattr(walking, "STEPS", {name: step(name) for name in ("device", "holder", "disk")})
    return taken


def test_a_run_that_was_broken_off_goes_on_behind_its_last_step(short_walk: list[str], tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    on, shown = scene(tmp_path), []
    with pytest.raises(KeyboardInterrupt):
        walk(on, begin(tmp_path, on.terminal, environ, resume=False), [], shown.append)
    shown.clear()
    kept = begin(tmp_path, on.terminal, environ, resume=True)
    result = walk(on, kept, [], shown.append)
    kept.end()
    assert short_walk == ["device", "holder", "holder", "disk"]
    assert [step.name for step in result.steps] == [step.name for step in shown] == ["device", "holder", "disk"]
    assert begin(tmp_path, on.terminal, environ, resume=True).done == {}, "it came to its end"
    assert {row["name"] for rows in _kept(tmp_path)["done"].values() for row in rows} == {"device", "holder", "disk"}


def _kept(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "diag-pos1.json").read_text())
    return told


def test_what_was_found_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    terminal = scene(tmp_path).terminal
    begin(tmp_path, terminal, {}, resume=False).add("disk", [Step.ok("disk", "diag.echo_none")])
    assert begin(tmp_path, terminal, {}, resume=True).done.keys() == {"disk"}
    assert begin(tmp_path, terminal, {}, resume=False).done == {}
    assert begin(tmp_path, replace(terminal, baudrate=19200), {}, resume=True).done == {}


def test_a_file_that_can_not_be_read_is_no_hindrance(tmp_path: Path) -> None:
    terminal = scene(tmp_path).terminal
    begin(tmp_path, terminal, {}, resume=False).add("disk", [Step.ok("disk", "diag.echo_none")])
    good = _kept(tmp_path)
    for bad in ({**good, "version": 9}, {**good, "done": {"disk": [{"name": "disk"}]}}, {**good, "at_s": "x"}, {}, []):
        (tmp_path / "diag-pos1.json").write_text(json.dumps(bad))
        assert begin(tmp_path, terminal, {}, resume=True).done == {}
    (tmp_path / "diag-pos1.json").write_text("{")
    assert begin(tmp_path, terminal, {}, resume=True).done == {}


def test_where_the_agents_folder_is_closed_or_missing_the_users_own_is_taken(tmp_path: Path) -> None:
    terminal = scene(tmp_path).terminal
    folder, home = tmp_path / "shut", tmp_path / "home"
    folder.mkdir()
    environ = {"XDG_STATE_HOME": str(home)}
    with shut(folder):
        assert begin(folder, terminal, environ, resume=True).path == home / "tillwatch" / "diag-pos1.json"
        assert begin(folder, terminal, {}, resume=True).path is None
    missing = tmp_path / "missing"
    kept = begin(missing, terminal, environ, resume=False)
    kept.add("disk", [Step.ok("disk", "diag.echo_none")])
    assert not missing.exists(), "it would not be the agent's"
    assert begin(missing, terminal, environ, resume=True).done.keys() == {"disk"}


def test_a_place_that_refuses_does_not_stop_a_diagnosis(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (None, tmp_path / "file" / "diag-pos1.json"):
        kept = Kept(path)
        kept.add("disk", [Step.ok("disk", "diag.echo_none")])
        kept.end()


def test_with_two_terminals_the_first_is_not_walked_again(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configuration(tmp_path, "tcp:127.0.0.1:1", "zvt")
    second = '[[terminal]]\nname = "pos2"\nprotocol = "zvt"\ndevice = "tcp:127.0.0.1:2"\ncashier = "none"\n'
    path.write_text(path.read_text() + second)
    taken: list[str] = []

    def device(on: Scene) -> Iterator[Step]:
        taken.append(on.terminal.name)
        if taken == ["pos1", "pos2"]:
            raise KeyboardInterrupt
        yield Step.ok("device", "diag.echo_none")

    for module in (walking, diag_cli):
        monkeypatch.setattr(module, "STEPS", {"device": device})
    assert main(["diag", "--config", str(path)]) == 130
    assert main(["diag", "--config", str(path), "--only", "device", "--terminal", "pos1"]) == 0, "a step between"
    assert main(["diag", "--config", str(path), "--resume"]) == 0
    assert taken == ["pos1", "pos2", "pos1", "pos2"]
    assert "broken off at" in capsys.readouterr().err


def test_a_step_that_breaks_does_not_take_the_others_along(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_scene: Scene) -> Iterator[Step]:
        yield Step.ok("device", "diag.echo_none")
        raise RuntimeError("no")

    def whole(_scene: Scene) -> Iterator[Step]:
        yield Step.ok("disk", "diag.echo_none")

    monkeypatch.setattr(walking, "STEPS", {"device": broken, "disk": whole})
    result = walk(scene(tmp_path), Kept(tmp_path / "kept"), [], lambda _: None)
    assert [(step.name, step.level) for step in result.steps][1:] == [("device", Level.SKIP), ("disk", Level.OK)]
    assert re.search(r"\(RuntimeError: no, test_walk\.py:\d+\)", result.steps[1].what.say(Texts("en")))
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", ""), "no traceback for people"


@pytest.mark.parametrize("words", [["--only", "anser"], ["--terminal", "pos9"]])
def test_a_wrong_name_is_refused_with_the_nearest(words: list[str], tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, "tcp:127.0.0.1:1", "zvt")
    assert main(["diag", "--config", str(path), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean" in error


@pytest.mark.parametrize(("language", "word"), [("en", "Verdict: "), ("zh-CN", "结论：")])
def test_people_get_a_line_a_step_and_the_verdict(language: str, word: str, tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/nothing")
    path.write_text(path.read_text().replace('"en"', f'"{language}"'))
    assert main(["diag", "--config", str(path), "--only", "device", "--only", "disk"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("fail  device ")
    assert " → " in lines[1]
    assert any(line.startswith(word) for line in lines)


def test_a_part_of_a_step_may_be_asked_for(tmp_path: Path, capsys: Capture) -> None:
    code, told = diagnosed(configuration(tmp_path, "serial:/dev/null"), capsys, "--only", "login")
    assert (code, [step["step"] for step in told["steps"]]) == (0, ["broker"])


def test_a_payment_under_way_is_not_disturbed(tmp_path: Path, capsys: Capture) -> None:
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    heard = bytearray()

    def into(data: bytes) -> bytes:
        heard.extend(data)
        return data

    results: list[str | None] = []
    gate = threading.Event()

    def pay() -> None:
        gate.set()
        results.append(pay_concert(stand.port(), 1234, Manner.PROPER, 30))

    with terminal("concert", Line(tmp_path / "line", good, into), think_s=3.0), contextlib.ExitStack() as stack:
        stack.callback(stand.close)
        stand.start_agent()
        until(lambda: '"link.up"' in stand.log, what="line up")
        paying = threading.Thread(target=pay)
        paying.start()
        gate.wait(10)
        until(lambda: heard.endswith(b"\x04"), what="the terminal has the request")
        config = loaded(stand.config)
        on = Scene(config, config.terminals[0], patience_s=0)
        said = len(heard)
        assert [step.finding for step in STEPS["answer"](on)] == ["payment_open"]
        assert len(heard) == said, "the terminal was spoken to in the middle of a payment"
        patient = Scene(config, config.terminals[0], patience_s=30)
        assert [step.finding for step in STEPS["answer"](patient)] == ["answers"]
        paying.join(30)
    assert results == ["0"]


@pytest.mark.parametrize("protocol", ["concert", "zvt"])
def test_a_cashier_that_speaks_in_the_middle_of_a_question_pays(protocol: str, tmp_path: Path) -> None:
    """The question ends as its protocol ends one; the payment's bytes wait that long, and nothing is mixed."""
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", protocol, f"serial:{tmp_path}/line", more='[terminal.confirm]\nquiet = "0.2s"')
    heard = bytearray()
    line = Line(tmp_path / "line", into=lambda data: heard.extend(data) or data)
    found: list[str] = []
    with terminal(protocol, line) as told, contextlib.ExitStack() as stack:
        stack.callback(stand.close)
        stand.start_agent()
        until(lambda: '"link.up"' in stand.log, what="line up")
        config = loaded(stand.config)
        on = Scene(config, config.terminals[0], patience_s=0)
        asking = threading.Thread(target=lambda: found.extend(step.finding for step in STEPS["answer"](on)))
        asking.start()
        until(lambda: heard, what="the question")
        if protocol == "concert":
            paid = pay_concert(stand.port(), 1234, Manner.PROPER, 20) == "0"
        else:
            paid = pay_zvt_serial(stand.port(), 1234)
        asking.join(30)
    assert paid
    assert [log.event for log in told].count("charged") == 1
    assert found in (["payment_open"], ["answers"])


def test_a_loopback_plug(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line")
    with terminal("concert", Echo(tmp_path / "line")):
        code, told = diagnosed(path, capsys, "--loopback", "--only", "loopback", "--only", "echo", "--only", "answer")
        assert (code, findings(told), findings(told, "ok")) == (0, set(), {"echo_plug", "loopback_ok"})
        code, told = diagnosed(path, capsys, "--only", "echo")
        assert (code, told["verdict"], findings(told)) == (1, "cable", {"echo"})


def test_a_loopback_plug_on_a_cut_cable(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line")
    with terminal("concert", Line(tmp_path / "line", out=lambda _: b"")):
        code, told = diagnosed(path, capsys, "--loopback", "--only", "loopback")
    assert (code, told["verdict"], findings(told)) == (1, "cable", {"loopback_nothing"})


def test_the_loopback_pattern_is_never_sent_to_a_terminal(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line", "zvt")
    heard = bytearray()
    with terminal("zvt", Line(tmp_path / "line", into=lambda data: heard.extend(data) or data)):
        code, told = diagnosed(path, capsys, "--loopback", "--only", "loopback")
    assert (code, findings(told, "skip")) == (0, {"loopback_refused"})
    assert b"U*U*" not in heard


class Echo(Line):
    """A loopback plug: what comes goes back."""

    def read(self) -> bytes:
        if data := super().read():
            self.write(data)
        return b""


def test_another_protocol_than_configured(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line", "concert")
    with terminal("zvt", Line(tmp_path / "line")):
        code, told = diagnosed(path, capsys, "--only", "answer")
    assert (code, told["verdict"], findings(told)) == (1, "configuration", {"wrong_protocol"})
    assert told["reasons"][0]["text"] == "the terminal speaks zvt; configured is concert"


def test_a_protocol_that_nobody_has_named(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line", "auto")
    with terminal("zvt", Line(tmp_path / "line")):
        code, told = diagnosed(path, capsys, "--only", "answer")
    assert (code, findings(told, "ok")) == (0, {"speaks"})


def test_a_zvt_terminal_tells_that_it_is_ready(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path, f"serial:{tmp_path}/line", "zvt")
    with terminal("zvt", Line(tmp_path / "line")):
        code, told = diagnosed(path, capsys, "--only", "paper")
    assert (code, findings(told, "ok")) == (0, {"paper_ok"})


def test_a_bridge_whose_device_is_away(tmp_path: Path, capsys: Capture) -> None:
    stand = Stand(tmp_path, None)
    stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
    with contextlib.ExitStack() as stack:
        stack.callback(stand.close)
        stand.start_agent()
        until(lambda: '"link.down"' in stand.log, what="line down")
        code, told = diagnosed(stand.config, capsys)
    assert (code, told["verdict"]) == (1, "cable")
    assert findings(told) == {"device_missing"}
    assert "closed" in findings(told, "skip")


def test_results_hold_nothing_but_words_and_figures(tmp_path: Path) -> None:
    config = loaded(configuration(tmp_path, "serial:/dev/null"))
    on = Scene(replace(config), config.terminals[0])
    result = walk(on, Kept(tmp_path / "kept"), ["device", "disk"], lambda _: None)
    told = result.as_data(Texts("en"))
    assert json.loads(json.dumps(told)) == told


def test_from_the_centre_over_mqtt(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker, terminal("concert", Line(tmp_path / "line", out=dead)):
        stand = Stand(tmp_path, broker)
        stand.terminal("pos1", "concert", f"serial:{tmp_path}/line")
        with contextlib.ExitStack() as stack:
            stack.callback(stand.close)
            stand.start_agent()
            until(lambda: '"link.up"' in stand.log, what="line up")
            until(lambda: '"mqtt.connected"' in stand.log, what="connected")
            asked = {"id": "d1", "expires": 4e9, "terminal": "pos1"}
            answer = json.loads(_asked_over(broker, "tillwatch/1/outpatient-1/cashier-07/commands/diag", asked))
    assert (answer["id"], answer["ok"], answer["error"]) == ("d1", True, None)
    assert [told["verdict"] for told in answer["result"]] == ["terminal"]
    assert findings(answer["result"][0]) == {"silent_bridge"}


def _asked_over(broker: Broker, topic: str, body: dict[str, object]) -> str:
    """Request and response by mosquitto's own program."""
    words = ["-V", "5", "-p", str(broker.port), "-t", topic, "-e", "answers/d1", "-m", json.dumps(body), "-W", "60"]
    return subprocess.run(["mosquitto_rr", *words], capture_output=True, text=True, check=True, timeout=90).stdout


def test_a_bridge_that_may_not_be_asked_is_said_in_one_line(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(run_dir: Path) -> Tap:
        raise UnreachableError("bridge.denied", path=run_dir / "bridge.sock")

    monkeypatch.setattr(Tap, "connect", denied)
    assert main(["diag", "--config", str(configuration(tmp_path, "serial:/dev/null"))]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "bridge.sock" in error


def test_what_is_the_same_for_all_terminals_is_looked_at_once(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configuration(tmp_path, "tcp:127.0.0.1:1", "zvt")
    second = (
        f'[[terminal]]\nname = "pos2"\nprotocol = "zvt"\ndevice = "tcp:127.0.0.1:2"\ncashier = "pty:{tmp_path}/2"\n'
    )
    path.write_text(path.read_text() + second)
    looked: list[str] = []

    def disk(on: Scene) -> Iterator[Step]:
        looked.append(on.terminal.name)
        yield Step.ok("disk", "diag.echo_none")

    monkeypatch.setitem(walking.STEPS, "disk", disk)
    assert main(["diag", "--config", str(path), "--json", "--only", "disk"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["terminal"], len(one["steps"])) for one in told] == [("pos1", 1), ("pos2", 1)]
    assert looked == ["pos1"]
