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
from programs import BUILD, ROOT, RUN_S

HERE = pathlib.Path(__file__).parent
NAMES = re.findall(r"^@scenario\(.*\)\ndef (\w+)\(", (HERE / "check_scenarios.py").read_text(), re.M)
WAYS = (["unshare", "--mount", "--net"], ["unshare", "--user", "--map-root-user", "--mount", "--net"])


def find_way():
    for way in WAYS:
        probe = [*way, sys.executable, HERE / "check_world.py", "--probe"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
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
                                                   "mailboxes", "relay", "dkim", "timer"}


def test_every_scenario_was_played(results):
    assert len(NAMES) >= 60
    assert set(NAMES) <= {row.get("name") for row in results}


# What only a lack of memory makes it say, or what was refused with the settings before.
NEVER_SAID = {("resolver", "%s"), ("mailboxes", "%s: %s")}
# They need a database: test_fleet.py, test_check_looks_at_the_fleet.
NEVER_SAID |= {("fleet", "%s"), ("fleet", "its database answers, but %s has not pushed in the last 10 minutes"),
               ("timer", "nothing starts tlsrpt-gen here: other hosts of the fleet must build and deliver")}


def calls(text, name):
    """The arguments of each call of a function in C, as written; strings that stand together are joined."""
    for found in re.finditer(rf"(?<!void ){name}\(", text):
        depth, at, arguments, begin = 1, found.end(), [], found.end()
        while depth:
            string = re.compile(r'"(?:[^"\\]|\\.)*"').match(text, at)
            if string:
                at = string.end()
                continue
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            if (text[at] == "," and depth == 1) or depth == 0:
                arguments.append(re.sub(r'"\s*"', "", " ".join(text[begin:at].split())))
                begin = at + 1
            at += 1
        yield arguments


def findings_in_the_code():
    """(topic, format) of all that check can complain of."""
    for path in sorted((ROOT / "src" / "check").glob("check*.c")):
        for arguments in calls(path.read_text(), "checkup_say"):
            if arguments[1] != "VERDICT_OK":
                yield json.loads(arguments[2]), arguments[4].strip('"')


def test_every_finding_of_the_code_was_provoked(results):
    said = [tuple(row["found"][0][1:3]) for row in results if row.get("found")]
    skipped = any(row.get("skipped") for row in results)
    wanted = set(findings_in_the_code())
    assert len(wanted) >= 60
    for topic, form in sorted(wanted - NEVER_SAID):
        pattern = re.compile(".*".join(map(re.escape, re.split(r"%[-.*\d]*l*[a-z]", form))))
        assert any(row[0] == topic and pattern.search(row[1]) for row in said) or skipped, (topic, form)


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
