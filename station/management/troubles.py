"""Words for what the computer refuses a command, in the language of who calls it."""

import errno
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

_TROUBLES: Mapping[int, "str | Promise"] = {
    errno.ENOENT: _("there is no such file or folder."),
    errno.ENOTDIR: _("there is no such file or folder."),
    errno.EISDIR: _("this is a folder. Name a file in it."),
    errno.EEXIST: _("it exists already. Name another file."),
    errno.ENOSPC: _("the disk is full. Make room there, or choose another disk."),
    errno.EDQUOT: _("the disk is full. Make room there, or choose another disk."),
    errno.EROFS: _("the disk can only be read. Choose another one."),
    errno.EIO: _("the disk cannot be read or written. It may be broken: choose another one."),
    errno.EPIPE: _("whoever was to take it has ended."),
}


def because(error: OSError) -> str:
    """Return why the system has refused something, and what to do, as the end of a sentence."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return gettext("the user %(user)s may not do that.") % {"user": user()}
    told = _TROUBLES.get(error.errno or 0)
    return str(told) if told is not None else f"{error.strerror or error}."


def refused_path(error: OSError, path: Path | None = None) -> str:
    """Return which file the system has refused, why, and what to do."""
    place = path or error.filename
    return f"{place}: {because(error)}" if place else because(error)


def user() -> str:
    """Return the name of the user this command runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
