"""Accounts, invitations, the first administrator, bearer tokens: everything that changes who may come in.

Each change leaves a line in the audit log. There is always an administrator who can log in. A link works once, and a
newer one voids it.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from collector.access.doors import Doors, LoggedIn, login_name, user_of, write_note
from collector.access.errors import BadCredentialsError, LinkError, NotAllowedError, WeakPasswordError
from collector.access.passwords import weakness
from collector.access.people import User, Via
from collector.access.roles import Role
from collector.access.secrets import BEARER_PREFIX, digest, new_id, new_secret
from collector.errors import CollectorNothingFoundError
from collector.ledger import accounts
from collector.ledger.accounts import Account, Link, Token

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_S = 1_000_000


class Access(Doors):
    """The doorkeeper: the doors, and the book of who may use them."""

    def accounts(self) -> list[Account]:
        """Everybody, by name."""
        with self._ledger.read() as connection:
            return accounts.all_accounts(connection)

    def invite(self, by: User, name: str, role: Role, display: str = "") -> str:
        """Make an account without a password, and the one-time secret of the link that sets one.

        Raises NotAllowedError when the name is bad or taken.
        """
        name = login_name(name)
        if not _NAME.fullmatch(name):
            raise NotAllowedError("access.name_bad", name=name[:64])
        account = self._fresh(name, role, display, by.name)
        try:
            with self._ledger.write() as connection:
                accounts.add_account(connection, account)
                secret = self._link(connection, "invitation", account.id, self.lifetimes.invitation_s)
                write_note(connection, self._now(), by, "account.invited", about=name, detail={"role": role.value})
        except IntegrityError as error:
            raise NotAllowedError("access.name_taken", name=name) from error
        return secret

    def invite_again(self, by: User, account_id: str) -> str:
        """A new link for an account: the former one, its password and its sessions are void."""
        with self._ledger.write() as connection:
            account = _known(connection, account_id)
            self._keep_an_admin(connection, account)
            accounts.drop_links(connection, "invitation", account.id)
            accounts.change_account(connection, account.id, password_hash=None)
            accounts.end_sessions_of(connection, account.id)
            write_note(connection, self._now(), by, "account.invited_again", about=account.name)
            return self._link(connection, "invitation", account.id, self.lifetimes.invitation_s)

    def invited(self, secret: str) -> Account:
        """Whose invitation this is. Raises LinkError when it can't be used (any more)."""
        with self._ledger.read() as connection:
            return self._invited(connection, secret)

    def accept(self, secret: str, password: str, *, address: str, browser: str) -> LoggedIn:
        """Set the password with the invitation's secret, which it uses up. Raises LinkError, WeakPasswordError."""
        account = self.invited(secret)
        hashed = self._hash(password, account.name)
        with self._ledger.write() as connection:
            if not accounts.use_link(connection, digest(secret), self._now()):
                raise LinkError
            accounts.change_account(connection, account.id, password_hash=hashed)
            write_note(
                connection, self._now(), user_of(account, Via.SESSION, address), "account.accepted", about=account.name
            )
        return self._let_in(account, address=address, browser=browser)

    def change_password(self, user: User, old: str, new: str) -> None:
        """Set a new password; all sessions of the account end. Raises BadCredentialsError, WeakPasswordError."""
        if user.account is None:
            raise BadCredentialsError
        now = self._now()
        with self._ledger.read() as connection:
            account = _known(connection, user.account)
            self._limits.check(connection, account.name, user.address, now)
        if not self._passwords.matches(account.password_hash, old):
            self._failed(account.name, user.address, "password.failed", known=True)
            raise BadCredentialsError
        hashed = self._hash(new, account.name)
        with self._ledger.write() as connection:
            accounts.change_account(connection, account.id, password_hash=hashed)
            accounts.end_sessions_of(connection, account.id)
            write_note(connection, now, user, "password.changed", about=account.name)

    def set_role(self, by: User, account_id: str, role: Role) -> None:
        """Give an account another role; what it may do changes with its next request."""
        with self._ledger.write() as connection:
            account = _known(connection, account_id)
            if role is not Role.ADMIN:
                self._keep_an_admin(connection, account)
            accounts.change_account(connection, account.id, role=role.value)
            detail = {"from": account.role, "to": role.value}
            write_note(connection, self._now(), by, "account.role", about=account.name, detail=detail)

    def set_disabled(self, by: User, account_id: str, disabled: bool) -> None:
        """Shut an account out with all its sessions, or let it in again. None is ever deleted: history names them."""
        with self._ledger.write() as connection:
            account = _known(connection, account_id)
            if disabled:
                self._keep_an_admin(connection, account)
                accounts.end_sessions_of(connection, account.id)
                accounts.drop_links(connection, "invitation", account.id)
            accounts.change_account(connection, account.id, disabled=disabled)
            action = "account.disabled" if disabled else "account.enabled"
            write_note(connection, self._now(), by, action, about=account.name)

    def set_language(self, user: User, language: str) -> None:
        """The language an account's pages are in."""
        if user.account is not None:
            with self._ledger.write() as connection:
                accounts.change_account(connection, user.account, language=language)

    def join(self, by: User, subject: str, name: str, display: str, role: Role) -> Account:
        """The account of a person who came through OIDC, made at the first time. The provider decides the role."""
        with self._ledger.write() as connection:
            account = accounts.account_of_subject(connection, subject)
            if account is None:
                account = self._fresh(_free_name(connection, name), role, display, by.name, subject=subject)
                accounts.add_account(connection, account)
                write_note(
                    connection, self._now(), by, "account.joined", about=account.name, detail={"role": role.value}
                )
            elif account.role != role.value:
                accounts.change_account(connection, account.id, role=role.value)
                detail = {"from": account.role, "to": role.value}
                write_note(connection, self._now(), by, "account.role", about=account.name, detail=detail)
        return account

    # -- the first administrator --------------------------------------------------------------------------

    def first_admin_secret(self, by: User) -> str | None:
        """The one-time secret that makes the first administrator; None when there is one who can log in."""
        with self._ledger.write() as connection:
            if accounts.count_with_role(connection, Role.ADMIN, able=True):
                return None
            accounts.drop_links(connection, "first-admin")
            write_note(connection, self._now(), by, "first_admin.offered")
            return self._link(connection, "first-admin", None, self.lifetimes.first_admin_s)

    def check_first_admin(self, secret: str) -> None:
        """Raises LinkError when the secret makes no administrator (any more)."""
        with self._ledger.read() as connection:
            self._good_link(connection, secret, "first-admin")

    def become_first_admin(self, secret: str, name: str, password: str, *, address: str, browser: str) -> LoggedIn:
        """Raises LinkError, NotAllowedError, WeakPasswordError."""
        self.check_first_admin(secret)
        name = login_name(name)
        if not _NAME.fullmatch(name):
            raise NotAllowedError("access.name_bad", name=name[:64])
        hashed = self._hash(password, name)
        account = self._fresh(name, Role.ADMIN, "", "console", password_hash=hashed)
        try:
            with self._ledger.write() as connection:
                if not accounts.use_link(connection, digest(secret), self._now()):
                    raise LinkError
                accounts.add_account(connection, account)
                write_note(
                    connection, self._now(), user_of(account, Via.SESSION, address), "first_admin.made", about=name
                )
        except IntegrityError as error:
            raise NotAllowedError("access.name_taken", name=name) from error
        return self._let_in(account, address=address, browser=browser)

    # -- bearer tokens ------------------------------------------------------------------------------------

    def new_token(self, by: User, name: str, role: Role, *, valid_s: int | None = None) -> tuple[Token, str]:
        """A bearer token, told once. Raises NotAllowedError on a bad name."""
        if not 1 <= len(name.strip()) <= 64 or not name.isprintable():
            raise NotAllowedError("access.token_name_bad")
        now, secret = self._now(), new_secret(BEARER_PREFIX)
        token = Token(
            id=new_id(),
            name=name.strip(),
            role=role.value,
            created_us=now,
            created_by=by.name,
            expires_us=None if valid_s is None else now + valid_s * _S,
            revoked_us=None,
            used_us=None,
        )
        with self._ledger.write() as connection:
            accounts.add_token(connection, token, digest(secret))
            write_note(connection, now, by, "token.made", about=token.name, detail={"role": role.value, "id": token.id})
        return token, secret

    def tokens(self) -> list[Token]:
        """All tokens, the newest first."""
        with self._ledger.read() as connection:
            return accounts.all_tokens(connection)

    def revoke_token(self, by: User, wanted: str) -> Token:
        """Revoke by id, or by name where one good token has it. Raises NothingFoundError."""
        with self._ledger.write() as connection:
            good = [token for token in accounts.all_tokens(connection) if token.revoked_us is None]
            found = [token for token in good if wanted in (token.id, token.name)]
            if len(found) != 1:
                raise CollectorNothingFoundError(
                    "access.token_ambiguous" if found else "access.token_unknown", token=wanted
                )
            accounts.change_token(connection, found[0].id, revoked_us=self._now())
            write_note(connection, self._now(), by, "token.revoked", about=found[0].name, detail={"id": found[0].id})
        return found[0]

    # -- inside -------------------------------------------------------------------------------------------

    def _hash(self, password: str, name: str) -> str:
        if why := weakness(password, name):
            raise WeakPasswordError(why)
        return self._passwords.hash(password)

    def _fresh(
        self,
        name: str,
        role: Role,
        display: str,
        by: str,
        *,
        password_hash: str | None = None,
        subject: str | None = None,
    ) -> Account:
        return Account(
            id=new_id(),
            name=name,
            display=(display.strip() or name)[:128],
            role=role.value,
            password_hash=password_hash,
            subject=subject,
            language=None,
            disabled=False,
            created_us=self._now(),
            created_by=by,
            last_login_us=None,
        )

    def _link(self, connection: Connection, purpose: str, account: str | None, valid_s: int) -> str:
        now, secret = self._now(), new_secret()
        accounts.drop_old_links(connection, now)
        accounts.add_link(
            connection,
            Link(
                hash=digest(secret),
                purpose=purpose,
                account=account,
                data=None,
                created_us=now,
                expires_us=now + valid_s * _S,
                used_us=None,
            ),
        )
        return secret

    def _good_link(self, connection: Connection, secret: str, purpose: str) -> Link:
        link = accounts.link(connection, digest(secret))
        if link is None or link.purpose != purpose or link.used_us is not None or self._now() >= link.expires_us:
            raise LinkError
        return link

    def _invited(self, connection: Connection, secret: str) -> Account:
        link = self._good_link(connection, secret, "invitation")
        account = accounts.account(connection, link.account or "")
        if account is None or account.disabled:
            raise LinkError
        return account

    @staticmethod
    def _keep_an_admin(connection: Connection, account: Account) -> None:
        able = not account.disabled and (account.password_hash is not None or account.subject is not None)
        last = accounts.count_with_role(connection, Role.ADMIN, able=True) == 1
        if account.role == Role.ADMIN and able and last:
            raise NotAllowedError("access.last_admin", name=account.name)


def _known(connection: Connection, account_id: str) -> Account:
    account = accounts.account(connection, account_id)
    if account is None:
        raise CollectorNothingFoundError("access.account_unknown", account=account_id[:64])
    return account


def _free_name(connection: Connection, wished: str) -> str:
    """The wished log-in name, or the next one that nobody has."""
    base = re.sub(r"[^a-z0-9._@-]", "-", login_name(wished)).lstrip("._@-")[:56] or "person"
    name, number = base, 1
    while accounts.account_named(connection, name):
        number += 1
        name = f"{base}-{number}"
    return name
