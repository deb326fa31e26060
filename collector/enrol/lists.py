"""Lists of agents to be enrolled: CSV with the columns agent and site."""

from __future__ import annotations

import csv

from collector.enrol.errors import EnrolUsageError

MOST = 100_000


def read_list(text: str, name: str) -> list[tuple[str, str]]:
    """(agent, site) of each line. `name`: what the list is called in messages. Raises EnrolUsageError."""
    rows = csv.DictReader(text.splitlines())
    try:
        if not {"agent", "site"} <= set(rows.fieldnames or ()):
            raise EnrolUsageError("enrol.list_columns", path=name)
        wanted = []
        for row in rows:
            if not row["agent"] or not row["site"]:
                raise EnrolUsageError("enrol.list_row", path=name, line=rows.line_num)
            wanted.append((row["agent"].strip(), row["site"].strip()))
            if len(wanted) > MOST:
                raise EnrolUsageError("enrol.list_long", path=name, most=MOST)
    except csv.Error as error:
        raise EnrolUsageError("enrol.list_unreadable", path=name, reason=error) from error
    if not wanted:
        raise EnrolUsageError("enrol.list_empty", path=name)
    return wanted
