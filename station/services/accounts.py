"""Who may sign in, and with which password.

The factory's password holds until a person has set another one: the factory password where the identity has one, else
the serial number – for a first sign-in that forces a change.
"""

import threading
from datetime import datetime

from django.contrib.auth import authenticate, password_validation
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import transaction

from station.domain import roles
from station.domain.commands import Origin
from station.domain.configuration import InvalidValue
from station.domain.roles import Role
from station.host import memory
from station.models import UserProfile
from station.services import identity, security_log, sign_in_delays

ADMIN = "admin"
# A password hash takes 19 MiB and a good part of a second on the station's board.
_hashing = threading.BoundedSemaphore(2)


class SignInRefused(Exception):
    """Account and password do not fit; which of them stays open."""


def ensure_admin(*, at: datetime) -> User:
    """Make the user `admin` at the first start and keep the factory's password until a person changes it."""
    with transaction.atomic():
        user, _ = User.objects.get_or_create(username=ADMIN, defaults={"date_joined": at})
        profile = profile_of(user)
        if not (user.is_staff and user.is_superuser and user.is_active):
            user.is_staff = user.is_superuser = user.is_active = True
            user.save(update_fields=["is_staff", "is_superuser", "is_active"])
        if profile.password_changed_at is None:
            _take_factory_password(user, profile)
    return user


def restore_factory_password(*, at: datetime) -> None:
    """Forget the password a person has set; every session ends with it."""
    profile_of(User.objects.get(username=ADMIN)).note_password(at=None, must_change=False)
    ensure_admin(at=at)


def profile_of(user: User) -> UserProfile:
    """Find the settings of a user, making them on first use."""
    profile, _ = UserProfile.objects.get_or_create(user=user)
    return profile


def role_of(user: User) -> Role:
    """Return what a user may do: the highest of the roles given; the user of the sticker is an installer."""
    if user.is_superuser:
        return Role.INSTALLER
    given = set(user.groups.values_list("name", flat=True))
    return max((role for role, name in roles.NAMES.items() if name in given), default=Role.SIGNED_IN)


def make_user(name: str, password: str, role: Role, *, origin: Origin, at: datetime) -> User:
    """Make somebody who may sign in; the first password has to be changed then. Raises ValidationError."""
    user = User(username=name, date_joined=at)
    user.full_clean(exclude=["password"])
    password_validation.validate_password(password, user)
    with _hashing:
        user.set_password(password)
    with transaction.atomic():
        user.save()
        profile_of(user).note_password(at=at, must_change=True)
        give_role(user, role, origin=origin, at=at)
    return user


def give_role(user: User, role: Role, *, origin: Origin, at: datetime) -> None:
    """Give a user one role in the place of the former."""
    with transaction.atomic():
        user.groups.remove(*Group.objects.filter(name__in=roles.NAMES.values()))
        # The migration makes them; a database that was emptied by hand has none.
        group, _ = Group.objects.get_or_create(name=roles.NAMES[role])
        user.groups.add(group)
        security_log.record("LocalRoleChanged", at=at, tech_info=f"origin {origin.value}, role {roles.NAMES[role]}")


def sign_in(*, account: str, password: str, address: str, at: datetime) -> User:
    """Check account and password; raises SignInDelayed or SignInRefused.

    An unknown account costs the same time and gets the same answer as a wrong password.
    """
    account = account.strip()[:150]
    sign_in_delays.claim_attempt(account=account, address=address, at=at)
    with _hashing:
        user = authenticate(username=account, password=password)
        # Each thread's part of the heap would keep the megabytes a hash has needed.
        memory.return_free_memory()
    if not isinstance(user, User):
        security_log.record("LocalSignInFailed", at=at, tech_info=f"address {address}")
        raise SignInRefused
    sign_in_delays.forget(account=account, address=address)
    security_log.record("LocalSignIn", at=at, tech_info=f"address {address}")
    return user


def verify_password(user: User, password: str) -> bool:
    """Check the password of somebody who is signed in already."""
    with _hashing:
        return user.check_password(password)


def set_password(user: User, new: str, *, origin: Origin, at: datetime, must_change: bool = False) -> None:
    """Change a password, which ends the user's other sessions; raises ValidationError with every reason.

    Somebody else's choice (`must_change`, always the backend's) has to be changed at the next sign-in.
    """
    password_validation.validate_password(new, user)
    with _hashing:
        user.set_password(new)
    with transaction.atomic():
        user.save(update_fields=["password"])
        profile_of(user).note_password(at=at, must_change=must_change or origin is Origin.BACKEND)
        security_log.record("LocalPasswordChanged", at=at, tech_info=f"origin {origin.value}")
    identity.forget_untold_password()


def _take_factory_password(user: User, profile: UserProfile) -> None:
    known = identity.load()
    if known.factory_password_hash:
        if user.password != known.factory_password_hash:
            user.password = known.factory_password_hash
            user.save(update_fields=["password"])
    elif not known.accepts_first_password(known.serial):
        user.set_unusable_password()
        user.save(update_fields=["password"])
    elif not user.check_password(known.serial):
        user.set_password(known.serial)
        user.save(update_fields=["password"])
    # The sticker's password is one of a kind and may stay; a serial number is printed outside for everybody to read.
    must_change = not known.factory_password_hash
    if profile.must_change_password != must_change:
        profile.note_password(at=None, must_change=must_change)


def should_suggest_own_password(profile: UserProfile) -> bool:
    """Return whether the password is still the sticker's and the user has not decided to keep it."""
    return (
        profile.password_changed_at is None
        and not profile.must_change_password
        and profile.kept_factory_password_at is None
        and profile.user.username == ADMIN
    )


def factory_password_holds() -> bool:
    """Return whether the user `admin` still has the factory's password, without having decided to keep it."""
    return UserProfile.objects.filter(
        user__username=ADMIN, password_changed_at=None, kept_factory_password_at=None
    ).exists()


def keep_factory_password(user: User, *, at: datetime) -> None:
    """Suggest no other password to this user until the factory's is restored."""
    profile_of(user).keep_factory_password(at=at)
    security_log.record("FactoryPasswordKept", at=at, tech_info=f"user {user.get_username()}")


def take_password_from_backend(new: str, at: datetime) -> None:
    """Apply `/WebUi/password/reset`: the lost password is replaced, and changed by its owner at the next sign-in.

    Raises InvalidValue with the reasons.
    """
    user = User.objects.get(username=ADMIN)
    try:
        set_password(user, new, origin=Origin.BACKEND, at=at)
    except ValidationError as refusal:
        raise InvalidValue("password_policy", reasons=" ".join(refusal.messages)) from refusal
