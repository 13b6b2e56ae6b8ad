"""Marks on views that the middleware reads. A view without a mark needs a signed-in user and counts as activity."""

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Open a view to people who are not signed in."""
    view.login_required = False  # type: ignore[attr-defined]
    return view


def passive(view: View) -> View:
    """Do not count as activity of the user: the page asks by itself."""
    view.is_passive = True  # type: ignore[attr-defined]
    return view


def before_password_change(view: View) -> View:
    """Stay open for a user who has to change the password first."""
    view.before_password_change = True  # type: ignore[attr-defined]
    return view
