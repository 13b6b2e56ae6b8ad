"""Files that only the station's own user may read, and that are whole after a power cut: the old content or the new."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_ASIDE = ".broken-"
_DRAFT = ".new"
_FORMER = ".old"
# Another process may be writing at this moment; one that was killed has left its draft longer ago.
_DRAFT_IS_ABANDONED = timedelta(minutes=10)


def write(path: Path, content: bytes) -> None:
    """Replace a file at once and for good."""
    # A name of its own: several processes may write the same file, and a link planted there would be followed.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_DRAFT, dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
    flush_directory(path.parent)


def write_keeping_former(path: Path, content: bytes) -> Path | None:
    """Replace a file like `write`; return where what it held before is kept beside it, None where there was none."""
    kept = None
    if path.exists():
        kept = path.with_name(path.name + _FORMER)
        write(kept, path.read_bytes())
    write(path, content)
    return kept


def read(path: Path) -> bytes:
    """Read a file of ours; a link in its place is refused (OSError), because somebody else may have laid it."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return file.read()


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used, so that it is neither used nor lost; return the new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}{_ASIDE}{number}")).exists() or aside.is_symlink():
        number += 1
    path.rename(aside)
    flush_directory(path.parent)
    return aside


def files_set_aside(folder: Path) -> list[Path]:
    """List what `set_aside` has left in a folder."""
    return sorted(folder.glob(f"*{_ASIDE}*"))


def remove_drafts(folder: Path, *, at: datetime) -> None:
    """Delete what writers that were killed have left in a folder."""
    for draft in folder.glob(f".*{_DRAFT}"):
        with suppress(FileNotFoundError):
            if at.timestamp() - draft.lstat().st_mtime > _DRAFT_IS_ABANDONED.total_seconds():
                draft.unlink()


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time look at files of a folder and mend them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def flush_directory(folder: Path) -> None:
    """Make a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def close_to_others(root: Path) -> None:
    """Take away what other users may do with anything below a folder; where links lead is left alone."""
    for _folder, folders, names, descriptor in os.fwalk(root, follow_symlinks=False):
        for name in (*folders, *names):
            # A running station removes files meanwhile.
            with suppress(FileNotFoundError):
                _close(name, descriptor)


def _close(name: str, folder: int) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode) or not mode & _OTHERS or status.st_uid != os.geteuid():
        return
    if os.geteuid() == 0 and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        # Somebody may have given a file of the system a second name here while the directory was open.
        return
    os.chmod(name, mode & ~_OTHERS, dir_fd=folder)
