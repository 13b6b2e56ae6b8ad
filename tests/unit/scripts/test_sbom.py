"""The bill of materials: everything a station runs, in the format others can read."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.schema import _res as schemas
from referencing import Registry
from referencing.jsonschema import DRAFT7

from scripts import sbom
from scripts.pinned import ROOT, read
from station.host.release import RELEASE

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
FOLDER = Path(str(schemas.__path__[0]))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("sbom") / "bom.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", str(int(AT.timestamp())))
        assert sbom.main([str(file)]) == 0
        first = file.read_text()
        assert sbom.main([str(file)]) == 0
    assert file.read_text() == first
    return json.loads(first)


def test_it_is_valid_cyclonedx(document: dict[str, Any]):
    version = SchemaVersion.V1_6.to_version()
    schema = json.loads((FOLDER / f"bom-{version}.SNAPSHOT.schema.json").read_text())
    registry = Registry().with_resources(
        (name, DRAFT7.create_resource(json.loads(path.read_text())))
        for path in FOLDER.glob("*.schema.json")
        for name in (path.name, f"http://cyclonedx.org/schema/{path.name}")
    )

    jsonschema.Draft7Validator(schema, registry=registry).validate(document)


def test_the_product_is_the_root_and_needs_what_was_asked_for(document: dict[str, Any]):
    root = document["metadata"]["component"]
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in document["dependencies"]}

    assert (root["name"], root["version"]) == ("station", RELEASE)
    assert any(ref.startswith("pkg:pypi/django@") for ref in needs["station"])
    assert any(ref.startswith("pkg:deb/debian/nftables") for ref in needs["station"])
    # Everything hangs together: nothing is listed that nobody needs.
    reached, waiting = set(), ["station"]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += needs[ref]
    listed = {component["bom-ref"] for component in document["components"]}
    assert {ref for ref in listed - reached if "async-timeout" not in ref} == set()


def test_every_pinned_package_has_its_version_its_hashes_and_a_licence(document: dict[str, Any]):
    listed = {component["name"]: component for component in document["components"]}

    for package in read(ROOT / "requirements-station.txt"):
        component = listed[package.name]
        assert component["version"] == str(package.version)
        assert {entry["content"] for entry in component["hashes"]} == set(package.hashes)
        assert component.get("licenses") or package.name == "async-timeout", package.name


def test_programs_inside_of_packages_are_named(document: dict[str, Any]):
    inner = {
        part["name"]: part["version"] for parent in document["components"] for part in parent.get("components", ())
    }

    assert set(inner) == {"htmx.org"}
    assert all(re.fullmatch(r"[0-9.]+", version) for version in inner.values())


def test_every_debian_package_has_a_reason(document: dict[str, Any]):
    lines = (ROOT / "deploy" / "packages.txt").read_text().splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]

    assert all(re.fullmatch(r"[a-z0-9.+-]+ +# [A-Z].+\.", line) for line in entries)
    assert {line.split()[0] for line in entries} <= {component["name"] for component in document["components"]}
