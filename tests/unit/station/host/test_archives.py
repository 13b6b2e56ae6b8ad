"""Archives: bounded, within the time asked for, without a secret in any form (attack scenario 30 of security.md)."""

import base64
import gzip
import re
import tarfile
import time
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.host import archives
from station.host.archives import Window, build, log_parts, within
from station.host.redaction import Redaction

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = 'canary+/ä"?-52fA'
HEX_KEY = "00112233445566778899aabbccddeeff00112233"


def contents(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read().decode() for member in archive.getmembers()}


def make(path, parts, secrets=()):
    build(path, parts, secrets=secrets, at=AT, check=lambda: None)
    return contents(path)


def forms():
    """Give forms of the secret, and how many characters around it may stay: those of its neighbours in base64."""
    raw = SECRET.encode()
    quoted = quote(SECRET, safe="")
    small = re.sub("%..", lambda match: match[0].lower(), quoted)
    for form in [SECRET, quoted, small, quote_plus(SECRET), raw.hex(), raw.hex().upper(), raw.hex(":")]:
        yield form, 0
    for before in (b"", b"u:", b"us:", b"use:"):
        for after in (b"", b"a", b"ab"):
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                yield encode(before + raw + after).decode(), 6 * (bool(before) + 1)


@pytest.mark.parametrize(("form", "around"), list(forms()))
def test_a_known_secret_is_masked_in_every_form(form, around):
    cleaned = Redaction([SECRET]).line(f"before {form} after\n")

    assert "***" in cleaned
    assert len(cleaned) <= len("before *** after\n") + around


def test_the_bytes_of_a_key_written_in_hex_are_masked_too():
    header = base64.b64encode(b"TE1:" + bytes.fromhex(HEX_KEY)).decode()

    cleaned = Redaction([HEX_KEY]).line(f"Authorization {header}\n")

    assert header[8:-8] not in cleaned


def test_a_short_secret_is_masked_only_where_it_stands_alone():
    cleaned = Redaction(["4711"]).line("pin 4711, energy 47110 Wh, 14711\n")

    assert cleaned == "pin ***, energy 47110 Wh, 14711\n"


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=8, max_size=30),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_secret_survives_in_plain_hex_or_base64(secret, before, after):
    redaction = Redaction([secret])

    for text in (secret, secret.encode().hex(), base64.b64encode(secret.encode()).decode()):
        assert text not in redaction.line(f"{before}{text}{after}")


def test_a_private_key_is_masked_over_several_lines_and_within_one():
    redaction = Redaction([])
    lines = ["-----BEGIN EC PRIVATE KEY-----\n", "MHcCAQEE\n", "-----END EC PRIVATE KEY-----\n", "after\n"]

    assert "MHcC" not in "".join(map(redaction.line, lines))
    assert redaction.line("after\n") == "after\n"
    assert "MHcC" not in redaction.line("x -----BEGIN PRIVATE KEY-----\\x0aMHcC\\x0a-----END PRIVATE KEY----- y\n")


def test_a_card_number_is_shortened_but_can_still_be_followed():
    redaction = Redaction([])

    first, second = (redaction.line(f'{{"idTag": "04A2B3C4D5E6{digit}"}}\n') for digit in "78")

    assert "04A2B3C4D5" not in first
    assert first.startswith('{"idTag": "04A2…')
    assert first != second
    assert first == redaction.line('{"idTag": "04A2B3C4D5E67"}\n')


def test_rotated_and_packed_logs_are_searched_for_secrets(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "ocpp.log").write_text(f"2026-11-20T10:00:00.000Z {SECRET}\n", encoding="utf-8")
    (logs / "ocpp.log.1").write_text(f"2026-11-20T09:00:00.000Z {SECRET.encode().hex()}\n", encoding="utf-8")
    with gzip.open(logs / "ocpp.log.2.gz", "wt", encoding="utf-8") as file:
        file.write(f"2026-11-20T08:00:00.000Z {quote(SECRET)}\n")

    found = make(tmp_path / "a.tar.gz", log_parts(logs, Window()), [SECRET])

    assert sorted(found) == ["logs/ocpp.log", "logs/ocpp.log.1", "logs/ocpp.log.2"]
    assert all(text.endswith("***\n") for text in found.values())


def test_a_link_in_the_log_directory_leads_nowhere(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "secret.key").write_text("hidden")
    (logs / "link.log").symlink_to(tmp_path / "secret.key")

    assert make(tmp_path / "a.tar.gz", log_parts(logs, Window())) == {}


def test_only_lines_of_the_time_asked_for_are_taken_with_what_belongs_to_them():
    lines = [
        "a line of unknown time\n",
        "2026-11-20T09:59:59.999Z before\n",
        "2026-11-20T10:00:00.000Z first\n",
        "  its traceback\n",
        "2026-11-20T11:00:00.500Z last\n",
        "2026-11-20T11:00:01.000Z after\n",
        "  its traceback\n",
    ]
    window = Window(start=datetime(2026, 11, 20, 10, tzinfo=UTC), stop=datetime(2026, 11, 20, 11, tzinfo=UTC))

    assert list(within(lines, window)) == lines[2:5]


def test_the_archive_is_bounded_and_says_what_it_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES_PER_PART", 1_000)
    monkeypatch.setattr(archives, "MOST_BYTES", 1_500)

    found = make(tmp_path / "a.tar.gz", [(f"part{n}", ["0123456789\n"] * 500) for n in range(4)])

    assert set(found) == {"part0", "part1", "left_out.txt"}
    assert sum(map(len, found.values())) < 2_000
    assert found["left_out.txt"] == "part2\npart3\n"


def test_of_a_long_log_the_end_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES_PER_PART", 1_000)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x.log").write_text("".join(f"line {n:05}\n" for n in range(1_000)))

    text = make(tmp_path / "a.tar.gz", log_parts(tmp_path / "logs", Window()))["logs/x.log"]

    assert text.endswith("line 00999\n")
    assert text.startswith("line 00")


def test_an_overlong_line_is_left_out_as_a_whole(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x.log").write_text("a\n" + "b" * 600_000 + SECRET + "\nc\n", encoding="utf-8")

    text = make(tmp_path / "a.tar.gz", log_parts(tmp_path / "logs", Window()))["logs/x.log"]

    assert text == "a\n… a line left out: too long\nc\n"


def test_an_archive_that_is_given_up_leaves_nothing_behind(tmp_path):
    class Cancelled(Exception):
        pass

    def check():
        raise Cancelled

    with pytest.raises(Cancelled):
        build(tmp_path / "a.tar.gz", [("a", ["x\n"])], secrets=[], at=AT, check=check)
    assert list(tmp_path.iterdir()) == []


def test_a_longer_log_line_costs_no_more_than_its_length():
    redaction = Redaction([f"secret-{n}-of-the-station" for n in range(8)])
    text = '2026-11-20T10:00:00.000Z INFO    ocpp.frames: > [2,"19223201","Heartbeat",{}] and some more text '

    def cost_s(line):
        before_s = time.process_time()
        redaction.line(line)
        return time.process_time() - before_s

    # The best of several, and against itself: what else the machine does must not count. Squared it would be 400.
    short_s = min(cost_s(text * 20) for _ in range(10))
    long_s = min(cost_s(text * 400) for _ in range(10))
    assert long_s < 100 * short_s
