# SPDX-License-Identifier: MIT
"""Where the log goes: plain on stderr, with priorities to the journal, or to syslog; a failed delivery says all."""
import json
import os
import subprocess
import sys

import pytest

import programs as lib

DATAGRAM = {"d": "quay.example", "policies": [{"policy-type": 9, "policy-domain": "quay.example", "t": 0, "f": 0}]}


@pytest.fixture
def failing(make_site, nsd, smtp_sink):
    """A Site with one report due, to a mailbox that says no for now."""
    nsd.txt = {"_smtp._tls.quay.example": "v=TLSRPTv1; rua=mailto:tls@quay.example"}
    nsd.reload()
    smtp_sink.answers = {"tls@quay.example": "451 4.7.1 later\t\"please\""}
    site = make_site(resolver=nsd.address, relay=smtp_sink.address)
    site.collect([DATAGRAM])
    site.pass_day("2026-03-15T00:05:00Z")
    return site


def run_into(site, path, *arguments, **environment):
    """Run with stderr in a file; the lines of its log (a sanitizer's words about libraries are none)."""
    with open(path, "wb") as log:
        journal = f"{os.fstat(log.fileno()).st_dev}:{os.fstat(log.fileno()).st_ino}"
        env = {**site.environment, **{key: value.format(journal=journal) for key, value in environment.items()}}
        done = subprocess.run(site.command(*arguments), stdin=subprocess.DEVNULL, stderr=log, env=env, check=False,
                              timeout=lib.RUN_S)
    assert done.returncode == 0
    return [line for line in path.read_text().splitlines() if "event=" in line]


def test_a_failed_delivery_names_destination_stage_reply_and_next_try(failing, tmp_path):
    lines = run_into(failing, tmp_path / "log")
    (event,) = [row for row in lib.parse_log("\n".join(lines)) if row["event"] == "delivery_later"]
    assert event["day"] == "2026-03-14" and event["domain"] == "quay.example" and event["rua"] == "tls@quay.example"
    assert event["stage"] == "rcpt" and event["code"] == "451" and event["tries"] == "1"
    assert event["reply"].startswith("451 4.7.1 later") and event["next"].startswith("2026-03-15T00:")
    assert all(line.startswith("tlsrpt-gen: event=") for line in lines)


def test_the_journal_gets_priorities(failing, tmp_path):
    lines = run_into(failing, tmp_path / "log", JOURNAL_STREAM="{journal}")
    by_event = {line.split("event=")[1].split()[0]: line[:3] for line in lines}
    assert by_event["report_built"] == "<6>" and by_event["delivery_later"] == "<4>"
    assert all(line[3:].startswith("event=") for line in lines)


def test_another_stream_than_the_journal_gets_none(failing, tmp_path):
    lines = run_into(failing, tmp_path / "log", JOURNAL_STREAM="1:2")
    assert lines and all(line.startswith("tlsrpt-gen: event=") for line in lines)


# In a mount namespace of its own, whose /dev has a socket "log" and little else.
LISTENER = """
import json, os, socket, subprocess, sys
saved = sys.argv[1]
subprocess.run(["mount", "--rbind", "/dev", saved], check=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
for name in ("null", "zero", "urandom", "random"):
    open("/dev/" + name, "w").close()
    subprocess.run(["mount", "--bind", saved + "/" + name, "/dev/" + name], check=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
log.settimeout(2)
done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, capture_output=True, text=True)
lines = []
try:
    while True:
        lines.append(log.recv(65536).decode())
except TimeoutError:
    pass
print(json.dumps({"code": done.returncode, "stderr": done.stderr, "lines": lines}))
"""


def test_syslog_gets_facility_mail_and_priorities(failing, tmp_path):
    way = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*way, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespaces here")
    failing.set(log_to="syslog")
    (tmp_path / "dev").mkdir()
    done = subprocess.run([*way, sys.executable, "-c", LISTENER, tmp_path / "dev", *failing.command()],
                          capture_output=True, text=True, env=failing.environment, timeout=lib.RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["code"] == 0 and "event=" not in got["stderr"]
    by_event = {line.split("event=")[1].split()[0]: line for line in got["lines"]}
    mail = 2 << 3
    assert by_event["report_built"].startswith(f"<{mail | 6}>") and by_event["delivery_later"].startswith(f"<{mail | 4}>")
    assert all(" tlsrpt-gen[" in line or "tlsrpt-gen[" in line for line in got["lines"])


def test_what_is_wrong_with_the_settings_is_said_on_stderr_all_the_same(failing):
    failing.set(log_to="syslog", nonsense="1")
    done = failing.run(check=False)
    assert done.returncode == 78 and "nonsense: unknown setting" in done.stderr
