"""Who may do what at which address: one table, which `middleware.SessionRules` enforces. What is not in it is refused.

A row names one address of `station.urls` (or, in the records, all that end alike) and the role each method needs. The
pages of the station look at it, too: a menu shows no page, and a tile no button, that its reader may not use.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from station.domain.roles import Role
from station.services.branding import LARGEST_LOGO_BYTES

SMALL_BODY_BYTES = 64 * 1024
# A list of cards (reference/security.md, section 2.3) with what a form puts around it.
_CARDS_BODY_BYTES = 1024 * 1024 + SMALL_BODY_BYTES
# An image of the system software, as large as one from the backend may be.
IMAGE_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """One address. `get` holds for HEAD as well; a method without a role is not taken.

    `passive`: the page asks by itself, which is no activity of its reader. `before_password_change`: open for a user
    who has to change the password first. `largest_body`: what is larger than a small form is read from those only who
    may send it.
    """

    name: str
    get: Role | None = None
    post: Role | None = None
    passive: bool = False
    before_password_change: bool = False
    largest_body: int = SMALL_BODY_BYTES

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the methods it takes."""
        reading = ("GET", "HEAD") if self.get is not None else ()
        return reading + (("POST",) if self.post is not None else ())

    def needed(self, method: str | None) -> Role | None:
        """Return the role a method needs, None where it is not taken."""
        if method in {"GET", "HEAD"}:
            return self.get
        return self.post if method == "POST" else None


_EVERYBODY, _SIGNED_IN, _VIEWER = Role.STRANGER, Role.SIGNED_IN, Role.VIEWER
_OPERATOR, _INSTALLER = Role.OPERATOR, Role.INSTALLER

TABLE: tuple[Row, ...] = (
    Row(name="login", get=_EVERYBODY, post=_EVERYBODY),
    Row(name="language", post=_EVERYBODY),
    Row(name="recovery", get=_EVERYBODY, post=_EVERYBODY),
    Row(name="recovery-begin", post=_EVERYBODY),
    # Only where the operator has switched it on; the view looks.
    Row(name="phone", get=_EVERYBODY, passive=True),
    Row(name="healthz", get=_EVERYBODY, passive=True),
    Row(name="security-txt", get=_EVERYBODY, passive=True),
    Row(name="logout", post=_SIGNED_IN, before_password_change=True),
    Row(name="profile", get=_SIGNED_IN, post=_SIGNED_IN, before_password_change=True),
    Row(name="profile-advanced", post=_SIGNED_IN),
    Row(name="profile-keep-password", post=_SIGNED_IN),
    Row(name="dashboard", get=_VIEWER),
    Row(name="status", get=_VIEWER),
    Row(name="connector-start", post=_OPERATOR),
    Row(name="connector-stop", post=_OPERATOR),
    Row(name="connector-unlock", post=_OPERATOR),
    Row(name="components", get=_VIEWER, post=_INSTALLER),
    Row(name="components-live", get=_VIEWER, passive=True),
    Row(name="connectors", get=_VIEWER),
    Row(name="sessions", get=_VIEWER),
    Row(name="session", get=_VIEWER),
    # The record names the whole card.
    Row(name="session-signed", get=_OPERATOR),
    Row(name="sessions-file", get=_VIEWER),
    Row(name="events", get=_OPERATOR),
    Row(name="fault-memory-file", get=_OPERATOR),
    Row(name="event-take-back", post=_INSTALLER),
    Row(name="users", get=_OPERATOR),
    Row(name="users-seen", get=_OPERATOR, passive=True),
    Row(name="users-stage", post=_OPERATOR),
    Row(name="users-save", post=_OPERATOR),
    Row(name="users-reload", post=_OPERATOR),
    Row(name="users-export", get=_OPERATOR),
    Row(name="users-import", get=_OPERATOR, post=_OPERATOR, largest_body=_CARDS_BODY_BYTES),
    Row(name="users-import-confirm", post=_OPERATOR),
    Row(name="users-import-cancel", post=_OPERATOR),
    Row(name="authentication", get=_OPERATOR, post=_OPERATOR),
    Row(name="ocpp", get=_OPERATOR, post=_INSTALLER),
    Row(name="ocpp-connection", get=_OPERATOR, passive=True),
    Row(name="ocpp-check", post=_OPERATOR),
    Row(name="ocpp-messages", get=_OPERATOR),
    Row(name="ocpp-messages-seen", get=_OPERATOR, passive=True),
    Row(name="ocpp-messages-file", get=_OPERATOR),
    Row(name="ocpp-message", get=_OPERATOR),
    Row(name="ocpp-queue", get=_OPERATOR),
    Row(name="ocpp-queue-seen", get=_OPERATOR, passive=True),
    Row(name="ocpp-queue-send", post=_OPERATOR),
    Row(name="ocpp-trial", get=_INSTALLER),
    Row(name="ocpp-trial-seen", get=_INSTALLER, passive=True),
    Row(name="ocpp-trial-save", post=_INSTALLER),
    Row(name="ocpp-trial-drop", post=_INSTALLER),
    Row(name="interfaces", get=_INSTALLER, post=_INSTALLER),
    Row(name="interfaces-trial", get=_INSTALLER, passive=True),
    Row(name="interfaces-keep", post=_INSTALLER),
    Row(name="interfaces-withdraw", post=_INSTALLER),
    # At the new address nobody is signed in yet; the secret in the link stands for the installer.
    Row(name="interfaces-confirm", get=_EVERYBODY, post=_EVERYBODY),
    Row(name="ocpp-certificate-add", post=_INSTALLER),
    Row(name="ocpp-certificate-remove", post=_INSTALLER),
    Row(name="mobile", get=_INSTALLER, post=_INSTALLER),
    Row(name="mobile-live", get=_INSTALLER, passive=True),
    Row(name="antenna", get=_INSTALLER),
    Row(name="antenna-live", get=_INSTALLER, passive=True),
    Row(name="date-time", get=_INSTALLER, post=_INSTALLER),
    Row(name="date-time-live", get=_INSTALLER, passive=True),
    Row(name="date-time-set", post=_INSTALLER),
    Row(name="modbus", get=_INSTALLER, post=_INSTALLER),
    Row(name="modbus-state", get=_INSTALLER, passive=True),
    Row(name="modbus-registers", get=_INSTALLER),
    Row(name="modbus-registers-live", get=_INSTALLER, passive=True),
    Row(name="load-management", get=_INSTALLER, post=_INSTALLER),
    Row(name="load-management-shares", get=_INSTALLER, passive=True),
    Row(name="load-management-cluster", get=_INSTALLER, passive=True),
    Row(name="load-management-link-lost", get=_INSTALLER),
    Row(name="load-management-code", get=_INSTALLER, post=_INSTALLER),
    Row(name="load-management-forget", get=_INSTALLER, post=_INSTALLER),
    Row(name="dimming", get=_INSTALLER, post=_INSTALLER),
    Row(name="dimming-card", get=_INSTALLER, passive=True),
    Row(name="dimming-file", get=_INSTALLER),
    Row(name="load-management-plots", get=_INSTALLER, passive=True),
    Row(name="branding", get=_OPERATOR, post=_OPERATOR),
    Row(name="branding-preview", post=_OPERATOR, passive=True),
    Row(name="branding-logo", get=_OPERATOR, passive=True),
    Row(name="branding-logo-set", post=_OPERATOR, largest_body=LARGEST_LOGO_BYTES + SMALL_BODY_BYTES),
    Row(name="branding-logo-remove", post=_OPERATOR),
    Row(name="power-live", get=_INSTALLER, passive=True),
    Row(name="power", get=_INSTALLER, post=_INSTALLER),
    Row(name="versions", get=_VIEWER),
    Row(name="update", get=_INSTALLER),
    Row(name="update-state", get=_INSTALLER, passive=True),
    Row(name="update-upload", post=_INSTALLER, largest_body=IMAGE_BYTES + SMALL_BODY_BYTES),
    Row(name="update-install", post=_INSTALLER),
    Row(name="update-stop", post=_INSTALLER),
    Row(name="log-files", get=_OPERATOR, post=_OPERATOR),
    Row(name="log-files-state", get=_OPERATOR, passive=True),
    Row(name="log-file", get=_OPERATOR),
    Row(name="log-file-delete", post=_OPERATOR),
    Row(name="security", get=_OPERATOR, post=_INSTALLER),
    # To close it is never wrong.
    Row(name="vendor-access-end", post=_OPERATOR),
    Row(name="factory", get=_INSTALLER, post=_INSTALLER),
    Row(name="accounts", get=_INSTALLER, post=_INSTALLER),
    Row(name="account-role", post=_INSTALLER),
    Row(name="account-password", post=_INSTALLER),
    Row(name="account-lock", post=_INSTALLER),
    Row(name="account-delete", post=_INSTALLER),
    # Somebody else's session ends for an installer only; the view looks whose it is.
    Row(name="sign-in-end", post=_SIGNED_IN),
    Row(name="sign-ins-end-others", post=_SIGNED_IN),
    Row(name="restart", get=_OPERATOR, post=_OPERATOR),
    Row(name="reboot", get=_OPERATOR, post=_OPERATOR),
    Row(name="bench", get=_OPERATOR),
    Row(name="bench-world", get=_OPERATOR, passive=True),
    Row(name="bench-act", post=_OPERATOR),
    Row(name="bench-point", post=_OPERATOR),
    Row(name="admin:login", get=_EVERYBODY, post=_EVERYBODY),
    Row(name="admin:logout", post=_SIGNED_IN),
    Row(name="admin:password_change", get=_SIGNED_IN, post=_SIGNED_IN),
    Row(name="admin:password_change_done", get=_SIGNED_IN),
    Row(name="admin:index", get=_INSTALLER),
    Row(name="admin:app_list", get=_INSTALLER),
    Row(name="admin:jsi18n", get=_INSTALLER),
    Row(name="admin:autocomplete", get=_INSTALLER),
    Row(name="admin:view_on_site", get=_INSTALLER),
    Row(name="admin:*_changelist", get=_INSTALLER, post=_INSTALLER),
    Row(name="admin:*_add", get=_INSTALLER, post=_INSTALLER),
    Row(name="admin:*_history", get=_INSTALLER),
    Row(name="admin:*_change", get=_INSTALLER, post=_INSTALLER),
    Row(name="admin:*_delete", get=_INSTALLER, post=_INSTALLER),
    # Two addresses without a name: a row without "change/" behind it, and everything else below the records.
    Row(name="admin:django.views.generic.base.RedirectView", get=_INSTALLER),
    Row(name="admin:django.contrib.admin.sites.*catch_all_view", get=_INSTALLER),
)

# The live socket, which is no address of a page.
LIVE = _VIEWER

_BY_NAME = {row.name: row for row in TABLE if "*" not in row.name}
_PATTERNS = tuple(row for row in TABLE if "*" in row.name)


def row_of(name: str) -> Row | None:
    """Find the row of an address by its name with its namespace."""
    exact = _BY_NAME.get(name)
    if exact is not None:
        return exact
    return next((row for row in _PATTERNS if fnmatchcase(name, row.name)), None)


def may(role: Role, name: str, method: str = "GET") -> bool:
    """Return whether a role opens an address."""
    row = row_of(name)
    needed = row.needed(method) if row is not None else None
    return needed is not None and role >= needed
