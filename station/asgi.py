"""The web process's entry: pages over HTTP, live fragments over WebSocket."""

import os

from channels.routing import ProtocolTypeRouter
from channels.sessions import CookieMiddleware
from django import setup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "station.settings")
setup(set_prefix=False)

from station.web.body_files import PagesHandler  # noqa: E402 - needs the applications to be loaded
from station.web.gate import OnePath, OwnOriginOnly  # noqa: E402
from station.web.live import LiveConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": PagesHandler(),
        "websocket": OnePath("/live", OwnOriginOnly(CookieMiddleware(LiveConsumer.as_asgi()))),
    }
)
