# SPDX-License-Identifier: MIT
"""What fails in the kernel or in malloc fails once, at each place in turn; then all is well again.  Whatever failed,
no program crashes or keeps silent, nothing that was stored is lost, and the next run brings the day to its end.

tests/fault/shim.c makes the calls fail.  Many places are tried only here and there; FAULT_ALL=1 tries each.
"""
import contextlib
import os
import shutil
import sqlite3
import subprocess

import pytest

import dns_stub
import programs as lib
from servers import wait_until

SHIM = lib.BUILD / "tests" / "fault" / "shim.so"
SANITIZED = "asan" in lib.BUILD.name or "tsan" in lib.BUILD.name
IS_COVERED = lib.BUILD.name == "coverage"


def possible(*kinds):
    """Without malloc where gcov counts: it needs memory when a program ends, and crashes without."""
    return [kind for kind in kinds if not (IS_COVERED and kind.startswith("malloc"))]


NUMBERED = possible("write:{}:28", "write:{}:5", "read:{}:5", "stat:{}:5", "fsync:{}:5", "mmap:{}", "rename:{}:5", "open:{}:24",
                    "malloc:{}", "send:{}")
SPARSE = ("malloc", "write", "read", "stat")
ALWAYS = ["short", "eintr"]
DAY, NEXT_DAY = "2026-03-14", "2026-03-15"
DOMAINS = ["north.example", "south.example"]
FOREVER_LIMIT = 100000

pytestmark = pytest.mark.skipif(not SHIM.exists() or SANITIZED, reason="needs a build without sanitizers and its shim")


def datagrams(count=6):
    return [{"dpv": "1", "d": DOMAINS[n % len(DOMAINS)], "policies": [
        {"policy-type": 9, "failure-details": [{"c": 204, "r": f"192.0.2.{n % 3}"}], "t": 1, "f": 1}]} for n in range(count)]


def environment(site, fault, seen):
    return dict(site.environment, LD_PRELOAD=str(SHIM), SHIM_FAULT=fault, SHIM_FAULT_SEEN=str(seen))


def places(kind):
    """0, 1, 2, … ; of the many allocations only some, further and further apart."""
    place = 0
    while place < FOREVER_LIMIT:
        yield place
        is_dense = not kind.startswith(SPARSE) or (place < 12 and "malloc" not in kind) or "FAULT_ALL" in os.environ
        place += 1 if is_dense else max(1, place // 3)


def check_end(done, fault):
    """Not by a signal; what was not done is said."""
    assert done.returncode >= 0, f"{fault}: ended by signal {-done.returncode}\n{done.stderr}"
    assert done.returncode != 70, f"{fault}: called a bug\n{done.stderr}"
    assert done.returncode == 0 or done.stderr.strip(), f"{fault}: exit code {done.returncode} without a word"


def stored(site):
    with contextlib.closing(sqlite3.connect(site.state / "sessions.db")) as store:
        return store.execute("SELECT sum(failure) FROM tally").fetchone()[0] or 0


# ---- the generator ----
@pytest.fixture
def world(make_site, smtp_sink):
    answers = {(f"_smtp._tls.{domain}", "TXT"): [f'_smtp._tls.{domain}. TXT "v=TLSRPTv1; rua=mailto:tls@{domain}"'] for domain in DOMAINS}
    with dns_stub.DnsStub(answers) as stub:
        site = make_site(resolver=stub.address, relay=smtp_sink.address)
        site.collect(datagrams())
        site.pass_day(f"{NEXT_DAY}T00:05:00Z")
        shutil.copytree(site.state, site.directory / "before")
        yield site


def begin_again(site):
    shutil.rmtree(site.state)
    shutil.copytree(site.directory / "before", site.state)
    site.set_time(f"{NEXT_DAY}T00:05:00Z")


def run_with(site, fault, *arguments, **variables):
    seen = site.directory / "seen"
    seen.unlink(missing_ok=True)
    done = subprocess.run(site.command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                          timeout=lib.RUN_S, env=dict(environment(site, fault, seen), **variables), check=False)
    check_end(done, fault)
    return seen.exists(), done


def finish(site, fault, smtp_sink):
    """One more run without a fault, some time later, and everything has arrived; what came twice is the same mail."""
    site.set_time(f"{NEXT_DAY}T02:00:00Z")
    site.run("--flush")  # what was being sent waits as after a failure, from this run's beginning on
    with contextlib.closing(sqlite3.connect(site.state / "reports.db")) as ledger:
        states = ledger.execute("SELECT domain, state FROM delivery JOIN report ON report.id = delivery.report").fetchall()
    assert sorted(states) == [(domain, 2) for domain in DOMAINS], fault
    by_domain = {}
    for mail in smtp_sink.mails:
        by_domain.setdefault(mail.recipients[0], set()).add(mail.data)
    assert sorted(by_domain) == [f"tls@{domain}" for domain in DOMAINS], fault
    assert all(len(contents) == 1 for contents in by_domain.values()), f"{fault}: two different mails for one report"


@pytest.mark.parametrize("kind", NUMBERED)
def test_generator(world, smtp_sink, kind):
    tried = 0
    for place in places(kind):
        fault = kind.format(place)
        begin_again(world)
        smtp_sink.mails.clear()
        was_hit, _ = run_with(world, fault)
        finish(world, fault, smtp_sink)
        if not was_hit:
            break
        tried += 1
    assert tried > 0 or "rename" in kind or "send" in kind


@pytest.mark.parametrize("fault", ALWAYS)
def test_generator_always(world, smtp_sink, fault):
    smtp_sink.mails.clear()
    _, done = run_with(world, fault)
    assert done.returncode == 0, done.stderr
    finish(world, fault, smtp_sink)


@pytest.mark.parametrize("command", [["--dry-run"], ["status"], ["show", "--day", DAY, DOMAINS[0]]])
@pytest.mark.parametrize("kind", possible("malloc:{}", "open:{}:24"))
def test_looking_changes_nothing(world, kind, command):
    before = stored(world)
    for place in places(kind):
        was_hit, _ = run_with(world, kind.format(place), *command)
        if not was_hit:
            break
    assert stored(world) == before


# ---- the collector ----
def start_with(site, fault):
    """True if it came up; False if it ended and said why."""
    seen = site.directory / "seen"
    seen.unlink(missing_ok=True)
    site.collector_log.write_text("")
    with open(site.collector_log, "ab") as log:
        site.collector = subprocess.Popen([site.programs.collect, "-c", site.config], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, env=environment(site, fault, seen))
    wait_until(lambda: site.collector.poll() is not None or b"event=collector_started" in site.collector_log.read_bytes(),
               f"the collector to start or end ({fault})")
    if site.collector.poll() is None:
        return True
    assert site.collector.returncode > 0 and site.collector.returncode != 70, fault + "\n" + site.collector_log.read_text()
    assert site.collector_log.read_text().strip(), f"{fault}: ended without a word"
    site.collector = None
    return False


def count_under(site, fault):
    """Send while the fault happens; whatever it was, a collector that came up goes on, and loses nothing."""
    before = stored(site) if (site.state / "sessions.db").exists() else 0
    if start_with(site, fault):
        lib.send_datagrams(site.socket, datagrams(30))
        code = site.collector.poll()
        assert code is None, f"{fault}: ended with {code}\n{site.collector_log.read_text()}"
        site.collector.terminate()
        code = site.collector.wait(30)
        assert code >= 0 and code != 70, f"{fault}: ended with {code}\n{site.collector_log.read_text()}"
        site.collector = None
        before += 30
    site.start_collector()
    site.stop_collector()
    assert stored(site) == before, fault
    return (site.directory / "seen").exists()


@pytest.mark.parametrize("kind", NUMBERED)
def test_collector(site, kind):
    site.set(ring_size="1M")
    for place in places(kind):
        if not count_under(site, kind.format(place)):
            break


@pytest.mark.parametrize("fault", ALWAYS)
def test_collector_always(site, fault):
    count_under(site, fault)


# ---- the log reader ----
def test_log_reader(programs, site, tmp_path):
    """It tells everything, or ends with a word about why not."""
    log = lib.DATA / "mta" / "exim-4.96" / "multircpt.log"
    command = [str(programs.log), "--mta", "exim", "--stdout", str(log)]
    want = subprocess.run(command, capture_output=True, check=True, timeout=lib.RUN_S).stdout
    for kind in possible("malloc:{}", "open:{}:24", "read:{}:5", "stat:{}:5", "mmap:{}", "short", "eintr"):
        for place in places(kind) if "{" in kind else [0]:
            seen = tmp_path / "seen"
            seen.unlink(missing_ok=True)
            done = subprocess.run(command, capture_output=True, timeout=lib.RUN_S, env=environment(site, kind.format(place), seen),
                                  check=False)
            check_end(subprocess.CompletedProcess(done.args, done.returncode, done.stdout, done.stderr.decode()), kind.format(place))
            assert done.returncode != 0 or done.stdout == want, kind.format(place)
            assert "{" in kind or done.returncode == 0, done.stderr
            if not seen.exists():
                break
