"""What of the repository goes into an image: only what git knows, because all else is somebody's work in progress."""

import os
import shutil
from pathlib import Path

from scripts.image.run import StepFailed, run

ROOT = Path(__file__).resolve().parents[2]


def tracked(*places: str | Path) -> list[Path]:
    """Return the files below these places of the repository that git knows. Raises StepFailed."""
    listed = [ROOT / name for name in _git("ls-files", "--cached", "-z", "--", *places)]
    # One that was removed and whose removal is not committed.
    return [path for path in listed if path.is_symlink() or path.is_file()]


def differences(*places: str | Path) -> list[str]:
    """Return sentences on files below these places that are not as the last commit has them. Raises StepFailed."""
    told = []
    if unknown := _git("ls-files", "--others", "--exclude-standard", "-z", "--", *places):
        told.append(f"Not in the image, because git does not know them: {', '.join(unknown)}.")
    if changed := _git("diff", "--name-only", "-z", "HEAD", "--", *places):
        told.append(f"In the image with changes that are not committed: {', '.join(changed)}.")
    return told


def copy_over(source: Path, target: Path) -> None:
    """Copy what git knows of a directory of the repository over a tree. Raises StepFailed."""
    for path in tracked(source):
        copy(path, target / path.relative_to(source))


def copy(source: Path, destination: Path) -> None:
    """Copy one file, so that everybody may read it and root alone may write it."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.unlink(missing_ok=True)
    shutil.copy2(source, destination, follow_symlinks=False)
    if not destination.is_symlink():
        destination.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _git(*words: str | Path) -> list[str]:
    try:
        # The files may belong to somebody else than root.
        said = run("git", "-c", f"safe.directory={ROOT}", "-C", ROOT, *words)
    except StepFailed as refusal:
        raise StepFailed(f"An image is made of a clone, and git cannot read {ROOT}:\n{refusal}") from None
    return [name for name in said.split("\0") if name]
