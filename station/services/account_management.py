"""Who has an account, with which role: what an installer does on the page Accounts, and `manage.py user`.

Each verb is audited. The user of the sticker is the way back into the station: always an installer, never locked,
never deleted. Nobody takes the station away from themselves.
"""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from station.domain import roles
from station.domain.commands import Origin, Status
from station.domain.roles import Role
from station.models import AuditEntry
from station.services import accounts, security_log


class StickersAccount(Exception):
    """The user of the sticker keeps role and access."""


class OwnAccount(Exception):
    """Nobody locks, deletes or demotes themselves: another installer has to."""


class Editor:
    """Somebody who manages accounts: `actor` is the name of a user, or of a program."""

    def __init__(self, *, origin: Origin, actor: str, at: datetime) -> None:
        self._origin, self._actor, self._at = origin, actor, at

    def add(self, name: str, password: str, role: Role) -> User:
        """Make an account; its password has to be changed at the first log-in. Raises ValidationError."""
        if User.objects.filter(username__iexact=name.strip()).exists():
            raise ValidationError({"name": _("There is an account of this name already.")})
        with transaction.atomic():
            user = accounts.make_user(name, password, role, origin=self._origin, at=self._at)
            self._audit("AddAccount", user, role=roles.NAMES[role])
        return user

    def give_role(self, user: User, role: Role) -> None:
        """Give another role. Raises StickersAccount or OwnAccount."""
        self._refuse_own_and_stickers(user)
        if accounts.role_of(user) is role:
            return
        before = roles.NAMES.get(accounts.role_of(user), "")
        with transaction.atomic():
            accounts.give_role(user, role, origin=self._origin, at=self._at)
            self._audit("GiveRole", user, role=roles.NAMES[role], before=before)

    def replace_password(self, user: User, password: str) -> None:
        """Set a password for once; all sessions of the account end. Raises ValidationError or OwnAccount."""
        if user.get_username() == self._actor:
            raise OwnAccount
        with transaction.atomic():
            accounts.set_password(user, password, origin=self._origin, at=self._at, must_change=True)
            self._audit("ReplaceAccountPassword", user)

    def lock(self, user: User) -> None:
        """Let nobody in with this account any more, at once. Raises StickersAccount or OwnAccount."""
        self._refuse_own_and_stickers(user)
        self._set_active(user, "LockAccount", is_active=False)

    def unlock(self, user: User) -> None:
        """Let the account in again."""
        self._set_active(user, "UnlockAccount", is_active=True)

    def delete(self, user: User) -> None:
        """Delete an account; what it did stays in the records. Raises StickersAccount or OwnAccount."""
        self._refuse_own_and_stickers(user)
        with transaction.atomic():
            self._audit("DeleteAccount", user)
            security_log.record("LocalAccountDeleted", at=self._at, tech_info=f"origin {self._origin.value}")
            user.delete()

    def _set_active(self, user: User, command: str, *, is_active: bool) -> None:
        if user.is_active is is_active:
            return
        with transaction.atomic():
            user.is_active = is_active
            user.save(update_fields=["is_active"])
            self._audit(command, user)

    def _refuse_own_and_stickers(self, user: User) -> None:
        if user.get_username() == accounts.ADMIN:
            raise StickersAccount
        if user.get_username() == self._actor:
            raise OwnAccount

    def _audit(self, command: str, user: User, **data: Any) -> None:
        AuditEntry.objects.create(
            at=self._at,
            origin=self._origin.value,
            actor=self._actor,
            command=command,
            data={"account": user.get_username(), **data},
            outcome=Status.ACCEPTED.value,
        )
