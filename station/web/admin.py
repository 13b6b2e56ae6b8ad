"""Django's admin for support: all records to look at, few to change.

What the event log, the audit, the outbox or the backend rely on is read-only. Signing in happens at the station's own
login page, which delays guesses.
"""

from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import AdminSite, ModelAdmin, ShowFacets, action, display, register
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from station import clock, models
from station.domain.commands import Origin
from station.services import accounts, configuration, event_log, outbox
from station.ui import problems, record_words, words
from station.web import access
from whitelist.models import Card

if TYPE_CHECKING:
    _Rows = ModelAdmin[Model]
else:
    _Rows = ModelAdmin

# What Django's filters beside a list put into its address.
_COMPARISONS = frozenset({"", "exact", "isnull", "gte", "lt"})


class StationAdminSite(AdminSite):
    """The admin under the station's own rules for signing in and changing passwords."""

    site_header = _("Records of the station")
    site_title = _("Records")
    index_title = _("Tables")
    site_url = "/"

    def has_permission(self, request: HttpRequest) -> bool:
        """Let in whom the table of access lets in."""
        return isinstance(request.user, User) and access.may(accounts.role_of(request.user), "admin:index")

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002 - as Django has it
        """Show the station's local times; pages are drawn after their view has returned."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def local(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            with timezone.override(configuration.zone()):
                response = inner(request, *args, **kwargs)
                if isinstance(response, TemplateResponse) and not response.is_rendered:
                    response.render()
            return response

        return local

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Say which zone the times are of."""
        return super().each_context(request) | {"zone": configuration.zone().key}

    def login(self, _request: HttpRequest, _extra_context: Any = None) -> HttpResponse:
        """Send to the one login page."""
        return redirect("login")

    def password_change(self, _request: HttpRequest, _extra_context: Any = None) -> HttpResponse:  # type: ignore[override]
        """Send to the user profile, which asks for the old password."""
        return redirect("profile")

    def autocomplete_view(self, _request: HttpRequest) -> HttpResponse:
        """Answer nobody: no form of ours asks, and it would search other tables."""
        raise Http404

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """List all tables together: people do not think in applications."""
        apps = super().get_app_list(request, app_label)
        if not apps:
            return []
        tables = [table for app in apps for table in app["models"]]
        tables.sort(key=lambda table: str(table["name"]))
        return [apps[0] | {"name": str(self.index_title), "app_url": reverse("admin:index"), "models": tables}]


site = StationAdminSite(name="admin")


class ReadOnlyAdmin(_Rows):
    """Rows to look at."""

    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    actions = None

    def lookup_allowed(self, lookup: str, _value: str, request: HttpRequest | None = None) -> bool:
        """Allow what the filters beside the list ask, and nothing else.

        Django lets every column be compared, one that is not shown, too: with a prefix or a pattern its content is
        found out character by character.
        """
        name, _separator, comparison = lookup.partition(LOOKUP_SEP)
        return name in self.list_filter and comparison in _COMPARISONS

    def to_field_allowed(self, _request: HttpRequest, _to_field: str) -> bool:
        """Find rows by their primary key only."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Head the list with its name."""
        context = {"title": capfirst(self.opts.verbose_name_plural)} | (extra_context or {})
        return super().changelist_view(request, context)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Head a row with the name of its list."""
        context = {"title": capfirst(self.opts.verbose_name_plural)} | (extra_context or {})
        return super().changeform_view(request, object_id, form_url, context)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show all tables to whoever may be here."""
        return self.admin_site.has_permission(request)

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        """Show every row to whoever may be here."""
        return self.admin_site.has_permission(request)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Never: rows are made by the station."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Never: a record that can be edited proves nothing."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Never by hand."""
        return False


@register(models.Connector, site=site)
class ConnectorAdmin(ReadOnlyAdmin):
    """Charging points."""

    list_display = ("number", "phase", "status", "error_code", "operative", "status_at", "meter_serial")
    ordering = ("number",)


@register(models.ChargingSession, site=site)
class ChargingSessionAdmin(ReadOnlyAdmin):
    """Charging sessions: what the driver is billed for."""

    list_display = (
        "id",
        "connector_id",
        "id_tag",
        "transaction_id",
        "started_at",
        "stopped_at",
        "meter_start_wh",
        "meter_stop_wh",
        "stop_reason",
    )
    list_filter = ("connector_id", "origin", "stop_reason", "started_at")
    search_fields = ("id_tag", "transaction_id")
    ordering = ("-id",)


@register(models.MeterSample, site=site)
class MeterSampleAdmin(ReadOnlyAdmin):
    """Meter values of sessions."""

    list_display = ("id", "session", "at", "context")
    list_filter = ("context",)
    list_select_related = ("session",)
    ordering = ("-id",)


@register(models.OutboxMessage, site=site)
class OutboxMessageAdmin(ReadOnlyAdmin):
    """Messages owed to the backend; one that it refused may be sent again, with everything else of its session."""

    actions = ("send_again",)  # type: ignore[assignment]
    list_display = ("id", "fact_kind", "status", "session", "at", "attempts", "next_attempt_at", "last_error")
    list_filter = ("status", "kind")
    list_select_related = ("session",)
    search_fields = ("message_id",)
    ordering = ("-id",)

    @display(description=_("Kind"), ordering="kind")
    def fact_kind(self, row: models.OutboxMessage) -> str:
        """Name what the message tells; a kind of an older version stays as it is stored."""
        return str(words.FACT_KINDS.get(row.kind, row.kind))

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        """Allow what the next boot does by itself."""
        return self.admin_site.has_permission(request)

    @action(description=_("Send again what was set aside"), permissions=["send_again"])
    def send_again(self, request: HttpRequest, rows: "QuerySet[Model]") -> None:
        """Queue the chosen messages again and say how many went."""
        count = outbox.send_again(
            origin=Origin.WEB,
            actor=request.user.get_username(),
            at=clock.now(),
            ids=list(rows.values_list("pk", flat=True)),
        )
        text = ngettext("%(count)d message is sent again.", "%(count)d messages are sent again.", count)
        self.message_user(request, text % {"count": count})


@register(models.LogEntry, site=site)
class LogEntryAdmin(ReadOnlyAdmin):
    """The event log."""

    list_display = ("at", "code", "connector_id", "data", "cleared_at")
    list_filter = ("connector_id", "at", "code")
    search_fields = ("code",)
    ordering = ("-id",)


@register(models.FaultMemory, site=site)
class FaultMemoryAdmin(ReadOnlyAdmin):
    """How often each fault was there."""

    list_display = ("number", "code", "count", "first_at", "since", "until")
    list_filter = ("number", "code")
    ordering = ("number", "code")


@register(models.AuditEntry, site=site)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who wanted what."""

    list_display = ("at", "origin", "actor", "command", "data", "outcome", "why")
    list_filter = ("origin", "command", "outcome", "at")
    search_fields = ("actor",)
    ordering = ("-id",)

    @display(description=_("Reason"), ordering="reason")
    def why(self, row: models.AuditEntry) -> str:
        """Say why a command or a configuration value was refused."""
        return problems.outline(row.reason) or words.word(words.REFUSALS, row.reason)


@register(models.SecurityEvent, site=site)
class SecurityEventAdmin(ReadOnlyAdmin):
    """The security log."""

    list_display = ("at", "type", "tech_info", "critical", "delivered_at")
    list_filter = ("critical", "type", "at")
    ordering = ("-id",)


@register(models.DimmingIntervention, site=site)
class DimmingInterventionAdmin(ReadOnlyAdmin):
    """What the grid operator has ordered."""

    list_display = ("began_at", "carried_out_at", "ended_at", "power_w", "begun_by", "ended_by")
    list_filter = ("begun_by", "began_at")
    ordering = ("-id",)


@register(models.ChargingProfileRow, site=site)
class ChargingProfileRowAdmin(ReadOnlyAdmin):
    """Charging profiles of the backend."""

    list_display = ("connector_id", "purpose", "stack_level", "profile_id", "session", "installed_at")
    list_filter = ("purpose", "connector_id")
    list_select_related = ("session",)
    ordering = ("connector_id", "purpose", "stack_level")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Leave the content out of the list: one that is damaged must not hide the others."""
        return super().get_queryset(request).defer("profile")


@register(models.ReservationRow, site=site)
class ReservationRowAdmin(ReadOnlyAdmin):
    """Reservations of the backend."""

    list_display = ("reservation_id", "connector_id", "id_tag", "expires_at")
    ordering = ("expires_at",)


@register(models.ConfigurationValue, site=site)
class ConfigurationValueAdmin(ReadOnlyAdmin):
    """Configuration keys that deviate from their default; secrets stay out of sight."""

    list_display = ("key", "changed_at")
    fields = ("key", "changed_at")
    search_fields = ("key",)
    ordering = ("key",)


@register(models.BackendState, site=site)
class BackendStateAdmin(ReadOnlyAdmin):
    """What the backend link remembers."""

    list_display = ("accepted_by", "registration", "connected", "list_version", "changed_at")
    ordering = ("id",)
    exclude = ("boot_content",)


@register(models.FileJob, site=site)
class FileJobAdmin(ReadOnlyAdmin):
    """Diagnostics and updates the backend has asked for. The request is hidden: its address may hold a password."""

    list_display = ("id", "kind", "status", "step", "attempts", "created_at", "finished_at")
    exclude = ("request", "data")
    list_filter = ("kind", "status")
    ordering = ("-id",)


@register(models.TrustedCertificate, site=site)
class TrustedCertificateAdmin(ReadOnlyAdmin):
    """Certificates the station trusts."""

    list_display = ("kind", "subject", "issuer", "not_before", "not_after", "from_unproven_link")
    list_filter = ("kind",)
    exclude = ("key_file",)
    ordering = ("kind", "subject")


@register(models.CachedAuthorization, site=site)
class CachedAuthorizationAdmin(ReadOnlyAdmin):
    """What the backend has said about cards; an entry may be forgotten, the backend is asked again then."""

    list_display = ("id_tag", "status", "parent_id_tag", "expires_at", "updated_at")
    list_filter = ("status",)
    search_fields = ("id_tag",)
    ordering = ("id_tag",)

    def has_delete_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        """Allow what costs only a question to the backend."""
        return self.admin_site.has_permission(request)


@register(Card, site=site)
class CardAdmin(ReadOnlyAdmin):
    """The whitelist. Editing belongs to the Users page, which knows the rules of the list."""

    list_display = ("uid", "authorization", "group", "expires_at", "source", "deleted_at")
    list_filter = ("authorization", "source")
    search_fields = ("uid", "group")
    ordering = ("uid",)


@register(User, site=site)
class UserAdmin(ReadOnlyAdmin):
    """People who can sign in; the password's hash is not shown."""

    list_display = ("username", "is_active", "is_staff", "last_login")
    fields: ClassVar[Any] = ("username", "is_active", "is_staff", "last_login", "date_joined")
    ordering = ("username",)


@register(models.UserProfile, site=site)
class UserProfileAdmin(ReadOnlyAdmin):
    """Settings of users."""

    list_display = ("user", "expert", "must_change_password", "password_changed_at")
    list_select_related = ("user",)
    ordering = ("user",)


@register(models.SignInDelay, site=site)
class SignInDelayAdmin(ReadOnlyAdmin):
    """Failed attempts to sign in. Deleting a row lets that address try again at once, and stands in the event log."""

    list_display = ("account", "address", "failures", "failed_at", "blocked_until")
    ordering = ("-failed_at",)

    def has_delete_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        """Allow helping somebody who waits."""
        return self.admin_site.has_permission(request)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the row and say who did it."""
        event_log.log("sign_in.delay_lifted", at=clock.now(), actor=request.user.get_username(), address=obj.address)
        super().delete_model(request, obj)


def _name_columns() -> None:
    """Give every column the words of `record_words`; Django's own tables have theirs."""
    for model in site._registry:  # noqa: SLF001 - there is no public way to list them
        if model is not User:
            for field in model._meta.fields:  # noqa: SLF001 - Django's documented way to the fields of a model
                # Not what a migration compares: that is the name the model itself gives.
                field.verbose_name = record_words.FIELDS[field.name]


_name_columns()
