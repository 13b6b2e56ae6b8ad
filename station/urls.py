"""All addresses of the web interface. Which of them need no login stands at the view (station.web.access)."""

from django.urls import URLPattern, URLResolver, path

from station.web import admin
from station.web.pages import (
    bench,
    connectors,
    dashboard,
    health,
    login,
    profile,
    recovery,
    security_txt,
    sessions,
    system,
    users,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", dashboard.dashboard, name="dashboard"),
    path("connectors/<int:connector_id>/start", dashboard.start, name="connector-start"),
    path("connectors/<int:connector_id>/stop", dashboard.stop, name="connector-stop"),
    path("connectors/<int:connector_id>/unlock", dashboard.unlock, name="connector-unlock"),
    path("station/connectors", connectors.connectors, name="connectors"),
    path("sessions", sessions.sessions, name="sessions"),
    path("sessions/<int:session_id>", sessions.session, name="session"),
    path("sessions.csv", sessions.sessions_file, name="sessions-file"),
    path("users", users.users, name="users"),
    path("users/stage/<str:action>", users.stage, name="users-stage"),
    path("users/save", users.save, name="users-save"),
    path("users/reload", users.reload, name="users-reload"),
    path("users/user-export.csv", users.export, name="users-export"),
    path("users/import", users.import_cards, name="users-import"),
    path("users/import/confirm", users.import_confirmed, name="users-import-confirm"),
    path("users/import/cancel", users.import_cancelled, name="users-import-cancel"),
    path("login", login.login, name="login"),
    path("logout", login.sign_out, name="logout"),
    path("language", login.language, name="language"),
    path("profile", profile.profile, name="profile"),
    path("profile/advanced", profile.advanced, name="profile-advanced"),
    path("profile/keep-password", profile.keep_password, name="profile-keep-password"),
    path("recovery", recovery.recovery, name="recovery"),
    path("recovery/begin", recovery.begin, name="recovery-begin"),
    path(".well-known/security.txt", security_txt.security_txt, name="security-txt"),
    path("system/restart", system.restart, name="restart"),
    path("system/reboot", system.reboot, name="reboot"),
    path("healthz", health.healthz, name="healthz"),
    path("sim", bench.bench, name="bench"),
    path("sim/world", bench.world, name="bench-world"),
    path("sim/<str:action>", bench.act, name="bench-act"),
    path("sim/connectors/<int:connector_id>/<str:action>", bench.act, name="bench-point"),
    path("admin/", admin.site.urls),
]
