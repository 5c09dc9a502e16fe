# SPDX-License-Identifier: MIT
"""Large reports: memory does not grow with the number of details, and no session is lost when the rarest are folded."""
import contextlib
import json
import sqlite3
import subprocess
import sys

import pytest

import reports
import servers
from programs import BUILD

NEXT_DAY = "2026-03-15T06:00:00Z"
DOMAIN = "quay.example"
MIB = 1024 * 1024
FEW, MANY = 1000, 200000


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    with servers.Nsd(tmp_path_factory.mktemp("nsd"),
                     txt={f"_smtp._tls.{DOMAIN}": "v=TLSRPTv1; rua=mailto:tls@" + DOMAIN}) as server:
        yield server


# A child's peak counts from what its parent had when it forked: so a small parent stands between it and pytest.
MEASURE = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_memory(command, environment):
    """Bytes of memory that the program itself had at most, and its log."""
    done = subprocess.run([sys.executable, "-S", "-c", MEASURE, *command], env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]), done.stderr


MULTIPLY = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :details - 1)
    INSERT INTO detail SELECT d.domain_id, iif(i % 3 = 0, 'certificate-expired', 'validation-failure'), '192.0.2.10',
        printf('mx%06d.quay.example', i), printf('mx%06d.quay.example', i), printf('10.%d.%d.%d', i >> 16, i >> 8 & 255, i & 255),
        d.additional_information, 'self-signed_certificate', :first + i FROM detail AS d CROSS JOIN n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :details - 1)
    INSERT INTO detail_tally SELECT domain_id, utc_day, policy_id, :first + i, 1 + i % 7 FROM detail_tally CROSS JOIN n;
    UPDATE tally SET failure = (SELECT sum(sessions) FROM detail_tally);
    UPDATE mark SET next_id = :first + :details"""


def fill(site, details):
    """One real outcome, and so many that differ from it: the collector's own caps would not let them in."""
    site.collect([{"dpv": "1", "d": DOMAIN, "policies": [{"policy-type": 1, "policy-domain": "mx.quay.example", "t": 1, "f": 1,
                                                          "failure-details": [{"c": 204}]}]}])
    with contextlib.closing(sqlite3.connect(site.state / "sessions.db")) as store, store:
        for statement in MULTIPLY.split(";"):
            store.execute(statement, {"details": details, "first": 1000})
    site.pass_day(NEXT_DAY)


def total(report):
    entry, = report["policies"]
    assert entry["summary"]["total-successful-session-count"] == 0
    counted = sum(detail["failed-session-count"] for detail in entry["failure-details"])
    assert counted == entry["summary"]["total-failure-session-count"]
    return counted


def wanted(details):
    return sum(1 + number % 7 for number in range(details))


def check_memory(few, many):
    print(f"{few / MIB:.1f} MiB against {many / MIB:.1f} MiB")
    if "asan" not in str(BUILD):  # a sanitizer keeps freed memory
        assert many - few < 16 * MIB, f"{few / MIB:.1f} MiB against {many / MIB:.1f} MiB"


@pytest.fixture
def sites(make_site, dns, smtp_sink):
    """One site with few details and one with many."""
    found = {details: make_site(resolver=dns.address, relay=smtp_sink.address) for details in (FEW, MANY)}
    for details, site in found.items():
        fill(site, details)
    return found


def test_memory_does_not_grow_with_the_details(sites, smtp_sink):
    # All of it, with max_report_size out of the way.
    everything = ("-o", "max_report_size=100M", "--dry-run")
    check_memory(*(peak_memory(site.command(*everything), site.environment)[0] for site in sites.values()))
    for details, site in sites.items():
        report = json.loads(site.run(*everything, "--format", "json").stdout)["report"]
        assert total(report) == wanted(details) and len(report["policies"][0]["failure-details"]) == details

    # A whole run, which folds what is beyond 5 MiB.
    runs = {details: peak_memory(site.command(), site.environment) for details, site in sites.items()}
    check_memory(*(memory for memory, _ in runs.values()))
    small, large = map(reports.from_mail, smtp_sink.mails)
    assert total(small.report) == wanted(FEW) and total(large.report) == wanted(MANY)
    assert len(small.report["policies"][0]["failure-details"]) == FEW
    assert "event=report_folded" not in runs[FEW][1] and "event=report_folded" in runs[MANY][1]
    assert 4.5 * MIB < len(large.text) <= 5 * MIB
    rest = [row for row in large.report["policies"][0]["failure-details"] if "receiving-ip" not in row]
    assert sorted(row["result-type"] for row in rest) == ["certificate-expired", "validation-failure"]
    assert "rarest of its 200000" in large.message.get_body().get_content()
