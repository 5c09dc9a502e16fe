# SPDX-License-Identifier: MIT
"""`tlsrpt-gen check`: each finding appears when it should, and its mend, followed to the letter, makes it go."""
import fcntl
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import screens
from programs import BUILD, RUN_S

HERE = pathlib.Path(__file__).parent
NAMES = re.findall(r"^@scenario\(.*\)\ndef (\w+)\(", (HERE / "check_scenarios.py").read_text(), re.M)
WAYS = (["unshare", "--mount", "--net"], ["unshare", "--user", "--map-root-user", "--mount", "--net"])


def find_way():
    for way in WAYS:
        if subprocess.run([*way, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False).returncode == 0:
            return way
    return None


def play_world(folder):
    way = find_way()
    if way is None:
        return []
    folder.mkdir()
    done = subprocess.run([*way, sys.executable, HERE / "check_world.py", folder], capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Everything that check_world.py saw; played once, whichever process of pytest comes first."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with open(shared / "check_world.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = shared / "check_world.json"
        if not kept.exists():
            kept.write_text(json.dumps(play_world(shared / "check_world")))
        rows = json.loads(kept.read_text())
    if not rows:
        pytest.skip("no namespaces here")
    return rows


def find(results, name):
    (row,) = [row for row in results if row.get("name") == name]
    return row


def test_with_everything_in_place_nothing_is_said(results):
    row = find(results, "everything in place")
    assert [line for line in row["before"] if line[0] != "ok"] == []
    assert row["before_code"] == 0
    assert {line[1] for line in row["before"]} == {"settings", "state_dir", "socket", "collector", "postfix", "resolver",
                                                   "mailboxes", "spf", "relay", "dkim", "timer"}


def test_every_scenario_was_played(results):
    assert len(NAMES) >= 60
    assert set(NAMES) <= {row.get("name") for row in results}


@pytest.mark.parametrize("name", NAMES)
def test_a_finding_and_its_mend(results, name):
    row = find(results, name)
    if row["skipped"]:
        pytest.skip(row["skipped"])
    verdict, topic, words = row["wanted"]
    assert row["found"], f"{verdict} {topic}: {words} is not among {row['before']}"
    assert row["mend"] or "; " in row["found"][0][2] or ": " in row["found"][0][2]  # a message that holds its own mend
    assert row["left"] == [], f"still there after: {row['mend']}"
    assert [line for line in row["after"] if line[1] == topic and line[0] == "FAIL"] == []
    if verdict == "FAIL":
        assert row["before_code"] == 1


def test_spf_records_are_read_as_rfc_7208_says(results):
    rows = [row for row in results if "spf" in row]
    assert len(rows) >= 20
    for row in rows:
        assert len(row["said"]) == 1 and row["wanted"] in row["said"][0], row


def test_an_ed25519_sample_verifies_too(results):
    after = find(results, "a_second_key_without_record")["after"]
    said = [line[2] for line in after if line[:2] == ["ok", "dkim"]]
    assert len(said) == 2 and all("a signed sample verifies" in words for words in said)


@pytest.mark.parametrize("columns", screens.WIDTHS)
@pytest.mark.parametrize("name", ["check", "check-bad"])
def test_the_screen(results, name, columns):
    (row,) = [row for row in results if row.get("screen") == name and row["columns"] == columns]
    text = re.sub(r"has [\d,]+ MiB free", "has 12,345 MiB free", screens.steady(row["text"]))
    screens.compare(name, columns, text)
    assert row["code"] == (0 if name == "check" else 1)
    if name == "check":
        assert screens.widest(row["text"]) <= columns


def test_it_takes_no_words():
    done = subprocess.run([BUILD / "tlsrpt-gen", "check", "x"], capture_output=True, timeout=RUN_S, check=False)
    assert done.returncode == 64
    done = subprocess.run([BUILD / "tlsrpt-gen", "check", "--help"], capture_output=True, timeout=RUN_S, check=False)
    assert done.returncode == 0 and b"usage" in done.stdout
