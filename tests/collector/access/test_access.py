"""Who may come in, for how long, and what stands of it in the audit log."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection, event, func, select, text
from sqlalchemy.exc import OperationalError

from agent.errors import TillwatchError
from collector.access.access import Access
from collector.access.errors import (
    BadCredentialsError,
    LinkError,
    NotAllowedError,
    TooManyAttemptsError,
    WeakPasswordError,
)
from collector.access.limits import Limits
from collector.access.passwords import Passwords, weakness
from collector.access.people import CONSOLE, User
from collector.access.roles import GRANTS, Permission, Role, may
from collector.ledger import Ledger, audit
from collector.ledger.tables_access import attempts
from tests.collector.conftest import FixedClock
from tests.collector.planted import NOW_US

PASSWORD = "three words of rain"


def person(access: Access, name: str = "chen", role: Role = Role.VIEWER) -> str:
    """An account that can log in; its id."""
    access.accept(access.invite(CONSOLE, name, role), PASSWORD, address="-", browser="-")
    return next(account.id for account in access.accounts() if account.name == name)


def enter(access: Access, name: str = "chen", password: str = PASSWORD, address: str = "10.0.0.1") -> str:
    return access.log_in(name, password, address=address, browser="test").secret


def known(access: Access, secret: str) -> User | None:
    return access.user_of_session(secret, address="-")


def test_roles_hold_what_their_people_do_and_only_administrators_hand_out_access() -> None:
    assert may(Role.VIEWER, Permission.READ)
    assert GRANTS[Role.VIEWER] == {Permission.READ}
    for role in Role:
        assert may(role, Permission.READ)
        assert GRANTS[role] <= GRANTS[Role.ADMIN]
        assert may(role, Permission.MANAGE_ACCESS) is (role is Role.ADMIN)
    assert not may(Role.TECHNICIAN, Permission.EXPORT)
    assert not may(Role.CASHIER_LEAD, Permission.COMMAND)
    assert may(Role.OPERATIONS, Permission.WORK_CASES)


def test_a_session_ends_when_nobody_uses_it(access: Access, clock: FixedClock) -> None:
    person(access)
    secret = enter(access)
    for _ in range(4):
        clock.advance(minutes=29)
        assert known(access, secret)
    clock.advance(minutes=30)
    assert known(access, secret) is None
    clock.advance(minutes=-30)
    assert known(access, secret) is None, "and does not come back"


def test_a_session_ends_after_a_shift_however_busy(access: Access, clock: FixedClock) -> None:
    person(access)
    secret = enter(access)
    for _ in range(12 * 3 - 1):
        clock.advance(minutes=20)
        assert known(access, secret)
    clock.advance(minutes=20)
    assert known(access, secret) is None


def test_an_open_page_alone_keeps_no_session(access: Access, clock: FixedClock) -> None:
    person(access)
    secret = enter(access)
    clock.advance(minutes=20)
    assert access.user_of_session(secret, address="-", seen=False)
    clock.advance(minutes=10)
    assert known(access, secret) is None


def test_who_is_in_stays_in_while_nothing_can_be_written(access: Access, ledger: Ledger, clock: FixedClock) -> None:
    person(access)
    secret = enter(access)
    _, token = access.new_token(CONSOLE, "watcher", Role.VIEWER)

    def full(connection: Connection) -> None:
        if connection.get_execution_options().get("tillwatch_writes"):
            raise OperationalError("BEGIN", None, Exception("database or disk is full"))

    event.listen(ledger.engine, "begin", full)
    clock.advance(minutes=5)
    assert known(access, secret) is not None
    assert access.user_of_token(token, address="-") is not None
    clock.advance(hours=12)
    assert known(access, secret) is None  # it is over, although that can't be written down either


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_who_reads_does_not_wait_for_somebody_who_writes_for_long(
    access: Access, ledger: Ledger, clock: FixedClock
) -> None:
    person(access)
    secret = enter(access)
    clock.advance(minutes=5)
    with contextlib.closing(sqlite3.connect(str(ledger.engine.url.database), isolation_level=None)) as backup:
        backup.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert known(access, secret) is not None
        assert time.monotonic() - began < 15, "a writer of ours waits thirty seconds"
        backup.execute("ROLLBACK")


def test_secrets_are_nowhere_in_the_database(access: Access, ledger: Ledger) -> None:
    person(access)
    _, token = access.new_token(CONSOLE, "erp", Role.VIEWER)
    secrets = [PASSWORD, enter(access), token, access.invite(CONSOLE, "wang", Role.VIEWER)]
    with ledger.read() as connection:
        rows = [
            str(connection.execute(text(f"SELECT * FROM {table}")).all())
            for table in ("accounts", "sessions", "tokens", "access_links", "login_attempts", "audit")
        ]
    for secret in secrets:
        assert not any(secret in row for row in rows)
    assert "$argon2id$" in rows[0]


def test_a_disabled_person_is_out_at_once_and_an_enabled_one_may_come_again(access: Access) -> None:
    chen = person(access)
    secret = enter(access)
    access.set_disabled(CONSOLE, chen, True)
    assert known(access, secret) is None
    with pytest.raises(BadCredentialsError):
        enter(access)
    access.set_disabled(CONSOLE, chen, False)
    assert known(access, secret) is None, "the old session stays ended"
    assert known(access, enter(access))


def test_a_new_role_counts_from_the_next_request(access: Access) -> None:
    chen = person(access)
    secret = enter(access)
    access.set_role(CONSOLE, chen, Role.TECHNICIAN)
    user = known(access, secret)
    assert user is not None
    assert user.role is Role.TECHNICIAN


def test_there_is_always_an_administrator_who_can_log_in(access: Access) -> None:
    root = person(access, "root", Role.ADMIN)
    access.invite(CONSOLE, "later", Role.ADMIN)  # can't log in yet, so does not count
    for act in (
        lambda: access.set_disabled(CONSOLE, root, True),
        lambda: access.set_role(CONSOLE, root, Role.VIEWER),
        lambda: access.invite_again(CONSOLE, root),
    ):
        with pytest.raises(NotAllowedError, match="last administrator"):
            act()
    person(access, "second", Role.ADMIN)
    access.set_disabled(CONSOLE, root, True)
    assert access.first_admin_secret(CONSOLE) is None


def test_an_invitation_is_good_once_for_three_days_and_a_new_one_voids_it(access: Access, clock: FixedClock) -> None:
    def accept(secret: str) -> None:
        access.accept(secret, PASSWORD, address="-", browser="-")

    first = access.invite(CONSOLE, "chen", Role.VIEWER)
    chen = access.accounts()[0].id
    second = access.invite_again(CONSOLE, chen)
    with pytest.raises(LinkError):
        accept(first)
    accept(second)
    session = enter(access)
    with pytest.raises(LinkError):
        accept(second)
    third = access.invite_again(CONSOLE, chen)
    assert known(access, session) is None
    with pytest.raises(BadCredentialsError):
        enter(access)
    clock.advance(days=3)
    with pytest.raises(LinkError):
        accept(third)
    for bad in ("", "nothing", "../../etc"):
        with pytest.raises(LinkError):
            access.invited(bad)


def test_of_many_who_use_a_link_at_once_one_succeeds(access: Access) -> None:
    secret = access.first_admin_secret(CONSOLE)
    assert secret is not None
    results: list[str] = []

    def attempt(number: int) -> None:
        try:
            access.become_first_admin(secret, f"root-{number}", PASSWORD, address="-", browser="-")
            results.append("in")
        except TillwatchError as error:
            results.append(type(error).__name__)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["LinkError"] * 3 + ["in"]
    assert len(access.accounts()) == 1


def test_the_first_administrators_link_expires_and_a_newer_one_voids_it(access: Access, clock: FixedClock) -> None:
    old = access.first_admin_secret(CONSOLE)
    new = access.first_admin_secret(CONSOLE)
    assert old
    assert new
    with pytest.raises(LinkError):
        access.check_first_admin(old)
    clock.advance(minutes=59)
    access.check_first_admin(new)
    clock.advance(minutes=1)
    with pytest.raises(LinkError):
        access.become_first_admin(new, "root", PASSWORD, address="-", browser="-")


def test_names_are_plain_and_taken_once(access: Access) -> None:
    person(access)
    for name in ("Chen", " chen "):
        with pytest.raises(NotAllowedError, match="already"):
            access.invite(CONSOLE, name, Role.VIEWER)
    for name in ("", "-x", "a b", "王", "a/b", "x" * 65, "a\n"):
        with pytest.raises(NotAllowedError):
            access.invite(CONSOLE, name if name != "a\n" else "a\nb", Role.VIEWER)


@pytest.mark.parametrize(
    ("password", "key"),
    [
        ("short", "short"), ("x" * 300, "long"), ("aaaaaaaaaaaa", "simple"), ("abababababab", "simple"),
        ("password123", "known"), ("Chen-is-great", "known"), ("1234567890a", "known"),
        ("three words of rain", None), ("一二三四五六七八九十", None), ("tillwatch is what we use here", None),
    ],
)  # fmt: skip
def test_passwords_that_are_easily_guessed_are_refused(password: str, key: str | None) -> None:
    found = weakness(password, "chen")
    assert (found.key if found else None) == (f"access.password_{key}" if key else None)


def test_a_weak_password_uses_no_invitation_up(access: Access) -> None:
    secret = access.invite(CONSOLE, "chen", Role.VIEWER)
    with pytest.raises(WeakPasswordError, match="too short"):
        access.accept(secret, "short", address="-", browser="-")
    access.accept(secret, PASSWORD, address="-", browser="-")


def test_a_hash_made_with_less_work_is_made_again_at_the_next_log_in(ledger: Ledger, clock: FixedClock) -> None:
    weak = Access(ledger, clock, passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)))
    person(weak)
    strong = Access(ledger, clock, passwords=Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)))
    before = strong.accounts()[0].password_hash
    enter(strong)
    after = strong.accounts()[0].password_hash
    assert before is not None
    assert after is not None
    assert ("t=1" in before, "t=2" in after) == (True, True)
    enter(strong)
    assert strong.accounts()[0].password_hash == after


def fail(access: Access, times: int, name: str = "chen", address: str = "10.0.0.1") -> type[Exception]:
    kind: type[Exception] = Exception
    for _ in range(times):
        with pytest.raises((BadCredentialsError, TooManyAttemptsError)) as caught:
            enter(access, name, "wrong password", address)
        kind = caught.type
    return kind


def test_guessing_one_account_is_braked_from_wherever_it_comes(access: Access, clock: FixedClock) -> None:
    person(access)
    person(access, "wang")
    for number in range(5):
        assert fail(access, 1, address=f"10.0.0.{number}") is BadCredentialsError
    assert fail(access, 1, address="10.9.9.9") is TooManyAttemptsError
    with pytest.raises(TooManyAttemptsError) as caught:
        enter(access)
    assert 0 < caught.value.retry_after_s <= 900
    assert enter(access, "wang"), "others come in"
    clock.advance(minutes=15, seconds=1)
    assert enter(access)


def test_guessing_many_at_once_is_braked_too(access: Access, ledger: Ledger, clock: FixedClock) -> None:
    person(access)

    class Slow(Passwords):
        """While this one is looked at, others fail."""

        def matches(self, stored: str | None, password: str) -> bool:
            with ledger.write() as connection:
                for _ in range(Limits().per_account):
                    Limits().failed(connection, "chen", "10.0.0.9", NOW_US)
            return True

    slow = Access(ledger, clock, passwords=Slow())
    with pytest.raises(TooManyAttemptsError):
        enter(slow)


def test_trying_many_accounts_from_one_address_is_braked(access: Access) -> None:
    person(access)
    for number in range(30):
        assert fail(access, 1, f"somebody-{number}") is BadCredentialsError
    with pytest.raises(TooManyAttemptsError):
        enter(access)
    assert enter(access, address="10.0.0.2")


def test_a_success_forgets_the_accounts_failures(access: Access) -> None:
    person(access)
    for _ in range(3):
        fail(access, 4)
        enter(access)


def test_two_collectors_count_together(access: Access, ledger: Ledger, clock: FixedClock) -> None:
    person(access)
    least = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    other = Access(ledger, clock, passwords=Passwords(least))
    fail(access, 3)
    fail(other, 2)
    assert fail(access, 1) is TooManyAttemptsError


def test_a_flood_fills_neither_memory_nor_table(access: Access, ledger: Ledger, clock: FixedClock) -> None:
    person(access)
    limits = Limits()
    fail(access, limits.per_account + 50)
    with ledger.read() as connection:
        rows = connection.execute(select(func.count()).select_from(attempts)).scalar_one()
        assert rows == 2 * limits.per_account
        assert len(audit.entries(connection, action="login.failed", limit=1000)) == limits.per_account
    clock.advance(minutes=16)
    fail(access, 1, "another", "10.1.1.1")
    with ledger.read() as connection:
        assert connection.execute(select(func.count()).select_from(attempts)).scalar_one() == 2


def test_what_was_typed_as_a_name_is_not_written_down(access: Access, ledger: Ledger) -> None:
    fail(access, 1, "my secret password")
    with ledger.read() as connection:
        rows = connection.execute(text("SELECT * FROM login_attempts")).all()
        assert "my secret" not in f"{rows} {audit.entries(connection)}"


def test_tokens_are_revoked_by_id_or_by_a_name_that_is_one(access: Access) -> None:
    first, one = access.new_token(CONSOLE, "erp", Role.VIEWER)
    _, two = access.new_token(CONSOLE, "erp", Role.OPERATIONS)
    with pytest.raises(TillwatchError, match="Several"):
        access.revoke_token(CONSOLE, "erp")
    access.revoke_token(CONSOLE, first.id)
    assert access.user_of_token(one, address="-") is None
    user = access.user_of_token(two, address="-")
    assert user is not None
    assert user.role is Role.OPERATIONS
    access.revoke_token(CONSOLE, "erp")
    assert access.user_of_token(two, address="-") is None
    with pytest.raises(TillwatchError, match="no valid token"):
        access.revoke_token(CONSOLE, "erp")
    for bad in ("", "tw_", "tw_" + "x" * 10_000, two[:-1], "Bearer"):
        assert access.user_of_token(bad, address="-") is None


def test_every_change_of_access_leaves_its_line(access: Access, ledger: Ledger) -> None:
    root = User(name="root", display="Root", role=Role.ADMIN, via=CONSOLE.via, address="10.0.0.9")
    acts: list[tuple[str, Callable[[str], object]]] = [
        ("account.role", lambda chen: access.set_role(root, chen, Role.TECHNICIAN)),
        ("account.disabled", lambda chen: access.set_disabled(root, chen, True)),
        ("account.enabled", lambda chen: access.set_disabled(root, chen, False)),
        ("account.invited_again", lambda chen: access.invite_again(root, chen)),
        ("token.made", lambda _: access.new_token(root, "erp", Role.VIEWER)),
        ("token.revoked", lambda _: access.revoke_token(root, "erp")),
    ]
    chen = person(access)
    for action, act in acts:
        act(chen)
        with ledger.read() as connection:
            (entry, *_) = audit.entries(connection)
        assert (entry.action, entry.actor, entry.address) == (action, "root", "10.0.0.9")
    with ledger.read() as connection:
        page = audit.entries(connection, limit=3)
        rest = audit.entries(connection, before=page[-1].id)
        assert [entry.action for entry in audit.entries(connection)] == [e.action for e in page + rest]
        assert {entry.action for entry in rest} >= {"account.invited", "account.accepted", "login.done"}
