"""Writes the bill of materials of a release (CycloneDX 1.6, JSON): `python -m scripts.sbom [FILE]`.

The product is the root; below it stand the pinned packages with their hashes and licences, what some of them bring
along, and the Debian packages of deploy/packages.txt. Licences and dependencies are read from what is installed in this
environment, versions of Debian packages from the computer this runs on: run it where the release is built. The same
release gives the same file, except for the moment (SOURCE_DATE_EPOCH, if set).
"""

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from scripts.pinned import ROOT, Pinned, read
from station.host.release import RELEASE

# What older packages write into their free text, in the names of SPDX.
_SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "New BSD": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
}
_LONGEST_NAME = 60
_HTMX = "django_htmx/static/django_htmx/htmx-2.min.js"


def bill_of_materials(*, at: datetime) -> Bom:
    """Return what this release is made of."""
    root = Component(
        name="station",
        version=RELEASE,
        type=ComponentType.FIRMWARE,
        bom_ref="station",
        description="The operating system of an AC charging station",
        supplier=OrganizationalEntity(name="Technagon"),
    )
    bom = Bom()
    bom.metadata.component = root
    bom.metadata.timestamp = at
    packages = {package.name: _component(package) for package in read(ROOT / "requirements-station.txt")}
    debian = [_debian(name) for name in debian_packages()]
    for component in (*packages.values(), *debian):
        bom.components.add(component)
    asked = {canonicalize_name(name) for name in _asked_for()}
    bom.register_dependency(root, [component for name, component in packages.items() if name in asked] + debian)
    for name, component in packages.items():
        bom.register_dependency(component, [packages[needed] for needed in sorted(_needs(name)) if needed in packages])
    # The same content has the same number, so that two builds can be compared.
    content = "\n".join(sorted(f"{part.name}=={part.version}" for part in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"station {RELEASE}\n{content}")
    return bom


def _component(package: Pinned) -> Component:
    url = PackageURL("pypi", None, package.name, str(package.version))
    installed = _installed(package.name)
    return Component(
        name=package.name,
        version=str(package.version),
        type=ComponentType.LIBRARY,
        bom_ref=url.to_string(),
        purl=url,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes],
        licenses=[] if installed is None else [LicenseFactory().make_from_string(text) for text in _licence(installed)],
        components=[] if installed is None else list(_brought_along(package.name, installed)),
    )


def _licence(installed: Distribution) -> Iterator[str]:
    """Return the licence a package declares: the expression, else its free text, else its classifier."""

    def declared(field: str) -> list[str]:
        return [text.strip() for text in installed.metadata.get_all(field) or ()]

    free = "".join(declared("License")).partition("\n")[0]
    named = [free] if 0 < len(free) <= _LONGEST_NAME and not free.startswith("Copyright") else []
    classifiers = [text for text in declared("Classifier") if text.startswith("License :: OSI Approved ::")]
    for text in (*declared("License-Expression"), *named, *classifiers):
        yield _SPDX.get(text, text.rpartition(" :: ")[2])
        return


def _brought_along(name: str, installed: Distribution) -> Iterator[Component]:
    """Return programs inside of packages: a list of packages alone would hide them."""
    if name == "django-htmx":
        script = Path(str(installed.locate_file(_HTMX))).read_text(encoding="utf-8")
        found = re.search(r'version:"([0-9.]+)"', script)
        yield Component(
            name="htmx.org",
            version=found[1] if found else None,
            type=ComponentType.LIBRARY,
            bom_ref="django-htmx/htmx",
            licenses=[LicenseFactory().make_from_string("0BSD")],
        )


def debian_packages() -> list[str]:
    """Return the names in deploy/packages.txt."""
    lines = (ROOT / "deploy" / "packages.txt").read_text(encoding="utf-8").splitlines()
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def _debian(name: str) -> Component:
    version = _debian_version(name)
    url = PackageURL("deb", "debian", name, version)
    missing = [] if version else [Property(name="station:version", value="not installed where this list was made")]
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, bom_ref=url.to_string(), purl=url, properties=missing
    )


def _debian_version(name: str) -> str | None:
    if shutil.which("dpkg-query") is None:
        return None
    asked = subprocess.run(  # noqa: S603 - a name of our own list
        ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", name],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    status, _, version = asked.stdout.partition(" ")
    return version if status == "installed" else None


def _asked_for() -> Iterable[str]:
    return re.findall(
        r"^([A-Za-z][A-Za-z0-9._-]*)", (ROOT / "requirements-station.in").read_text(encoding="utf-8"), re.MULTILINE
    )


def _needs(name: str) -> set[str]:
    installed = _installed(name)
    needed: set[str] = set()
    for text in (installed.requires if installed else None) or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": "redis"}):
            needed.add(canonicalize_name(requirement.name))
    return needed


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def moment_of_the_release() -> datetime:
    """Return SOURCE_DATE_EPOCH, or this moment."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)


def main(arguments: list[str]) -> int:
    """Write the list to a file, or to standard output."""
    text = JsonV1Dot6(bill_of_materials(at=moment_of_the_release())).output_as_string(indent=2) + "\n"
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
