# SPDX-License-Identifier: MIT
"""What happens at each bound that the units set, and when disk or clock misbehave: nothing is lost in silence.

Some rows need root (a small file system of their own, a control group); without it they are skipped.
"""
import contextlib
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess

import pytest

import programs as lib
import reports
from collecting import Inherited, counted_through, sessions_by_day, total
from servers import wait_until

DAY, NEXT_DAY = "2026-03-14", "2026-03-15"
DOMAIN = "quay.example"
FILL = "filler"
HAND = 16  # LISTEN_BATCH: what the collector takes at once
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def datagram(domain=DOMAIN):
    return {"dpv": "1", "d": domain, "policies": [{"policy-type": 9, "policy-domain": domain, "t": 0, "f": 0}]}


def totals(sink):
    """Sessions by day, of the reports that arrived."""
    found = {}
    for mail in sink.mails:
        report = reports.from_mail(mail).report
        day = report["date-range"]["start-datetime"][:10]
        assert day not in found, f"two reports of {day}"
        found[day] = sum(p["summary"]["total-successful-session-count"] for p in report["policies"])
    return found


@pytest.fixture
def make_host(make_site, nsd, smtp_sink):
    """A Site that reports DOMAIN to the sink."""
    def make(**settings):
        nsd.txt = {f"_smtp._tls.{DOMAIN}": f"v=TLSRPTv1; rua=mailto:tls@{DOMAIN}"}
        nsd.reload()
        return make_site(resolver=nsd.address, relay=smtp_sink.address, **settings)
    return make


# ---- the clock ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, jump, back", [
    ("an hour ahead and back", f"{DAY}T13:00:00Z", f"{DAY}T12:00:30Z"),
    ("an hour back and ahead again", f"{DAY}T11:00:00Z", f"{DAY}T12:00:30Z")])
def test_the_clock_jumps_an_hour(make_host, smtp_sink, words, jump, back):
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.start_collector()
    for time in (None, jump, back):
        if time:
            host.set_time(time)
        host.send(*[datagram()] * 10)
        host.run()
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    host.run()
    assert totals(smtp_sink) == {DAY: 30}, words


DOUBTED = 75  # EX_TEMPFAIL


def must_doubt(host, *arguments):
    """A run that does nothing, because the clock jumped; it says so."""
    before = stores(host)
    done = host.run(*arguments, check=False)
    events = [event["event"] for event in lib.parse_log(done.stderr)]
    assert (done.returncode, events) == (DOUBTED, ["clock_doubted"]), done.stderr
    assert "--accept-clock" in done.stderr
    assert stores(host) == before


def stores(host):
    """What a run could delete, close or send."""
    found = []
    for name, table in [("sessions.db", "tally"), ("sessions.db", "day"), ("reports.db", "report"), ("reports.db", "delivery"),
                        ("reports.db", "closed_day"), ("reports.db", "skipped")]:
        with contextlib.closing(sqlite3.connect(f"file:{host.state}/{name}?mode=ro", uri=True)) as db:
            found.append((table, db.execute(f"SELECT * FROM {table}").fetchall()))
    return found


def test_the_clock_jumps_two_days_ahead_and_back(make_host, smtp_sink):
    """Nothing is reported by the wrong clock; the sessions that it stamped are reported when their day is over."""
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.start_collector()
    host.send(*[datagram()] * 10)
    host.run()
    host.jump_to("2026-03-16T12:00:00Z")
    host.send(*[datagram()] * 10)
    must_doubt(host)
    host.jump_to(f"{DAY}T12:01:00Z")
    host.send(*[datagram()] * 5)
    host.run()
    host.stop_collector()
    for time in (f"{NEXT_DAY}T00:05:00Z", "2026-03-17T00:05:00Z"):
        host.pass_day(time)
        host.run()
    assert totals(smtp_sink) == {DAY: 15, "2026-03-16": 10}


@pytest.mark.parametrize("words, accept, ahead, back", [
    ("confirmed by a run an hour later", [], "2026-03-16T13:01:00Z", f"{DAY}T14:02:00Z"),
    ("accepted by the operator", ["--accept-clock"], "2026-03-16T12:01:00Z", f"{DAY}T12:02:00Z")])
def test_a_jump_of_two_days_that_is_believed(make_host, smtp_sink, words, accept, ahead, back):
    """Days that seem over are reported; what comes for them afterwards is late: counted as that, never a second report."""
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.start_collector()
    host.send(*[datagram()] * 10)
    host.run()
    host.jump_to("2026-03-16T12:00:00Z")
    must_doubt(host)
    host.set_time(ahead)
    done = host.run(*accept)
    assert [event["event"] for event in lib.parse_log(done.stderr)][0] == "clock_accepted", words
    assert totals(smtp_sink) == {DAY: 10}
    host.jump_to(f"{DAY}T13:00:00Z")
    must_doubt(host)
    host.set_time(back)
    host.run(*accept)
    host.send(*[datagram()] * 5)
    host.stop_collector()
    assert host.counters()["late"] == 5
    for time in (f"{NEXT_DAY}T00:05:00Z", "2026-03-17T00:05:00Z"):
        host.pass_day(time)
        host.run()
    assert totals(smtp_sink) == {DAY: 10}


@pytest.mark.parametrize("collector", ["runs", "is down"])
def test_one_run_with_the_clock_in_2040(make_host, smtp_sink, collector):
    """A day that is not reported yet is neither deleted nor missed."""
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.start_collector()
    host.send(*[datagram()] * 10)
    host.run()
    if collector == "is down":
        host.stop_collector()
    host.jump_to("2040-01-01T12:00:00Z")
    if collector == "runs":
        wait_until(lambda: counted_through(host) > lib.utc_seconds("2040-01-01"), "the mark to be moved", 30)
    must_doubt(host)
    host.jump_to(f"{DAY}T12:30:00Z")
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    host.run()
    assert totals(smtp_sink) == {DAY: 10}


@pytest.mark.parametrize("words, accept", [("it is doubted", []), ("the operator accepts it", ["--accept-clock"])])
def test_one_run_with_the_clock_70_days_ahead(make_host, smtp_sink, words, accept):
    """The ledger does not forget which day was reported; sessions that come for it make no second report."""
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.start_collector()
    host.send(*[datagram()] * 10)
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    host.run()
    assert totals(smtp_sink) == {DAY: 10}
    host.jump_to("2026-05-24T12:00:00Z")
    host.start_collector()
    wait_until(lambda: counted_through(host) > lib.utc_seconds("2026-05-24"), "the mark to be moved", 30)
    if accept:
        host.run(*accept)
    else:
        must_doubt(host)
    host.jump_to(f"{DAY}T23:00:00Z")
    host.send(*[datagram()] * 5)
    host.run(*accept)
    host.pass_day(f"{NEXT_DAY}T00:10:00Z")
    host.run(*accept)
    assert totals(smtp_sink) == {DAY: 10}, words


def test_the_clock_jumps_two_days_back_and_ahead_again(make_host, smtp_sink):
    """Sessions land on the day that the clock shows; the days are reported when it is right again."""
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.start_collector()
    host.send(*[datagram()] * 10)
    host.set_time("2026-03-12T12:00:00Z")
    host.send(*[datagram()] * 10)
    host.run()
    assert smtp_sink.mails == []
    host.set_time(f"{DAY}T12:05:00Z")
    host.send(*[datagram()] * 10)
    host.stop_collector()
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    host.run()
    assert totals(smtp_sink) == {"2026-03-12": 10, DAY: 20}


def test_a_delivery_waits_for_a_clock_that_went_back(make_host, smtp_sink):
    """A retry is due at a time; half a day back it is not, and it is made once when the time has come."""
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.collect([datagram()] * 10)
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    smtp_sink.answers[f"tls@{DOMAIN}"] = ["451 4.7.1 later"]
    host.run()
    host.jump_to(f"{DAY}T12:05:00Z")
    host.run()
    host.jump_to("2026-03-12T00:05:00Z")
    must_doubt(host)
    assert smtp_sink.mails == []
    host.set_time(f"{NEXT_DAY}T01:00:00Z")
    host.run()
    host.run()
    assert totals(smtp_sink) == {DAY: 10}


# ---- retention ---------------------------------------------------------------------------------------------

def test_retention_needs_the_clock_and_the_mark(make_host):
    """While no collector moves the mark, nothing is deleted, however late it is."""
    host = make_host(now=f"{DAY}T12:00:00Z", send="off")
    host.start_collector()
    host.send(*[datagram()] * 10)
    host.stop_collector()
    host.set_time("2026-03-30T12:00:00Z")
    host.run()
    assert total(host) == 10
    host.start_collector()
    wait_until(lambda: counted_through(host) > lib.utc_seconds("2026-03-30"), "the mark to be moved", 30)
    host.run()
    assert total(host) == 0


def test_retention_does_not_wait_for_a_delivery_that_hangs(make_host, nsd):
    """Old days are deleted before a relay is asked that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = make_host(now=f"{DAY}T12:00:00Z")
        host.set(relay=f"127.0.0.1:{silent.getsockname()[1]}")
        host.collect([datagram()] * 10)
        host.set_time("2026-03-30T12:00:00Z")
        host.collect([datagram("other.example")] * 7)
        nsd.txt["_smtp._tls.other.example"] = "v=TLSRPTv1; rua=mailto:tls@other.example"
        nsd.reload()
        host.pass_day("2026-03-31T00:05:00Z")
        run = subprocess.Popen(host.command(), env=host.environment, stderr=subprocess.DEVNULL)
        try:
            silent.settimeout(30)
            connection = silent.accept()[0]
            assert sessions_by_day(host) == {"2026-03-30": 7}
            connection.close()
        finally:
            run.kill()
            run.wait()


def test_the_host_sleeps_over_midnight(make_host, smtp_sink):
    """What waits in the socket counts for the day on which it is taken; the day before is reported after waking up."""
    host = make_host(now=f"{DAY}T23:50:00Z")
    host.start_collector()
    host.send(*[datagram()] * 10)
    host.freeze_collector()
    with lib.socket.socket(lib.socket.AF_UNIX, lib.socket.SOCK_DGRAM) as sock:
        sock.connect(str(host.socket))
        for _ in range(5):
            sock.send(lib.as_bytes(datagram()))
    host.set_time(f"{NEXT_DAY}T07:00:00Z")
    host.collector.send_signal(signal.SIGCONT)
    host.stop_collector()
    host.run()
    assert totals(smtp_sink) == {DAY: 10}
    host.pass_day("2026-03-16T00:05:00Z")
    host.run()
    assert totals(smtp_sink) == {DAY: 10, NEXT_DAY: 5}


# ---- the disk ----------------------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    """A file system of 40 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    with open(folder / FILL, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def remount(folder, mode):
    subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True)


@AS_ROOT
def test_a_full_disk_stops_a_run_with_words_and_the_next_goes_on(make_host, small_disk, smtp_sink):
    host = make_host(now=f"{DAY}T12:00:00Z", state_dir=small_disk)
    host.collect([datagram()] * 10)
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    fill(small_disk)
    done = host.run(check=False)
    assert done.returncode in (73, 74), done.stderr
    assert str(small_disk) in done.stderr and smtp_sink.mails == []
    (small_disk / FILL).unlink()
    host.run()
    host.run()
    assert totals(smtp_sink) == {DAY: 10}


@AS_ROOT
def test_the_disk_fills_up_under_the_collector(make_host, small_disk, smtp_sink):
    """What arrives meanwhile waits in the ring and is counted when there is space again."""
    host = make_host(now=f"{DAY}T12:00:00Z", state_dir=small_disk, ring_size="8M")
    host.state = small_disk
    host.start_collector()
    host.send(*[datagram()] * 10)
    fill(small_disk)
    others = [datagram(f"d{i}.example") for i in range(2000)]
    lib.send_datagrams(host.socket, [*others, *[datagram()] * 10])
    assert host.collector.poll() is None
    (small_disk / FILL).unlink()
    host.send(*[datagram()] * 10)
    host.stop_collector()
    assert host.counters()["stored"] == 2030
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    host.run()
    assert totals(smtp_sink) == {DAY: 30}


@AS_ROOT
def test_a_disk_that_turns_read_only(make_host, small_disk, smtp_sink):
    host = make_host(now=f"{DAY}T12:00:00Z", state_dir=small_disk)
    host.collect([datagram()] * 10)
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    remount(small_disk, "ro")
    try:
        done = host.run(check=False)
        assert done.returncode in (73, 74, 77), done.stderr
        assert str(small_disk) in done.stderr and smtp_sink.mails == []
    finally:
        remount(small_disk, "rw")
    host.run()
    assert totals(smtp_sink) == {DAY: 10}


# ---- memory and processes ----------------------------------------------------------------------------------

class ControlGroup:
    """A group of processes with one limit: of cgroup v2, or v1's controller of that name."""

    FILES = {"memory": ("memory.max", "memory.limit_in_bytes"), "pids": ("pids.max", "pids.max")}

    def __init__(self, controller, limit):
        top = pathlib.Path("/sys/fs/cgroup")
        is_v2 = controller in (top / "cgroup.subtree_control").read_text().split() if \
            (top / "cgroup.subtree_control").exists() else False
        self.path = (top if is_v2 else top / controller) / f"tlsrpt-gen-test-{os.getpid()}"
        self.path.mkdir()
        (self.path / self.FILES[controller][0 if is_v2 else 1]).write_text(str(limit))

    def join(self, pid=None):
        (self.path / "cgroup.procs").write_text(str(pid or os.getpid()))

    def words(self):
        """In front of a command that is to run in here."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.path / "cgroup.procs")]

    def close(self):
        self.path.rmdir()


@pytest.fixture
def limited():
    """limited(controller, limit): a ControlGroup, or the test is skipped."""
    groups = []
    def make(controller, limit):
        try:
            groups.append(ControlGroup(controller, limit))
        except OSError as error:
            pytest.skip(f"no control groups to be had here: {error}")
        return groups[-1]
    yield make
    for group in groups:
        group.close()


# Looking for leaks would take a process more than some limits have.
NO_LEAKS = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"


def run_in(group, host):
    """A run within group's limit."""
    environment = {**host.environment, "ASAN_OPTIONS": NO_LEAKS}
    return subprocess.run(host.command(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=lib.RUN_S,
                          env=environment, preexec_fn=group.join, check=False)


@AS_ROOT
def test_at_tasks_max_deliveries_wait_for_the_next_run(make_host, smtp_sink, limited):
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.collect([datagram()] * 10)
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    done = run_in(limited("pids", 1), host)
    assert smtp_sink.mails == [] and done.returncode in (0, 71, 75), done.stderr
    assert "delivery_later" in done.stderr or "Resource temporarily unavailable" in done.stderr, done.stderr
    host.set_time(f"{NEXT_DAY}T00:30:00Z")
    host.run()
    assert totals(smtp_sink) == {DAY: 10}


@AS_ROOT
def test_at_memory_max_a_killed_run_is_made_up_for(make_host, smtp_sink, limited):
    """The kernel kills the run at 3 MB; the next, unbounded one does everything once."""
    host = make_host(now=f"{DAY}T12:00:00Z")
    host.collect([datagram()] * 10)
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    done = run_in(limited("memory", 3 * 1024 * 1024), host)
    assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr)
    host.set_time(f"{NEXT_DAY}T00:30:00Z")
    host.run()
    assert totals(smtp_sink) == {DAY: 10}


def send_until_killed(host):
    """Outcomes of ever new domains, without waiting for the collector, until it is dead; how many it was sent."""
    sent = 0
    with lib.socket.socket(lib.socket.AF_UNIX, lib.socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.connect(str(host.socket))
        while host.collector.poll() is None:
            assert sent < 1000000, "the bound was never reached"
            with contextlib.suppress(TimeoutError):
                sock.send(lib.as_bytes(datagram(f"{'x' * 60}.d{sent}.example")))
                sent += 1
    return sent


@AS_ROOT
def test_at_memory_max_the_collector_starts_again_and_goes_on(make_host, limited):
    """The kernel kills it; the socket is the service manager's, and what it had taken is in the ring."""
    host = make_host(now=f"{DAY}T12:00:00Z")
    with Inherited(host.socket) as held:
        held.start(host)
        limited("memory", 1024 * 1024).join(host.collector.pid)
        sent = send_until_killed(host)
        assert host.collector.returncode == -signal.SIGKILL
        held.start(host)
        host.send(datagram())
        host.stop_collector()
    assert sent - HAND <= total(host) - 1 <= sent
    assert host.counters()["received"] == total(host)


@AS_ROOT
def test_at_tasks_max_the_collector_says_so_and_the_socket_keeps_what_comes(make_host, limited):
    host = make_host(now=f"{DAY}T12:00:00Z")
    with Inherited(host.socket) as held:
        with pytest.raises(RuntimeError, match=r"ended with 71:(.|\n)*thread"):
            held.start(host, within=[*limited("pids", 1).words(), "env", f"ASAN_OPTIONS={NO_LEAKS}"])
        with lib.socket.socket(lib.socket.AF_UNIX, lib.socket.SOCK_DGRAM) as sock:
            sock.connect(str(host.socket))
            for _ in range(5):
                sock.send(lib.as_bytes(datagram()))
        held.start(host)
        wait_until(lambda: total(host) == 5, "what waited to be counted")
        host.stop_collector()
