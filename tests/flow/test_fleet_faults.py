# SPDX-License-Identifier: MIT
"""What can go wrong between hosts and their database, all at once; the totals stay the sum of what senders saw.

KILLS=100 and CHAOS=40 make it as long as you like; `make check` is content with fewer.
"""
import collections
import contextlib
import datetime
import os
import random
import signal
import subprocess
import threading
import time

import pytest

import fleets
import pgsql
import reports
from servers import SmtpSink

KILLS = int(os.environ.get("KILLS", "8"))
CHAOS = int(os.environ.get("CHAOS", "8"))
DAY, NEXT_DAY = fleets.DAY, fleets.NEXT_DAY


@pytest.fixture
def proxy(postgres):
    with pgsql.Proxy(postgres.socket) as made:
        yield made


def through(proxy, database):
    return " ".join(f"host={proxy.folder}" if word.startswith("host=") else word for word in database.split())


# ---- 4 hosts ------------------------------------------------------------------------------------------------

def kill_in_the_middle(host, chance, *words):
    """Start a command, kill it after a random moment; True if it was still at work."""
    with subprocess.Popen(host.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=host.environment) as process:
        time.sleep(chance.random() * 0.06)
        was_at_work = process.poll() is None
        process.kill()
        return was_at_work


class Chaos:
    """One step after the other, by a seeded chance."""

    def __init__(self, fleet, proxy, postgres, seen, domains):
        self.fleet, self.proxy, self.postgres, self.seen, self.domains = fleet, proxy, postgres, seen, domains
        self.chance = random.Random(4711)
        self.done = collections.Counter()

    def step(self):
        step = self.chance.choice([self.sessions, self.sessions, self.sessions, self.push, self.push, self.cut_push,
                                   self.kill_push, self.kill_collector, self.replay, self.restart_database, self.dead_network])
        self.done[step.__name__] += 1
        step(self.chance.choice(self.fleet.hosts))

    def sessions(self, host):
        host.send(*[self.seen.session(self.chance, self.domains) for _ in range(self.chance.randrange(1, 40))])

    def push(self, host):
        host.run("push", check=False)
        host.run("push", check=False)

    def cut_push(self, host):
        """Cut by the network after so many bytes; libpq's first connection is tried again within the push."""
        limits = [self.chance.randrange(60, 4000) for _ in range(2)]
        self.proxy.cut_after = lambda: limits.pop() if limits else None
        host.run("push", check=False)
        self.proxy.cut_after = lambda: None

    def kill_push(self, host):
        self.done["killed while pushing"] += kill_in_the_middle(host, self.chance, "push")

    def kill_collector(self, host):
        host.stop_collector(how=signal.SIGKILL)
        host.start_collector()

    def replay(self, _):
        """Pushes of before arrive again, in another order."""
        streams = [stream for stream in self.proxy.streams if b"tlsrpt_gen.tally" in stream and b"tlsrpt_gen.lease" not in stream]
        for stream in self.chance.sample(streams, min(6, len(streams))):
            self.proxy.replay(stream)

    def restart_database(self, host):
        timer = threading.Timer(self.chance.random() * 0.1, self.postgres.restart, ["immediate"])
        timer.start()
        host.run("push", check=False)
        timer.join()

    def dead_network(self, host):
        """The hosts work alone for as long as that takes."""
        folder, self.proxy.is_dead = host.settings["fleet"], True
        host.set(fleet="host=/nonexistent dbname=x user=y")
        self.sessions(host)
        assert host.run("push", check=False).returncode == 75
        host.set(fleet=folder)
        self.proxy.is_dead = False


@pytest.fixture
def own_postgres():
    """One that is restarted while others are at work on theirs; it keeps what it has said it has."""
    pgsql.need()
    server = pgsql.Postgres(full_page_writes="on")
    yield server
    server.close()


def test_totals_are_what_senders_saw_whatever_happens(make_site, own_postgres, nsd, smtp_sink):
    domains = [f"d{n}.example" for n in range(15)]
    seen = fleets.Seen()
    fleets.records(nsd, domains)
    with pgsql.Proxy(own_postgres.socket) as proxy:
        fleet = fleets.Fleet(make_site, through(proxy, own_postgres.create("chaos")), 4, resolver=nsd.address,
                             relay=smtp_sink.address)
        chaos = Chaos(fleet, proxy, own_postgres, seen, domains)
        for host in fleet.hosts:
            host.start_collector()
        for _ in range(CHAOS * 5):
            chaos.step()
        print(dict(chaos.done), f"{proxy.cuts} cuts, {len(proxy.streams)} connections,"
              f" {sum(seen.sessions.values())} sessions")
        fleet.pass_day()
        chaos.replay(None)
        for host in fleet.hosts:
            host.run()
        chaos.replay(None)
        fleet.hosts[0].run()
        fleets.check_day(smtp_sink, seen)


def test_a_push_cut_anywhere_is_finished_by_the_next(make_site, postgres, database, proxy, nsd, smtp_sink):
    """At every 400th byte of what it says."""
    domains = [f"d{n}.example" for n in range(5)]
    seen = fleets.Seen()
    fleets.records(nsd, domains)
    fleet = fleets.Fleet(make_site, through(proxy, database), 2, resolver=nsd.address, relay=smtp_sink.address)
    for host in fleet.hosts:
        host.start_collector()
    for limit in range(100, 8000, 800):
        proxy.cut_after = lambda limit=limit: limit + len(proxy.streams) % 400
        host = fleet.hosts[limit // 800 % 2]
        host.send(*[seen.session(fleet.chance, domains) for _ in range(9)])
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(host.command("push"), stdin=subprocess.DEVNULL, capture_output=True, timeout=0.5,
                           env=host.environment, check=False)
    assert proxy.cuts >= 10
    proxy.cut_after = lambda: None
    fleet.pass_day()
    fleet.hosts[0].run()
    fleets.check_day(smtp_sink, seen)


def test_an_older_push_that_arrives_later_changes_nothing(make_site, postgres, database, proxy, nsd, smtp_sink):
    """What clients said in the first push comes again behind the second."""
    domains = [f"d{n}.example" for n in range(5)]
    seen = fleets.Seen()
    fleets.records(nsd, domains)
    fleet = fleets.Fleet(make_site, through(proxy, database), 1, resolver=nsd.address, relay=smtp_sink.address)
    fleet.hosts[0].start_collector()
    for _ in range(2):
        fleet.hosts[0].send(*[seen.session(fleet.chance, domains) for _ in range(40)])
        fleet.hosts[0].run("push")
    older = next(stream for stream in proxy.streams if b"INSERT INTO tlsrpt_gen.tally" in stream)
    name = database.split("dbname=")[1].split()[0]
    tables = "SELECT * FROM tlsrpt_gen.tally ORDER BY 1, 2, 3, 4; SELECT * FROM tlsrpt_gen.detail_tally ORDER BY 1, 2, 3, 4, 5"
    before = postgres.psql(name, tables)
    proxy.replay(older)
    assert before and postgres.psql(name, tables) == before
    fleet.pass_day()
    fleet.hosts[0].run()
    fleets.check_day(smtp_sink, seen)


def test_a_silent_network_ends_a_push_in_time(make_site, database, proxy):
    site = make_site(fleet=through(proxy, database))
    proxy.is_dead = True
    begin = time.monotonic()
    done = site.run("push", check=False)
    assert done.returncode == 75 and time.monotonic() - begin < 40


# ---- 2 generators -------------------------------------------------------------------------------------------

def tries_of(postgres, database):
    """(domain, day) -> (state, tries) of its one delivery."""
    name = database.split("dbname=")[1].split()[0]
    rows = postgres.psql(name, "SELECT domain, date '1970-01-01' + utc_day, state, tries FROM tlsrpt_gen.delivery")
    return {(domain, day): (int(state), int(tries)) for domain, day, state, tries in rows}


def kill_one_of_two(hosts, chance):
    """Start both, kill one of them after a random moment, let the other end; True if it was still at work."""
    chance.shuffle(hosts)
    victim, other = [subprocess.Popen(host.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, env=host.environment) for host in hosts]
    with victim, other:
        time.sleep(chance.random() * 0.25)
        was_at_work = victim.poll() is None
        victim.kill()
        assert other.wait(60) in (0, 75)
    return was_at_work


def test_one_of_two_generators_is_killed_again_and_again(make_site, postgres, database, nsd):
    """Every report arrives; each domain's is the same to the last byte; twice arrives only what was in doubt."""
    domains = [f"k{n}.example" for n in range(300)]
    fleets.records(nsd, domains)
    chance = random.Random(64)
    kills, days = 0, []
    with SmtpSink() as sink:
        fleet = fleets.Fleet(make_site, database, 2, resolver=nsd.address, relay=sink.address, fleet_lease=1)
        hosts = list(fleet.hosts)
        while kills < KILLS and len(days) < 60:
            day = datetime.date(2026, 3, 14) + datetime.timedelta(len(days))
            days.append(str(day))
            fleet.set_time(f"{day}T12:00:00Z")
            for host in fleet.hosts:
                host.collect([fleets.datagram(domain) for domain in domains])
            fleet.pass_day(f"{day + datetime.timedelta(1)}T00:05:00Z")
            for _ in range(12):
                kills += kill_one_of_two(hosts, chance)
            time.sleep(1.1)  # real time: the leases of the killed run out by the database's clock
            for host in fleet.hosts:
                host.run("--flush")  # what was in doubt waits as after a failure
        came = fleets.received(sink)
        assert sorted(came) == sorted((domain, day) for domain in domains for day in days)
        for (domain, day), texts in came.items():
            assert len(set(texts)) == 1, f"{domain} {day}: not the same report"
            assert fleets.summary_of(reports.parse_report(texts[0])) == (2, {})
        known = tries_of(postgres, database)
        assert sorted(known) == sorted(came) and {state for state, _ in known.values()} == {2}
        for key, texts in came.items():
            assert len(texts) <= known[key][1], f"{key}: twice, though it was tried once"
        print(f"{kills} kills, {len(came)} reports, {sum(tries > 1 for _, tries in known.values())} tried again,"
              f" {sum(len(texts) > 1 for texts in came.values())} arrived twice")
        assert kills >= KILLS


def test_a_generator_that_was_taken_for_dead_changes_nothing(make_site, postgres, database, nsd, smtp_sink):
    """It sleeps through its lease, another works; then it wakes up."""
    domains = [f"z{n}.example" for n in range(300)]
    fleets.records(nsd, domains)
    fleet = fleets.Fleet(make_site, database, 2, resolver=nsd.address, relay=smtp_sink.address, fleet_lease=1)
    seen = fleets.Seen()
    fleet.collect(seen, domains, 600)
    fleet.pass_day()
    with subprocess.Popen(fleet.hosts[0].command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env=fleet.hosts[0].environment) as sleeper:
        name = database.split("dbname=")[1].split()[0]
        for _ in range(500):
            if postgres.psql(name, "SELECT 1 FROM tlsrpt_gen.lease WHERE epoch > 0 LIMIT 1"):
                break
        sleeper.send_signal(signal.SIGSTOP)
        time.sleep(1.2)  # real time: the lease ends by the database's clock
        try:
            fleet.hosts[1].run()
        finally:
            sleeper.send_signal(signal.SIGCONT)
        words = sleeper.communicate(timeout=60)[1]
    fleet.hosts[1].run()
    came = fleets.received(smtp_sink)
    assert sorted(came) == [(domain, DAY) for domain in seen.domains()]
    for (domain, _), texts in came.items():
        assert len(set(texts)) == 1, domain
    assert sleeper.returncode in (0, 75), words


def test_what_another_is_sending_by_now_is_not_given_back(make_site, postgres, database, proxy, nsd, smtp_sink):
    """A generator has just taken its leases and sleeps; another takes them and sends; then the first looks for what was left."""
    fleets.records(nsd, ["a.example"])
    fleet = fleets.Fleet(make_site, through(proxy, database), 1, resolver=nsd.address, relay=smtp_sink.address)
    host, seen = fleet.hosts[0], fleets.Seen()
    fleet.collect(seen, ["a.example"], 5)
    fleet.pass_day()
    smtp_sink.answers["tls@a.example"] = "450 4.2.1 later"
    host.run()
    name = database.split("dbname=")[1].split()[0]
    is_held, go_on = proxy.hold_at(b"it may have arrived")
    with subprocess.Popen(host.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, env=host.environment) as sleeper:
        assert is_held.wait(30)
        postgres.psql(name, "UPDATE tlsrpt_gen.lease SET epoch = epoch + 1, host = 'another';"
                      " UPDATE tlsrpt_gen.delivery SET state = 1, tries = tries + 1")
        go_on.set()
        words = sleeper.communicate(timeout=60)[1]
    assert sleeper.returncode == 75 and "somebody else has it by now" in words
    assert postgres.psql(name, "SELECT state, tries FROM tlsrpt_gen.delivery") == [["1", "2"]]


def test_a_generator_that_hangs_in_a_transaction_holds_nobody_up(make_site, postgres, database, proxy, nsd, smtp_sink):
    """Its lease is over, and what it has locked is free again soon: a host may lose its power at any moment."""
    fleets.records(nsd, ["a.example"])
    fleet = fleets.Fleet(make_site, database, 2, resolver=nsd.address, relay=smtp_sink.address, fleet_lease=1)
    seen = fleets.Seen()
    fleet.collect(seen, ["a.example"], 5)
    fleet.pass_day()
    fleet.hosts[0].set(fleet=through(proxy, database))
    fleet.hosts[0].run("push")
    is_held, go_on = proxy.hold_at(b"t.epoch = l.e")  # prepared before the transaction that it is the first statement of
    with subprocess.Popen(fleet.hosts[0].command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env=fleet.hosts[0].environment) as sleeper:
        try:
            assert is_held.wait(30)
            is_held, now = proxy.hold_at(b"COMMIT\0")
            go_on.set()
            assert is_held.wait(30)
            time.sleep(1.2)  # real time: the lease ends by the database's clock
            begin = time.monotonic()
            fleet.hosts[1].run()
            assert time.monotonic() - begin < 40
            fleets.check_day(smtp_sink, seen)
        finally:
            now.set()
        words = sleeper.communicate(timeout=60)[1]
    assert sleeper.returncode in (0, 75), words
    fleets.check_day(smtp_sink, seen)
