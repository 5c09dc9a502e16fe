# SPDX-License-Identifier: MIT
"""What fails in the kernel or in malloc, libpq's included, fails once, at each place in turn, in a host of a fleet; then
all is well again.  No program crashes or keeps silent, and the next push and run bring totals to exactly the truth.

As test_faults.py, with a database; FAULT_ALL=1 tries each place.
"""
import contextlib
import shutil

import pytest

import dns_stub
import fleets
from test_faults import SANITIZED, SHIM, places, possible, run_with

DAY, NEXT_DAY = fleets.DAY, fleets.NEXT_DAY
DOMAINS = [f"d{n}.example" for n in range(3)]
KINDS = possible("malloc:{}", "write:{}:28", "read:{}:5", "stat:{}:5", "fsync:{}:5", "open:{}:24", "send:{}", "mmap:{}")
COUNTED = "tally, detail_tally, policy, detail, record, instance"
LEDGER = "report, delivery, skipped, waiting, closed_day, missed, suppression, cleanup, generator"
SENDS = 12  # libpq tells of a failed send when it reads: that is waited for


pytestmark = pytest.mark.skipif(not SHIM.exists() or SANITIZED, reason="needs a build without sanitizers and its shim")


class World:
    def __init__(self, make_site, postgres, database, stub, sink):
        self.postgres, self.name, self.sink = postgres, database.split("dbname=")[1].split()[0], sink
        self.seen = fleets.Seen()
        self.fleet = fleets.Fleet(make_site, database, 2, resolver=stub.address, relay=sink.address)
        self.fleet.collect(self.seen, DOMAINS, 20)
        self.host = self.fleet.hosts[0]
        self.before = self.host.directory / "before"

    def sql(self, words):
        return self.postgres.psql(self.name, "SET search_path = tlsrpt_gen; " + words)

    def keep(self):
        shutil.copytree(self.host.state, self.before)

    def begin_again(self, tables, now):
        shutil.rmtree(self.host.state)
        shutil.copytree(self.before, self.host.state)
        self.sql(f"TRUNCATE {tables}; UPDATE lease SET expires_at = now(), owner = NULL, host = ''")
        self.host.set_time(now)
        self.sink.mails.clear()

    def check_counts(self, fault):
        rows = self.sql("SELECT domain, sum(success), sum(failure) FROM tally GROUP BY domain ORDER BY domain")
        want = []
        for domain in self.seen.domains():
            good, bad = self.seen.summary(domain)
            want.append([domain, str(good), str(sum(bad.values()))])
        assert rows == want, fault
        lost = self.sql("SELECT count(*) FROM tally AS t LEFT JOIN policy AS p USING (domain, utc_day, policy_id)"
                        " WHERE p.domain IS NULL UNION ALL SELECT count(*) FROM detail_tally AS t"
                        " LEFT JOIN detail AS d USING (domain, utc_day, detail_id) WHERE d.domain IS NULL")
        assert lost == [["0"], ["0"]], fault


@pytest.fixture
def world(make_site, postgres, database, smtp_sink):
    answers = {(f"_smtp._tls.{domain}", "TXT"): [f'_smtp._tls.{domain}. TXT "v=TLSRPTv1; rua=mailto:tls@{domain}"']
               for domain in DOMAINS}
    with dns_stub.DnsStub(answers) as stub:
        yield World(make_site, postgres, database, stub, smtp_sink)


def run_hit(world, fault, *command):
    hurry = dict(SHIM_HURRY="300") if "send" in fault else {}
    return run_with(world.host, fault, *command, **hurry)


@pytest.mark.parametrize("kind", KINDS)
def test_push(world, kind):
    """Both hosts counted; the first one's push is disturbed."""
    tried = 0
    world.keep()
    for place in places(kind):
        fault = kind.format(place)
        world.begin_again(COUNTED, f"{DAY}T12:00:00Z")
        for path in world.fleet.hosts[1].state.glob("push.db*"):
            path.unlink()
        was_hit, _ = run_hit(world, fault, "push")
        for host in world.fleet.hosts:
            host.run("push")
        world.check_counts(fault)
        if not was_hit or (tried == SENDS and "send" in kind):
            break
        tried += 1
    assert tried > 0 or "mmap" in kind


@pytest.mark.parametrize("kind", KINDS)
def test_run(world, kind):
    """All is pushed; a run that builds and delivers is disturbed."""
    tried = 0
    world.fleet.pass_day()
    world.keep()
    for place in places(kind):
        fault = kind.format(place)
        world.begin_again(LEDGER, f"{NEXT_DAY}T00:05:00Z")
        was_hit, _ = run_hit(world, fault)
        world.host.set_time(f"{NEXT_DAY}T02:00:00Z")
        world.host.run()
        states = world.sql("SELECT domain, state FROM delivery ORDER BY domain")
        assert states == [[domain, "2"] for domain in world.seen.domains()], fault
        for (domain, _), texts in fleets.received(world.sink).items():
            assert len(set(texts)) == 1, f"{fault}: two different reports for {domain}"
            assert fleets.summary_of(fleets.reports.parse_report(texts[0])) == world.seen.summary(domain), fault
        if not was_hit or (tried == SENDS and "send" in kind):
            break
        tried += 1
    assert tried > 0 or "mmap" in kind


@pytest.mark.parametrize("command", [["--dry-run"], ["status"], ["show", "--day", DAY, DOMAINS[0]], ["fleet-init"],
                                     ["fleet-forget", "nobody"]])
@pytest.mark.parametrize("kind", possible("malloc:{}", "open:{}:24", "send:{}"))
def test_looking_changes_nothing(world, kind, command):
    world.fleet.pass_day()
    before = world.sql("SELECT * FROM tally ORDER BY 1, 2, 3, 4; SELECT * FROM report; SELECT * FROM schema_version")
    for place in places(kind):
        was_hit, _ = run_hit(world, kind.format(place), *command)
        if not was_hit or (place == SENDS and "send" in kind):
            break
    assert world.sql("SELECT * FROM tally ORDER BY 1, 2, 3, 4; SELECT * FROM report; SELECT * FROM schema_version") == before


@pytest.mark.parametrize("fault", ["short", "eintr"])
def test_short_and_interrupted_calls(world, fault):
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(world.before)
    for host in world.fleet.hosts:
        _, done = run_with(host, fault, "push")
        assert done.returncode == 0, done.stderr
    world.check_counts(fault)
    world.fleet.pass_day()
    _, done = run_with(world.host, fault)
    assert done.returncode == 0, done.stderr
    fleets.check_day(world.sink, world.seen)
