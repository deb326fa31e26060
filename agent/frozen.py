"""Frozen dataclasses to JSON values and back, so that a value on disk or on the wire is the same typed value again.

Only what our types use is known: dataclasses, enums, str, int, float, bool, None, tuples of one type, `X | None`.
A trailing language region is a Python name inside (`zh_CN`) and a language tag outside (`zh-CN`).
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_SCALARS = frozenset({str, int, float, bool, NoneType})


def to_plain(value: object) -> Any:
    """The value as dicts, lists and scalars, ready for json.dumps."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if names := _names(kind):  # type: ignore[arg-type]
        return {outside: to_plain(getattr(value, name)) for name, outside in names}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], plain: Any) -> T:
    """The typed value of what `to_plain` gave. Raises TypeError, ValueError or KeyError on anything else.

    Fields that are missing take their default, fields that are not known are left out: an older or a newer
    version wrote it.
    """
    value: T = _read(kind, plain)
    return value


def _read(kind: Any, plain: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _read_union(get_args(kind), plain)
    if origin is tuple:
        items = get_args(kind)
        if len(items) == 2 and items[1] is Ellipsis:
            return tuple(_read(items[0], item) for item in plain)
        return tuple(_read(item, part) for item, part in zip(items, plain, strict=True))
    if is_dataclass(kind) and isinstance(kind, type):
        known = {name: hint for name, hint in _hints(kind).items() if outside_name(name) in plain}
        return kind(**{name: _read(hint, plain[outside_name(name)]) for name, hint in known.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    if isinstance(kind, type) and isinstance(plain, kind):
        return plain
    raise TypeError(f"{plain!r} is no {kind}")


def _read_union(kinds: tuple[Any, ...], plain: Any) -> Any:
    if plain is None and NoneType in kinds:
        return None
    for kind in kinds:
        if kind is NoneType:
            continue
        try:
            return _read(kind, plain)
        except (TypeError, ValueError):
            continue
    raise TypeError(f"{plain!r} is none of {kinds}")


@cache
def _names(kind: type) -> tuple[tuple[str, str], ...]:
    """The fields of a dataclass, by their names inside and outside; nothing for any other type."""
    return tuple((f.name, outside_name(f.name)) for f in fields(kind)) if is_dataclass(kind) else ()


@cache
def _hints(kind: type) -> dict[str, Any]:
    known = get_type_hints(kind)
    return {field.name: known[field.name] for field in fields(kind)}


def outside_name(name: str) -> str:
    """The name of a field outside Python."""
    return "zh-CN" if name == "zh_CN" else name
