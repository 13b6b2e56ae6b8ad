"""The web process's entry: pages over HTTP, live fragments over WebSocket."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "station.settings")
_pages = get_asgi_application()

from station.web.gate import OwnOriginOnly  # noqa: E402 - needs the applications to be loaded
from station.web.live import LiveConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": _pages,
        "websocket": OwnOriginOnly(CookieMiddleware(URLRouter([path("live", LiveConsumer.as_asgi())]))),
    }
)
