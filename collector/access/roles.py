"""Roles, and what each may do: one table, read by every door (pages, API, command line)."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """One thing a person or program may do. A door names the permission it needs, never a role."""

    READ = "read"  # transactions, events, agents, cases: everything the dashboard shows
    PRINT_PROOF = "print_proof"  # the patient's proof
    NOTE = "note"  # open a case, write a note on one
    WORK_CASES = "work_cases"  # owner, due time, status of a case
    EXPORT = "export"  # escalation packages, tables of transactions
    COMMAND = "command"  # have an agent ask, diagnose, send again
    RECONCILE = "reconcile"  # take in files, run a reconciliation
    SEE_AUDIT = "see_audit"  # read the audit log
    ENROLL = "enroll"  # give agents their identity
    MANAGE_ACCESS = "manage_access"  # accounts, invitations, bearer tokens


class Role(StrEnum):
    """What an account or a token is there for."""

    VIEWER = "viewer"
    CASHIER_LEAD = "cashier-lead"
    TECHNICIAN = "technician"
    OPERATIONS = "operations"
    ADMIN = "admin"


_LOOK = frozenset({Permission.READ})
_WINDOW = _LOOK | {Permission.PRINT_PROOF, Permission.NOTE}
_FIELD = _LOOK | {Permission.NOTE, Permission.COMMAND, Permission.ENROLL}
_OFFICE = _WINDOW | {
    Permission.WORK_CASES,
    Permission.EXPORT,
    Permission.COMMAND,
    Permission.RECONCILE,
    Permission.SEE_AUDIT,
}

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _LOOK,
    Role.CASHIER_LEAD: _WINDOW,
    Role.TECHNICIAN: _FIELD,
    Role.OPERATIONS: _OFFICE,
    Role.ADMIN: frozenset(Permission),
}


def may(role: Role, permission: Permission) -> bool:
    """Whether the role holds the permission."""
    return permission in GRANTS[role]
