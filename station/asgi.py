"""The web process's entry: pages over HTTP, live fragments over WebSocket."""

import os

from channels.routing import ProtocolTypeRouter
from channels.sessions import CookieMiddleware
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "station.settings")
_pages = get_asgi_application()

from station.web.gate import OnePath, OwnOriginOnly  # noqa: E402 - needs the applications to be loaded
from station.web.live import LiveConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": _pages,
        "websocket": OnePath("/live", OwnOriginOnly(CookieMiddleware(LiveConsumer.as_asgi()))),
    }
)
