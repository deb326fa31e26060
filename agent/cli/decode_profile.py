"""`tillwatch decode --profile`: bytes field by field, as a protocol's description names them.

With --json an object a frame; without it a block for people: where each field stands, its bytes (secrets masked), its
name, what it says, and below it what the agent would make of the frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from agent.analyser import lines_for_people, meaning_lines
from agent.playback import Seen
from agent.texts import Texts, language_of_environment
from drivers.observations import Checksum, Direction, Noise, Observation, as_dict
from drivers.profiles.driver import code_book, driver_of
from drivers.profiles.explain import Explained, Row, explain
from drivers.profiles.schema import Profile

_SHOWN_BYTES = 12
_CHECKS = {Checksum.OK: "check ok", Checksum.BAD: "check BAD", Checksum.NONE: "no check"}


def decode_by(profile: Profile, direction: Direction, data: bytes, as_json: bool) -> int:
    """Print what is in the bytes; 1 when no message of the profile is."""
    understood = False
    tell = partial(meaning_lines, driver_of(profile), texts=Texts(language_of_environment()))
    for frame in explain(profile, code_book(profile), direction, data):
        understood = understood or frame.message is not None
        print(json.dumps(_plain(frame), ensure_ascii=False) if as_json else "\n".join(_lines(frame, tell)))
    return 0 if understood else 1


def _plain(frame: Explained) -> dict[str, object]:
    return {
        "offset": frame.offset,
        "length": frame.length,
        "message": frame.message,
        "role": frame.role,
        "checksum": str(frame.checksum),
        "problem": frame.problem,
        "fields": [
            {
                "offset": row.offset,
                "bytes": row.data.hex().upper(),
                "name": row.name,
                "value": row.value,
                "fact": row.fact,
            }
            for row in frame.rows
        ],
        "observations": [as_dict(seen) for seen in frame.observations],
    }


def _lines(frame: Explained, tell: Callable[[Observation], Iterable[str]]) -> Iterator[str]:
    what = f'"{frame.message}" ({frame.role})' if frame.message else frame.problem
    count = f"{frame.length} byte{'s' if frame.length != 1 else ''}"
    yield f"{frame.direction}, {count} from {frame.offset}: {what}, {_CHECKS[frame.checksum]}"
    for row in frame.rows:
        yield _row(row)
    for seen in frame.observations:
        if not isinstance(seen, Noise):
            yield "  = " + lines_for_people(Seen(0.0, seen), timed=False)
            yield from (f"  = {line}" for line in tell(seen))


def _row(row: Row) -> str:
    shown = row.data[:_SHOWN_BYTES].hex(" ").upper() + (" …" if len(row.data) > _SHOWN_BYTES else "")
    fact = f"  [{row.fact}]" if row.fact and row.fact != row.name else ""
    value = "".join(char if char.isprintable() else "·" for char in row.value)
    return f"  {row.offset:>4}  {shown:<{3 * _SHOWN_BYTES + 1}}  {row.name:<18} {value}{fact}".rstrip()
