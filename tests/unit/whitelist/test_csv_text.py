"""The file user-export.csv, as people and spreadsheets write it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.authorization import AuthorizationStatus
from whitelist.csv_text import MAX_BYTES, FileRefused, listed_with_zeros, parse, render
from whitelist.normalise import key_of

PLAIN = "UID,GID,Expiry,Authorization\naec78085,,,accepted\n4b13b318,fleet,2020-01-01T12:00:00,blocked\n"
EXPIRY = datetime(2020, 1, 1, 12, tzinfo=UTC)


def contents(data: bytes) -> list[tuple[str, str, datetime | None, str]]:
    return [(card.uid, card.group, card.expires_at, card.authorization.value) for card in parse(data).cards]


EXPECTED = [("aec78085", "", None, "Accepted"), ("4b13b318", "fleet", EXPIRY, "Blocked")]


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.rstrip("\n").encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
        "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN.splitlines()).encode(),
        "\n".join(f'"{line}"' for line in PLAIN.splitlines()).encode(),
        "\n".join(f"{line};;;" for line in PLAIN.splitlines()).encode(),
        (PLAIN + ",,,\n\n").encode(),
        PLAIN.replace("2020-01-01T12:00:00", "01.01.2020 12:00").encode(),
        PLAIN.replace("2020-01-01T12:00:00", "2020-01-01 12:00:00").encode(),
        PLAIN.replace("2020-01-01T12:00:00", "2020-01-01T13:00:00+01:00").encode(),
        PLAIN.replace("2020-01-01T12:00:00", "2020-01-01T12:00:00.000Z").encode(),
        PLAIN.replace("accepted", "Accepted").encode("cp1252"),
    ],
)
def test_a_file_reads_the_same_however_a_spreadsheet_wrote_it_back(data: bytes) -> None:
    assert contents(data) == EXPECTED


def test_processed_counts_the_header() -> None:
    assert parse(PLAIN.encode()).processed == 3
    assert parse(b"UID,GID,Expiry,Authorization").processed == 1


@pytest.mark.parametrize(
    ("body", "line", "code"),
    [
        ("", 1, "file_header"),
        ("UID,GID,Expiry\n", 1, "file_header"),
        ("uid,gid,expiry,authorization\n", 1, "file_header"),
        ("UID\tGID\tExpiry\tAuthorization\n", 1, "file_header"),
        ("\udcff\udc81,x", 1, "file_not_text"),
        ("H\naa,,,accepted\nbb,,accepted", 3, "file_columns"),
        ("H\naa,,,accepted,more", 2, "file_columns"),
        ("H\naa", 2, "file_columns"),
        ("H\n,,,accepted", 2, "uid_empty"),
        ("H\naa,,,accepted\nAA,,,blocked", 3, "uid_twice"),
        ("H\n0A:0B,,,accepted\n\n0a0b,,,blocked", 4, "uid_twice"),
        ("H\n" + "x" * 21 + ",,,accepted", 2, "uid_too_long"),
        ('H\n"a\nb",,,accepted', 2, "uid_control_character"),
        ('H\naa,,,accepted\n"bb\n",,,accepted\n,,,blocked', 5, "uid_empty"),
        ("H\na\x00b,,,accepted", 2, "uid_control_character"),
        ("H\nK\u00e4se,,,accepted", 2, "uid_not_ascii"),
        ("H\n4.88E+13,,,accepted", 2, "uid_spoilt"),
        ("H;\n4,88E+13;;;accepted", 2, "uid_spoilt"),
        ("H\naa," + "g" * 21 + ",,accepted", 2, "group_too_long"),
        ("H\naa,,,", 2, "file_columns"),
        ("H\naa,,,yes", 2, "authorization"),
        ("H\naa,,,Invalid", 2, "authorization"),
        ("H\naa,,tomorrow,accepted", 2, "expiry"),
        ("H\naa,,1/2/2026,accepted", 2, "expiry"),
        ("H\naa,,2026-02-30T00:00:00,accepted", 2, "expiry"),
        ("H\naa,,31.04.2026,accepted", 2, "expiry"),
        ("H\naa,,9999-12-31T23:59:59-12:00,accepted", 2, "expiry"),
        ("H\naa,,1e309,accepted", 2, "expiry"),
        ('H\n"aa"b,,,accepted', 2, "file_quotes"),
        ('H\n"aa,,,accepted', 2, "file_quotes"),
    ],
)
def test_the_first_mistake_is_named_with_its_line(body: str, line: int, code: str) -> None:
    header = "UID;GID;Expiry;Authorization" if body.startswith("H;") else "UID,GID,Expiry,Authorization"
    text = header + body[body.index("\n") :] if body.startswith("H") else body

    with pytest.raises(FileRefused) as refused:
        parse(text.encode("utf-8", "surrogateescape"))

    assert (refused.value.line, refused.value.code) == (line, code)


def test_a_file_beyond_one_megabyte_is_not_even_read() -> None:
    with pytest.raises(FileRefused, match="file_too_large"):
        parse(b"x" * (MAX_BYTES + 1))


def test_a_card_that_the_backend_wrote_with_separators_is_recognised() -> None:
    file = parse(b"UID,GID,Expiry,Authorization\nab-cd,K\xc3\xa4se,,blocked\n", {"ab-cd": ("AB-CD", "Käse")})

    assert [(card.uid, card.group) for card in file.cards] == [("AB-CD", "Käse")]


def test_a_cell_that_a_spreadsheet_would_calculate_is_written_with_an_apostrophe() -> None:
    data = render([("=1+1", "@SUM(A1)", None, "Accepted"), ("-12", "+1", None, "Blocked")])

    assert data.decode().splitlines()[1:] == ["'=1+1,'@SUM(A1),,accepted", "'-12,'+1,,blocked"]


def test_a_formula_behind_a_semicolon_is_guarded_too_because_many_programs_split_there() -> None:
    data = render([("A;=1+1", ";@X;-1", None, "Accepted")])

    assert data.decode().splitlines()[1] == "A;'=1+1,;'@X;'-1,,accepted"
    assert [(card.uid, card.group) for card in parse(data).cards] == [("A;=1+1", ";@X;-1")]


def test_all_mistakes_are_named_at_once() -> None:
    text = "UID,GID,Expiry,Authorization\nAA,,,perhaps\nBB,,,accepted\nBB,,,accepted\nCC,,soon,accepted\nDD\n"

    with pytest.raises(FileRefused) as refused:
        parse(text.encode())

    assert [(each.line, each.code) for each in refused.value.mistakes] == [
        (2, "authorization"),
        (4, "uid_twice"),
        (5, "expiry"),
        (6, "file_columns"),
    ]


@pytest.mark.parametrize(
    ("uid", "listed", "found"),
    [
        ("4711", ["0004711", "ABC"], "0004711"),
        ("4711", ["4711", "0004711"], "0004711"),
        ("4711", ["04711", "0004711"], None),
        ("0004711", ["4711"], None),
        ("47F1", ["0047F1"], None),
        ("4711", [], None),
    ],
)
def test_a_card_of_digits_is_looked_for_with_leading_zeros(uid: str, listed: list[str], found: str | None) -> None:
    assert listed_with_zeros(uid, listed) == found


def test_what_is_not_accepted_is_written_as_blocked() -> None:
    assert render([("aa", "", None, "Invalid")]).endswith(b"aa,,,blocked\n")


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20).map(str.strip)
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))
ROW = st.tuples(
    TEXT.filter(bool),
    TEXT,
    st.none() | MOMENTS,
    st.sampled_from([AuthorizationStatus.ACCEPTED.value, AuthorizationStatus.BLOCKED.value]),
)


@given(st.lists(ROW, max_size=8, unique_by=lambda row: key_of(row[0])))
def test_what_is_exported_is_imported_to_the_same(rows: list[tuple[str, str, datetime | None, str]]) -> None:
    known = {key_of(uid): (uid, group) for uid, group, _, _ in rows}

    file = parse(render(rows), known)

    assert [(card.uid, card.group, card.expires_at, card.authorization.value) for card in file.cards] == rows
    assert file.processed == len(rows) + 1


@given(st.binary(max_size=200))
def test_no_content_does_anything_but_be_taken_or_refused(noise: bytes) -> None:
    line = 1
    try:
        parse(b"UID,GID,Expiry,Authorization\n" + noise)
    except FileRefused as refusal:
        line = refusal.line

    assert 1 <= line <= 2 + noise.count(b"\n") + noise.count(b"\r")


def test_an_expiry_of_another_zone_is_exported_in_utc() -> None:
    at = datetime.fromisoformat("2026-06-01T02:00:00+02:00") + timedelta(milliseconds=999)

    assert b"2026-06-01T00:00:00" in render([("aa", "", at, "Accepted")])
