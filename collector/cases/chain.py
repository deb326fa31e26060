"""The hash chain of a case's history: each entry's hash covers its content and the hash of the entry before it.

So a changed, removed or inserted entry shows, and so does a cut-off end, because the case keeps length and last hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256

from collector.ledger.cases import Case, Entry


def entry(
    case: int, number: int, before: str, *, at_us: int, actor: str, via: str, action: str, data: Mapping[str, object]
) -> Entry:
    """The next entry of a history, with its hash."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    bare = Entry(
        case=case, entry=number, at_us=at_us, actor=actor, via=via, action=action, data=text, before=before, hash=""
    )
    return replace(bare, hash=hash_of(bare))


def hash_of(entry: Entry) -> str:
    """SHA-256 over the entry without its hash, as canonical JSON."""
    content = {name: value for name, value in asdict(entry).items() if name != "hash"}
    return sha256(json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def first_break(case: Case, history: Sequence[Entry]) -> int | None:
    """The number of the first entry that is not as it was written; None when the whole history is."""
    before = ""
    for number, found in enumerate(history, start=1):
        if found.entry != number or found.before != before or found.hash != hash_of(found):
            return number
        before = found.hash
    if len(history) != case.entries or before != case.head:
        return len(history) + 1
    return None
