"""Django settings of the station, read once from the environment.

Whatever people may change while the station runs is a configuration key (`station.domain.configuration`), not a
setting. The environment carries only what the processes of one station share:

STATION_DATA_DIR     the data directory (default: ./data)
STATION_SIMULATE     1: simulated hardware and host
STATION_HTTP_ORIGINS comma-separated host:port list the web interface is reached at
STATION_HTTPS        1: the web interface is served over HTTPS, cookies are marked Secure
STATION_SECURITY_CONTACT  where weaknesses are reported: mailto:, https: or tel: (default: the operator's hotline)
STATION_CRASHES      crashes of the control loop in ten minutes that lead to safe mode (default: 5; 0: never)
STATION_LOOKS_ONLY   1: this process makes nothing in a data directory in which no station was started so far
STATION_SIGNAL_HOLDS_S  how long the mobile signal has to be weak before it is a fault (default: 60)
"""

import os
import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from station import secret_key
from station.domain.crash_guard import CRASHES
from station.domain.mobile import SIGNAL_HOLDS_S as SIGNAL_HOLDS
from station.paths import DataDirectory


def _flag(name: str) -> bool:
    value = os.environ.get(name, "0")
    if value not in {"0", "1"}:
        message = f"{name} must be 0 or 1, not {value!r}"
        raise ImproperlyConfigured(message)
    return value == "1"


def _count(name: str, *, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isascii() or not value.isdigit():
        message = f"{name} must be a whole number, not {value!r}"
        raise ImproperlyConfigured(message)
    return int(value)


def _contact(name: str) -> str:
    value = os.environ.get(name, "")
    if value and not re.fullmatch(r"(?:mailto|https|tel):[!-~]+", value):
        message = f"{name} must be a mailto:, https: or tel: address, not {value!r}"
        raise ImproperlyConfigured(message)
    return value


BASE_DIR = Path(__file__).resolve().parent.parent
DATA = DataDirectory(Path(os.environ.get("STATION_DATA_DIR", BASE_DIR / "data")).absolute())
# Whatever this process and its children write is the station's own business.
os.umask(0o077)
# Whoever asks what is missing before the first start finds everything afterwards as it was.
LEAVES_NO_TRACE = _flag("STATION_LOOKS_ONLY") and DATA.is_untouched()
if not LEAVES_NO_TRACE:
    DATA.create()
SIMULATE = _flag("STATION_SIMULATE")
SERVES_HTTPS = _flag("STATION_HTTPS")
SECURITY_CONTACT = _contact("STATION_SECURITY_CONTACT")
# Only a harness that kills the control loop all day long changes it.
CRASHES_BEFORE_SAFE_MODE = _count("STATION_CRASHES", default=CRASHES)
# Only a harness that waits for each fault in turn changes it.
SIGNAL_HOLDS_S = _count("STATION_SIGNAL_HOLDS_S", default=int(SIGNAL_HOLDS))


SECRET_KEY = secret_key.fresh() if LEAVES_NO_TRACE else secret_key.obtain(DATA.secret_key)
DEBUG = False
# Host names are checked by station.web.middleware against the addresses the station really has.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    # Before Django's own, whose commands it replaces (changepassword).
    "station",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "ocpp_client",
    "whitelist",
    "loadmgmt",
    "hardware.runtime",
]

# Returns the stations that this one leads, whose fallbacks a change of the cluster's settings has to fit beside.
CLUSTER_MEMBERS = "loadmgmt.cluster.members.known"

MIDDLEWARE = [
    "station.web.middleware.AllowedHosts",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "station.web.middleware.ContentSecurityPolicy",
    # Above whatever needs the database or a session; below the files that its page loads.
    "station.web.display_listener.DisplayListener",
    "station.web.middleware.StrictTransport",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "station.web.middleware.SessionRules",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "station.urls"
ASGI_APPLICATION = "station.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "station.web.context.navigation",
            ],
            "builtins": ["station.web.templatetags.station"],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA.database,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
            # FULL: a committed row survives a power cut in WAL mode, too. What is deleted is overwritten.
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-2000; PRAGMA secure_delete=ON;"
            ),
        },
        "CONN_MAX_AGE": None,
        "TEST": {"NAME": os.environ.get("STATION_TEST_DATABASE")},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_SOCKET = DATA.socket("redis.sock")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "station.services.channel_layer.StationChannelLayer",
        "CONFIG": {
            # redis-py 8 sets a socket time-out by default, which breaks the layer's blocking reads, and tries again for
            # seconds, which those who can do without Redis would have to wait for.
            "hosts": [
                {
                    "address": f"unix://{REDIS_SOCKET}",
                    "socket_timeout": None,
                    "retry": Retry(NoBackoff(), 1),
                    # Two questions more for each connection, and the metadata of a package read for them.
                    "driver_info": None,
                },
            ],
            "expiry": 30,
            "capacity": 1000,
        },
    },
}

CELERY_BROKER_URL = f"redis+socket://{REDIS_SOCKET}"

PASSWORD_HASHERS = [
    "station.services.passwords.StationArgon2Hasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "station.services.passwords.MaximumLengthValidator"},
    {"NAME": "station.services.passwords.StrengthValidator"},
    {"NAME": "station.services.passwords.StationDataValidator"},
]

LANGUAGE_CODE = "en"
LANGUAGES = [("de", _("German")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA.run / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 3600

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_SECURE = SERVES_HTTPS
SESSION_COOKIE_NAME = "__Host-station" if SERVES_HTTPS else "station"
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SECURE = SERVES_HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_NAME = "__Host-csrf" if SERVES_HTTPS else "csrf"
LANGUAGE_COOKIE_SAMESITE = "Strict"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
FILE_UPLOAD_TEMP_DIR = DATA.files
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_500_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 12_000

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"secrets": {"()": "station.host.logs.MaskSecrets"}},
    "formatters": {
        "line": {
            "()": "station.host.logs.UtcFormatter",
            "format": "{asctime} {levelname:<7} {name}: {message}",
            "style": "{",
        },
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["secrets"]},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "pymodbus": {"level": "CRITICAL"},
        "ocpp": {"level": "WARNING"},
        # The message log: a file of its own, in the process that has the connection.
        "ocpp.frames": {"level": "INFO", "propagate": False},
        "autobahn": {"level": "WARNING"},
        "websockets": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
        # A traceback for each odd request of a stranger would push everything else out of the log.
        "django.security": {"level": "CRITICAL"},
        "twisted": {"level": "WARNING"},
    },
}
