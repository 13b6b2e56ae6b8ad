"""Versions and manifests of software images."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.firmware import ImageRefused, Manifest, Target, Version, check, check_path

ORDER = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]
TARGET = Target(product="station", hardware="x", floor=Version("1.1.0"), room=100)


def manifest(**changes):
    raw = {
        "product": "station",
        "version": "1.2.0",
        "hardware": ["x"],
        "files": [{"path": "a/b", "size": 1, "sha256": "0" * 64}],
    }
    return Manifest.read(raw | changes)


def test_versions_stand_in_the_order_of_semantic_versioning_item_11():
    versions = [Version(text) for text in [*ORDER, "1.0.1", "1.10.0", "2.0.0"]]

    assert all(older < newer for older, newer in pairwise(versions))


def test_build_metadata_does_not_make_a_version_newer():
    assert Version("1.0.0+a") == Version("1.0.0+b")


@given(st.from_regex(r"\d{1,3}\.\d{1,3}\.\d{1,3}(-[a-z0-9]{1,3}(\.[a-z0-9]{1,3})?)?", fullmatch=True))
def test_what_looks_like_a_version_is_one_or_is_refused(text):
    try:
        version = Version(text)
    except ImageRefused:
        # Semantic versioning item 2: no leading zeroes.
        version = None

    is_ascii = text.isascii()
    has_leading_zero = any(len(part) > 1 and part[0] == "0" for part in text.partition("-")[0].split("."))
    assert (version is None) == (has_leading_zero or not is_ascii)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"product": "toaster"}, "other_product"),
        ({"hardware": ["y"]}, "other_hardware"),
        ({"version": "1.0.9"}, "older_than_floor"),
        ({"files": [{"path": "a", "size": 101, "sha256": "0" * 64}]}, "no_room"),
    ],
)
def test_an_image_for_somebody_else_too_old_or_too_large_is_refused(changes, code):
    with pytest.raises(ImageRefused) as refusal:
        check(manifest(**changes), TARGET)

    assert refusal.value.code == code


@pytest.mark.parametrize(
    "path", ["../a", "a/../b", "/etc/passwd", "a//b", "./a", "a\x00", "a\n", "", ".", "ä", "a" * 500]
)
def test_a_path_that_could_lead_elsewhere_is_refused(path):
    with pytest.raises(ImageRefused):
        check_path(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["product", "version", "hardware", "files", "path", "size", "sha256"]), inner
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_a_manifest_or_refused(raw):
    with pytest.raises(ImageRefused):
        Manifest.read(raw)
