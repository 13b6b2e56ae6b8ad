"""Answers to requests that are not passed on: a status and a reason in English and German."""

from http import HTTPStatus

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

TOO_LONG_ADDRESS = (HTTPStatus.REQUEST_URI_TOO_LONG, gettext_noop("The address of the page is too long."))
TOO_MANY_HEADERS = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    gettext_noop("The headers of the request are too long. Delete the cookies of this station in the browser."),
)
TOO_LARGE = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    gettext_noop("The request is larger than this page takes. To send a file, sign in and use the page for it."),
)
NO_ROOM = (
    HTTPStatus.INSUFFICIENT_STORAGE,
    gettext_noop("The disk of the station has too little room for this file. Delete log archives and try again."),
)
NOT_SIGNED_IN = (
    HTTPStatus.FORBIDDEN,
    gettext_noop("To send a file, sign in as somebody who may do this; the session may have ended. Nothing was read."),
)
TOO_SLOW = (HTTPStatus.REQUEST_TIMEOUT, gettext_noop("The request did not arrive in time. Try again."))
NOT_HTTP = (HTTPStatus.BAD_REQUEST, gettext_noop("The request is broken."))
TOO_MANY_CONNECTIONS = (
    HTTPStatus.SERVICE_UNAVAILABLE,
    gettext_noop("Too many connections are open. Close other pages of this station and try again."),
)

Refusal = tuple[HTTPStatus, str]


def encode(refusal: Refusal) -> bytes:
    """Write the whole answer, after which the connection ends."""
    status, text = refusal
    body = "\n".join([*(_in(language, text) for language in ("en", "de")), ""]).encode()
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body


def _in(language: str, text: str) -> str:
    with override(language):
        return _(text)
