"""What was seen on a line as a protocol analyser shows it: plain text, no layout of a screen, no card number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.money import show_amount
from agent.playback import Seen
from agent.texts import Texts
from drivers import codes
from drivers.driver import Driver
from drivers.masking import LeftOut, Piece
from drivers.observations import Answer, Checksum, Direction, Observation, as_dict

_ARROWS = {Direction.CASHIER: "cashier  >", Direction.TERMINAL: "terminal <"}
_USUAL = (("final", True), ("at_once", False), ("complete", True))  # worth saying only when it is otherwise
_CHECKS = {Checksum.OK: "ok", Checksum.BAD: "BAD", Checksum.NONE: "-"}
_ROW = 16  # bytes


def lines_for_people(seen: Seen, timed: bool) -> str:
    """The observation in one line; receipt text below it."""
    time = f"{seen.at:>12.6f}  " if timed else ""
    return "\n".join([f"{time}{summary(seen.observation)}", *text_lines(seen.observation)])


def summary(observation: Observation) -> str:
    """Who said what, whether its check was right, and the fields, in one line."""
    return f"{arrow(observation.direction)}  {said(observation)}"


def said(observation: Observation) -> str:
    """What was said, whether its check was right, and the fields."""
    shown = as_dict(observation)
    fields = dict(shown["fields"]) if isinstance(shown["fields"], dict) else {}
    told = " ".join(_told(fields))
    check = _CHECKS[observation.checksum]
    return printable(f"{shown['kind']!s:<10}  {check:<4}  {told}".rstrip())


def text_lines(observation: Observation) -> list[str]:
    """The lines of a receipt or display."""
    return [printable(f"{'':>12}| {text}") for text in observation.text]


def arrow(direction: Direction) -> str:
    """Who sent it."""
    return _ARROWS[direction]


def byte_lines(pieces: Sequence[Piece]) -> Iterator[str]:
    """The bytes, sixteen a row: their place in the frame, hexadecimal, text. Of those left out their number."""
    at = 0
    for piece in pieces:
        if isinstance(piece, LeftOut):
            yield f"{at:04x}  ~ {piece.length}"
            at += piece.length
            continue
        for start in range(0, len(piece), _ROW):
            row = piece[start : start + _ROW]
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
            yield f"{at:04x}  {row.hex(' ').upper():<{3 * _ROW - 1}}  {text}"
            at += len(row)


def meaning_lines(driver: Driver, observation: Observation, texts: Texts) -> Iterator[str]:
    """What an answer's code means, and what cashier and technician should do."""
    if not isinstance(observation, Answer):
        return
    code, language = observation.facts.response_code, texts.language
    own = codes.book(driver.codes or driver.name, driver.own_codes, driver.name)
    book = codes.book(f"{driver.codes}_reversal") if observation.reverses else own
    if meaning := book.meaning(code):
        yield f"{code}: {meaning.text[language]}"
        if advice := meaning.advice.get(language):
            yield f"{texts.say('history.advice')}: {advice}"
        if technician := meaning.technician.get(language):
            yield f"{texts.say('history.technician')}: {technician}"


def _told(fields: dict[str, object]) -> Iterator[str]:
    """The fields as words: what is said first, then name=value; the amount as people write it."""
    if message := fields.pop("message", None):
        yield f'"{message}"'
    currency = fields.pop("currency", None)
    for name, usual in _USUAL:
        if fields.get(name) is usual:
            del fields[name]
    for name, value in fields.items():
        if name == "amount" and isinstance(value, int):
            yield f"amount={show_amount(value, str(currency) if currency else None)}"
        elif name == "card" and isinstance(value, dict):
            yield f"card={value['masked']}" + (f" ({value['scheme']})" if value["scheme"] else "")
        elif isinstance(value, bool):
            yield f"{name}={'yes' if value else 'no'}"
        else:
            text = str(value)
            yield f"{name}={text}" if " " not in text else f'{name}="{text}"'


def printable(text: str) -> str:
    """What a terminal sends must not steer the screen of who reads it."""
    return "".join(char if char.isprintable() else "·" for char in text)
