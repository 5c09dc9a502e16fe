# SPDX-License-Identifier: MIT
"""`tlsrpt-gen show`: reports in the shapes that senders really use, and what is said about each."""
import gzip
import json
import os
import re
import subprocess

import pytest

from programs import BUILD, DATA, RUN_S

FOREIGN = DATA / "foreign_reports"
EXPECTED = json.loads((FOREIGN / "expected.json").read_text())
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


def show(*arguments, stdin=None, columns=80, **environment):
    env = dict(os.environ, LC_ALL="C.UTF-8", COLUMNS=str(columns), **environment)
    return subprocess.run([str(BUILD / "tlsrpt-gen"), "show", *map(str, arguments)], input=stdin, env=env,
                          stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, timeout=RUN_S,
                          check=False)


def findings(output):
    """[level, whole text] of each departure, the folded lines joined."""
    rows = []
    lines = output.decode().split("Departures from RFC 8460:", 1)
    for line in lines[1].splitlines()[1:] if len(lines) == 2 else []:
        if re.match(r"  (MUST|SHOULD|note)", line):
            level, text = line.split(None, 1)
            rows.append([level, text])
        else:
            rows[-1][1] += " " + line.strip()
    return rows


def place(name, folder):
    """The file to show: itself, or "NAME as OTHER", compressed if OTHER ends in .gz."""
    source, _, other = name.partition(" as ")
    if not other:
        return FOREIGN / source
    raw = (FOREIGN / source).read_bytes()
    (folder / other).write_bytes(gzip.compress(raw) if other.endswith(".gz") else raw)
    return folder / other


@pytest.mark.parametrize("name", EXPECTED)
def test_each_departure_is_named_and_nothing_else(name, tmp_path):
    want = EXPECTED[name]
    done = show(place(name, tmp_path), columns=200)
    assert done.stderr == b""
    got = findings(done.stdout)
    for level, where, words, rule in want["findings"]:
        hits = [row for row in got if row[0] == level and row[1].startswith(where + ": ") and words in row[1]
                and f"({rule}" in row[1]]
        assert hits, f"{level} {where}: {words} ({rule}) is not among {got}"
        got.remove(hits[0])
    assert got == []
    assert done.returncode == (0 if want["sound"] else 65)
    assert want["sessions"] in done.stdout.decode()


def test_at_least_ten_shapes_are_there():
    assert len(list(FOREIGN.glob("*.eml")) + list(FOREIGN.glob("*.json"))) - 1 >= 10


@pytest.mark.parametrize("number", [1, 2, 3])
def test_our_own_reports_depart_in_nothing(number):
    done = show(DATA / "worked" / f"{number}.report.json")
    assert b"No departure from RFC 8460." in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("name", EXPECTED)
def test_no_control_byte_reaches_the_terminal(name, tmp_path):
    path = place(name, tmp_path)
    for arguments in ([path], ["--format", "json", path]):
        done = show(*arguments)
        assert not CONTROL.search(done.stdout + done.stderr)


def test_hostile_bytes_in_every_place_are_made_harmless(tmp_path):
    evil = "\x1b]0;owned\x07\x9b31m\u202e\u0000\n\r"
    report = json.loads((DATA / "worked" / "2.report.json").read_text())
    def poison(value):
        if isinstance(value, dict):
            return {key + ("" if key in KEEP else evil.replace("\0", "")): poison(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        return value + evil if isinstance(value, str) else value
    KEEP = {"policies", "policy", "summary", "failure-details", "policy-type", "policy-string", "result-type",
            "organization-name", "contact-info", "report-id", "date-range", "start-datetime", "end-datetime"}
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(poison(report)))
    done = show(path)
    assert done.returncode == 65
    assert not CONTROL.search(done.stdout + done.stderr)
    assert "\u202e" not in done.stdout.decode()
    done = show("--format", "json", path)
    assert not CONTROL.search(done.stdout)
    assert json.loads(done.stdout) == poison(report)


@pytest.mark.parametrize("name", sorted(p.name for p in FOREIGN.glob("*.json") if p.name not in ("expected.json", "hasty.json")))
def test_json_is_what_jq_prints(name):
    done = show("--format", "json", FOREIGN / name)
    want = subprocess.run(["jq", ".", str(FOREIGN / name)], capture_output=True, check=True, timeout=RUN_S)
    assert done.stdout == want.stdout


def test_a_mail_on_stdin_shows_the_report_inside():
    done = show(stdin=(FOREIGN / "google.eml").read_bytes())
    assert b"about lantern.example" in done.stdout
    assert b"stdin, a mail with " in done.stdout
    assert show("--format", "json", "-", stdin=(FOREIGN / "google.eml").read_bytes()).stdout.startswith(b"{\n")


@pytest.mark.parametrize("columns", [80, 140])
def test_lines_keep_to_the_width(columns):
    for name in ("google.eml", "mox.json", "stalwart.json"):
        for line in show(FOREIGN / name, columns=columns).stdout.decode().splitlines():
            assert len(line) <= columns, line


@pytest.mark.parametrize("what, stdin, code, words", [
    ("not JSON", b"hello", 65, "not JSON"),
    ("another JSON", b'{"a": 1}', 65, "not a TLSRPT report"),
    ("nothing", b"", 65, "nothing is in it"),
    ("broken gzip", b"\x1f\x8b\x08\x00\x00", 65, "gzip"),
    ("a mail without a report", b"Subject: hi\n\nhello\n", 66, "no TLSRPT report in it"),
])
def test_what_is_no_report_gets_a_reason(what, stdin, code, words):
    done = show(stdin=stdin)
    assert done.returncode == code, what
    assert words in done.stderr.decode() and b"stdin" in done.stderr
    assert done.stdout == b""


def test_at_a_terminal_it_does_not_wait_for_words():
    master, slave = os.openpty()
    try:
        done = subprocess.run([str(BUILD / "tlsrpt-gen"), "show"], stdin=slave, capture_output=True, timeout=RUN_S, check=False)
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == 64 and b"give a file, a domain, or - for standard input" in done.stderr


def test_a_gzip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * (64 << 20)))
    done = show(path)
    assert done.returncode == 65
    assert done.stdout == b""


def test_no_such_file_or_domain(tmp_path):
    done = show(tmp_path / "none.json")
    assert done.returncode == 66 and done.stderr.decode() == f"tlsrpt-gen show: open {tmp_path}/none.json: No such file or directory\n"


def test_a_file_is_shown_although_the_settings_are_wrong(tmp_path):
    config = tmp_path / "bad.conf"
    config.write_text("nonsense = 1\n")
    command = [str(BUILD / "tlsrpt-gen"), "-c", str(config), "show"]
    done = subprocess.run([*command, str(FOREIGN / "google.json")], capture_output=True, timeout=RUN_S, check=False)
    assert done.returncode == 0
    done = subprocess.run([*command, "example.org"], capture_output=True, timeout=RUN_S, check=False)
    assert done.returncode == 78 and b"nonsense" in done.stderr
