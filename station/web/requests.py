"""What a view reads from its request."""

from typing import Protocol, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language

from station import clock
from station.domain.commands import Command, Origin, Outcome
from station.services import commands
from station.ui import words


class HtmxRequest(Protocol):
    """A request as HtmxMiddleware leaves it."""

    htmx: bool


def signed_in(request: HttpRequest) -> User:
    """Return the user; the middleware lets nobody else through."""
    if not isinstance(request.user, User):
        message = "this view needs no login"
        raise TypeError(message)
    return request.user


def is_htmx(request: HttpRequest) -> bool:
    """Return whether htmx asks for a fragment."""
    return bool(cast("HtmxRequest", request).htmx)


def submit(request: HttpRequest, command: Command) -> Outcome:
    """Put a command through the one door in the user's name."""
    return commands.submit_command(command, origin=Origin.WEB, actor=signed_in(request).get_username(), at=clock.now())


def say(outcome: Outcome) -> str:
    """Return an outcome in words: the reason for a refusal where there is one."""
    if outcome.reason and not outcome.succeeded:
        return words.word(words.REFUSALS, outcome.reason)
    return words.word(words.OUTCOMES, outcome.status)


def answer(request: HttpRequest, *, element_id: str, outcome: Outcome, success: str, back: str) -> HttpResponse:
    """Answer a command: a line beside the button for htmx, else the page again with a message."""
    scheduled_or_refused = not outcome.succeeded or outcome.status.value == "scheduled"
    text = say(outcome) if scheduled_or_refused else success
    if is_htmx(request):
        return render(
            request,
            "components/answer.html",
            {"id": element_id, "text": text, "succeeded": outcome.succeeded, "language": get_language()},
        )
    (messages.success if outcome.succeeded else messages.error)(request, text)
    return redirect(back)
