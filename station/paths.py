"""Where a station keeps what: everything below one data directory, nothing outside."""

import os
import pwd
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from django.utils.translation import gettext_noop

from station import private_files

# The data directory of the station that the package or the image has installed (deploy/*.service).
INSTALLED = Path("/var/lib/station")


class DataDirectoryRefused(Exception):
    """The data directory cannot be used or would not be safe; the message says what to do.

    `template` and `data` are the same for whoever translates it: this is raised where no language is known yet.
    """

    def __init__(self, template: str, **data: str) -> None:
        super().__init__(template % data)
        self.template = template
        self.data = data

    @classmethod
    def damaged(cls, reason: str, root: Path | str) -> "DataDirectoryRefused":
        """Explain that sessions and messages would be lost if the station began anew."""
        return cls(
            gettext_noop(
                "The database in %(root)s is damaged: %(reason)s. Keep a copy of station.sqlite3* and restore the last "
                "backup, or move them away to begin anew, which loses sessions and messages the backend has not got."
            ),
            root=str(root),
            reason=reason,
        )

    @classmethod
    def because_of(cls, reason: str | None, root: Path | str) -> "DataDirectoryRefused":
        """Explain what the operating system has refused."""
        return cls(
            gettext_noop(
                "The data directory %(root)s cannot be used: %(reason)s. Make room there, or name a directory on a "
                "disk that can be written with --data-dir."
            ),
            root=str(root),
            reason=reason or "unknown error",
        )

    @classmethod
    def not_permitted(cls, path: Path | str) -> "DataDirectoryRefused":
        """Explain that a file or folder belongs to somebody else."""
        return cls(
            gettext_noop(
                "The user %(user)s may not use %(path)s. Call this as the station's own user (sudo stationctl …), or "
                "hand the file over: chown %(user)s %(path)s"
            ),
            user=_user_name(os.geteuid()),
            path=str(path),
        )

    @classmethod
    def missing(cls, root: Path | str) -> "DataDirectoryRefused":
        """Explain that only somebody else can make the directory."""
        return cls(
            gettext_noop(
                "There is no data directory %(root)s, and the user %(user)s may not make it. Where a package should "
                "have made it, install the package again and read what it says; else: sudo install -d -o %(user)s "
                "-m 0700 %(root)s"
            ),
            user=_user_name(os.geteuid()),
            root=str(root),
        )


@dataclass(frozen=True)
class DataDirectory:
    """The layout of one station's data directory."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "station.sqlite3"

    @property
    def has_database(self) -> bool:
        """Whether anything was written into the database so far; opening an empty one would."""
        return self.database.exists() and self.database.stat().st_size > 0

    @property
    def database_before(self) -> Path:
        """The database as it was before this version changed its tables; for the way back to the version before."""
        return self.database.with_name(f"{self.database.name}.before")

    @property
    def database_changing(self) -> Path:
        """There while this version changes the tables; says which copy is the database of before the first step."""
        return self.database.with_name(f"{self.database.name}.changing")

    @property
    def database_later(self) -> Path:
        """The database as a later version has left it when the computer went back to this one."""
        return self.database.with_name(f"{self.database.name}.later")

    @property
    def identity(self) -> Path:
        return self.root / "identity.json"

    @property
    def identity_copy(self) -> Path:
        """The last valid identity, for processes that begin when the file is damaged, and for a start without it."""
        return self.run / "identity_copy.json"

    @property
    def factory_password(self) -> Path:
        """The factory password this computer made for itself, until somebody was told it."""
        return self.root / "factory_password.txt"

    @property
    def provisioning_refused(self) -> Path:
        """Why the factory's file was refused at the last start that found one, without what stood in it."""
        return self.root / "provisioning_refused.json"

    @property
    def last_boot(self) -> Path:
        """The run of the computer in which the station was started last; there once it was."""
        return self.root / "last_boot"

    @property
    def signed_archive(self) -> Path:
        """What calibrated meters have signed; it outlives the database and every factory reset."""
        return self.root / "signed_records.sqlite3"

    @property
    def sessions_to_rebuild(self) -> Path:
        """There while a new database has not got yet what the archive of signed meter data knows of sessions."""
        return self.root / "rebuild_sessions"

    @property
    def hardware(self) -> Path:
        return self.root / "hardware.json"

    @property
    def hardware_before(self) -> Path:
        """The description with which a control loop has run last."""
        return self.run / "hardware_before.json"

    @property
    def factory_reset(self) -> Path:
        """The order of a factory reset, until a start has carried it out."""
        return self.root / "factory_reset.json"

    @property
    def firewall(self) -> Path:
        """What the site's network may reach, for the service that loads the firewall."""
        return self.root / "firewall.json"

    @property
    def network_trial(self) -> Path:
        """The last change of the network settings: on trial, kept or taken back."""
        return self.root / "network_trial.json"

    @property
    def network_reset(self) -> Path:
        """Left by a factory reset until the computer has its network settings of the factory again."""
        return self.root / "network_reset"

    @property
    def secret_key(self) -> Path:
        return self.root / "secret.key"

    @property
    def storage_key(self) -> Path:
        """What the secrets in the database are encrypted with; part of no backup and no archive."""
        return self.root / "storage.key"

    @property
    def cluster_password(self) -> Path:
        """What the station proves to the master of its cluster that it is the one that registered."""
        return self.root / "cluster.password"

    @property
    def cluster_epoch(self) -> Path:
        """The random name under which the station has led its cluster last."""
        return self.root / "cluster.epoch"

    @property
    def cluster_other_master(self) -> Path:
        """Which station leads the cluster although this one is set to lead it; nothing else leads it meanwhile."""
        return self.root / "cluster.other_master"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def files(self) -> Path:
        """Archives, downloads and uploads in work."""
        return self.root / "files"

    def logo(self, brand: str) -> Path:
        """The logo of the operator or the vendor on the driver's display."""
        return self.root / f"logo_{brand}.png"

    @property
    def pin_attempt(self) -> Path:
        """For which SIM card and which entry a PIN was sent that has not been taken."""
        return self.root / "pin.tried"

    @property
    def archives(self) -> Path:
        """Archives of the logs that somebody at the pages has ordered."""
        return self.files / "archives"

    @property
    def simulation(self) -> Path:
        return self.root / "sim"

    @property
    def own_page(self) -> Path:
        """Where the web interface of this run listens."""
        return self.run / "page.url"

    @property
    def web_ports(self) -> Path:
        """Which addresses the web interface wanted at its last start, whether it got them or not."""
        return self.run / "web_ports.json"

    @property
    def controlled(self) -> Path:
        """Locked for as long as a service controls the hardware."""
        return self.run / "controlled"

    @property
    def demo_backend_url(self) -> Path:
        """Where the demo backend of a simulated station listens."""
        return self.simulation / "demo_backend.url"

    @property
    def operators(self) -> Path:
        """Files of operators, whose settings the OCPP page offers; provisioning brings them."""
        return self.root / "operators"

    @property
    def run(self) -> Path:
        """Sockets, locks, generated process configuration and copies: nothing that a station could not do without."""
        return self.root / "run"

    @property
    def notes_of_the_computer(self) -> Path:
        """Where root leaves word for the station of what this start of the computer has found.

        That word is for the installed station: another on the same computer (somebody's desk, a test) must not believe
        it, and has its own folder, into which nobody writes.
        """
        return Path("/run") if self.root == INSTALLED else self.run

    def create(self) -> None:
        """Make the directory and its parts, and close everything in it to other users. Raises DataDirectoryRefused."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._close_root()
            for part in (self.certificates, self.logs, self.files, self.run):
                if part.is_symlink():
                    raise DataDirectoryRefused(
                        gettext_noop(
                            "%(part)s is a link, but a station keeps everything in one directory. Remove the link; to "
                            "use another disk, mount it there or choose another --data-dir."
                        ),
                        part=str(part),
                    )
                part.mkdir(mode=0o700, exist_ok=True)
            if self._holds_a_station():
                private_files.close_to_others(self.root)
        except PermissionError as problem:
            if _is_missing(self.root):
                raise DataDirectoryRefused.missing(self.root) from problem
            raise DataDirectoryRefused.not_permitted(problem.filename or self.root) from problem
        except OSError as problem:
            raise DataDirectoryRefused.because_of(problem.strerror, self.root) from problem

    def is_untouched(self) -> bool:
        """Return whether no station was started here so far and this user could start one; asking makes nothing.

        False also where only `create` can say what is wrong.
        """
        try:
            return self._is_untouched(self.nearest_folder)
        except OSError:
            return False

    def _is_untouched(self, folder: Path) -> bool:
        status = folder.stat()
        if not stat.S_ISDIR(status.st_mode) or folder != self.root:
            return stat.S_ISDIR(status.st_mode)
        is_ours = status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX
        return is_ours and not self.has_database

    @property
    def nearest_folder(self) -> Path:
        """The directory, or while there is none what it would be made in. Raises PermissionError."""
        return next(path for path in (self.root, *self.root.parents) if path.exists() or path.is_symlink())

    def _close_root(self) -> None:
        status = self.root.stat()
        if status.st_uid != os.geteuid():
            raise DataDirectoryRefused(
                gettext_noop(
                    "The data directory %(root)s belongs to the user %(owner)s, but this command runs as %(user)s. Run "
                    "it as %(owner)s (sudo -u %(owner)s …), or hand the directory over: chown -R %(user)s %(root)s"
                ),
                root=str(self.root),
                owner=_user_name(status.st_uid),
                user=_user_name(os.geteuid()),
            )
        mode = stat.S_IMODE(status.st_mode)
        if mode & stat.S_ISVTX:
            raise DataDirectoryRefused(
                gettext_noop(
                    "%(root)s is a directory for all users of this computer. Name one of the station's own with "
                    "--data-dir."
                ),
                root=str(self.root),
            )
        if mode != stat.S_IRWXU:
            self.root.chmod(stat.S_IRWXU)

    def _holds_a_station(self) -> bool:
        """Return whether what is in the directory is ours; a directory named by mistake keeps its permissions."""
        return any(path.exists() for path in (self.database, self.secret_key, self.identity, self.hardware))

    @cached_property
    def _run_descriptor(self) -> int:
        return os.open(self.run, os.O_PATH | os.O_DIRECTORY)

    def socket(self, name: str) -> str:
        """Return a short path of a Unix socket in `run`.

        A socket address holds 107 bytes at most (unix(7)), a data directory may be longer and may contain blanks;
        the open descriptor of the directory gives a short name that works in this process and its forks.
        """
        try:
            return f"/proc/self/fd/{self._run_descriptor}/{name}"
        except FileNotFoundError:
            # Nothing was started here, so nobody listens at any name.
            return str(self.run / name)


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except PermissionError:
        # Whether it is there is hidden, too.
        return False


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
