"""What people have to see to. `open_for` is how every part opens a case; `Desk` is how people work on one."""

from collector.cases.book import open_for, settle
from collector.cases.life import Kind, Reason, Status

__all__ = ["Kind", "Reason", "Status", "open_for", "settle"]
