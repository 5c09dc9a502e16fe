# SPDX-License-Identifier: MIT
"""What strangers publish must not change what other domains get: each attack beside healthy domains, on real sockets.

The run goes on in the background, and the healthy deliveries must be there long before the hostile ones have ended.
SCALE=10 makes every attack ten times as large.
"""
import collections
import contextlib
import os
import sqlite3
import subprocess
import time

import pytest

import programs as lib
import servers
from dns_stub import SILENT, DnsStub
from faulty import HttpsFaulty, SmtpFaulty, status

SCALE = int(os.environ.get("SCALE", "1"))
NEXT_DAY = "2026-03-15"
HEALTHY = 20
HEALTHY_S = 40  # the hostile ones take minutes


def datagram(domain):
    return {"dpv": "1", "d": domain, "policies": [{"policy-type": 9, "policy-domain": domain, "t": 0, "f": 1}]}


class Zone(DnsStub):
    """Every name has the address 127.0.0.1 and is its own mail host; below dead.example nobody answers."""

    def _pick(self, key):
        name, kind = key
        if key in self.answers:
            return super()._pick(key)
        if name.endswith(".dead.example"):
            return SILENT
        if name.startswith("_smtp._tls."):
            return "NXDOMAIN"
        return [f"{name}. A 127.0.0.1"] if kind == "A" else []

    def publish(self, ruas):
        for domain, rua in ruas.items():
            self.answers[f"_smtp._tls.{domain}", "TXT"] = \
                [f'_smtp._tls.{domain}. TXT {" ".join(chr(34) + part + chr(34) for part in pieces("v=TLSRPTv1; rua=" + ",".join(rua)))}']


def pieces(text):
    return [text[at:at + 250] for at in range(0, len(text), 250)]


@pytest.fixture
def world(make_site, authority):
    """(zone, make): make(ruas, **settings) is a Site whose day is over, with a report for each domain of ruas."""
    with Zone() as zone:
        def make(ruas, **settings):
            zone.publish(ruas)
            site = make_site(resolver=zone.address, https_ca_file=authority.ca_file, **settings)
            site.collect([datagram(domain) for domain in ruas])
            site.pass_day(f"{NEXT_DAY}T00:05:00Z")
            return site
        yield zone, make


@contextlib.contextmanager
def running(site, *arguments):
    """A run in the background, ended at the end."""
    with subprocess.Popen(site.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=site.environment) as process:
        try:
            yield process
        finally:
            servers.end_process(process)


def states(site, where="1"):
    names = ("due", "sending", "delivered", "given up", "suppressed", "expired")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{site.state}/reports.db?mode=ro", uri=True)) as ledger:
            rows = ledger.execute(f"SELECT state, count(*) FROM delivery WHERE {where} GROUP BY state").fetchall()
    except sqlite3.OperationalError:  # the ledger is being made
        rows = []
    return {names[state]: count for state, count in rows}


def allow(*servers_):
    return ["127.0.0.0/8", *(f":{server.port}" for server in servers_)]


def test_names_that_nobody_answers_for(world, authority):
    """Destinations whose name servers are silent take their own places; others are posted to, and the dead ones expire."""
    _, make = world
    hosts = [f"h{n}.good.example" for n in range(HEALTHY)]
    with HttpsFaulty(authority.issue(*hosts).server_context()) as good:
        ruas = {f"a{n}.example": [f"https://x{n}-{m}.dead.example/" for m in range(10)] for n in range(40 * SCALE)}
        ruas |= {f"z{n}.example": [f"https://{hosts[n]}:{good.port}/{n}"] for n in range(HEALTHY)}
        site = make(ruas, https_allow=allow(good))
        with running(site):
            servers.wait_until(lambda: states(site).get("delivered") == HEALTHY, "the healthy domains' reports", HEALTHY_S)
        site.set_time("2026-03-16T00:30:00Z")
        site.run()
        assert states(site) == {"delivered": HEALTHY, "expired": 400 * SCALE}


def test_records_that_nobody_answers_for(world, smtp_sink):
    """Domains whose own name servers are silent wait; the others' records are looked up and their reports sent meanwhile."""
    zone, make = world
    silent = [f"a{n}.dead.example" for n in range(1000 * SCALE)]
    healthy = {f"z{n}.example": [f"mailto:tls@z{n}.example"] for n in range(HEALTHY)}
    site = make(healthy, relay=smtp_sink.address)
    site.jump_to("2026-03-14T12:00:00Z")
    site.collect([datagram(domain) for domain in silent])
    site.pass_day(f"{NEXT_DAY}T00:05:00Z")
    with running(site):
        servers.wait_until(lambda: len(smtp_sink.mails) == HEALTHY, "the healthy domains' reports", HEALTHY_S)
    asked = len({name for name in zone.names() if name.endswith(".dead.example")})
    assert 10 <= asked < 400  # those under way when the first ten got no answer


def test_a_silent_owner_s_other_domain_is_asked_for_before_its_day_is_over(world, smtp_sink):
    zone, make = world
    site = make({"zz.dead.example": ["mailto:tls@z.example"]}, relay=smtp_sink.address)
    site.jump_to("2026-03-14T12:00:00Z")
    site.collect([datagram(f"a{n}.dead.example") for n in range(260)])
    site.pass_day(f"{NEXT_DAY}T00:05:00Z")
    for when in (f"{NEXT_DAY}T00:10:00Z", "2026-03-16T00:30:00Z"):
        site.set_time(when)
        site.run(timeout=120)
    assert [mail.recipients for mail in smtp_sink.mails] == [["tls@z.example"]]


def drip(connection):
    while True:
        connection.send("220-wait\r\n")
        if connection.server.over.wait(0.2):
            return None


def test_mail_hosts_that_never_come_to_an_end(world, authority):
    """Direct mail: greetings that go on for ever hold a quarter of the sessions, and HTTPS starts at once."""
    zone, make = world
    with SmtpFaulty() as good, SmtpFaulty({"greeting": drip}, host="127.0.0.2", port=good.port) as bad, \
            HttpsFaulty(authority.issue("h.good.example").server_context()) as https:
        ruas = {f"a{n}.example": [f"mailto:x@m{n}-{m}.bad.example" for m in range(4)] for n in range(5 * SCALE)}
        ruas |= {f"z{n}.example": [f"mailto:x@m{n}.good.example", f"https://h.good.example:{https.port}/{n}"]
                 for n in range(HEALTHY)}
        for n in range(5 * SCALE):
            for m in range(4):
                zone.answers[f"m{n}-{m}.bad.example", "A"] = [f"m{n}-{m}.bad.example. A 127.0.0.2"]
        site = make(ruas, smtp_mode="direct", smtp_port=good.port, https_allow=allow(https), smtp_allow=["127.0.0.0/8"])
        with running(site):
            servers.wait_until(lambda: len(https.requests) == HEALTHY, "the healthy domains' posts", HEALTHY_S)
            servers.wait_until(lambda: len(good.accepted) == HEALTHY, "the healthy domains' mails", HEALTHY_S)
            assert bad.connections > 0


def test_paths_that_fail_at_a_shared_collector(world, authority):
    """Seven domains whose paths always answer 503 do not close the host for its other customers."""
    _, make = world
    def respond(connection):
        status(503 if connection.path.startswith("/bad") else 200)(connection)
    with HttpsFaulty(authority.issue("collector.example").server_context(), respond) as collector:
        url = f"https://collector.example:{collector.port}"
        ruas = {f"a{n}.example": [f"{url}/bad/{n}/{m}" for m in range(10)] for n in range(7 * SCALE)}
        ruas |= {f"z{n}.example": [f"{url}/good/{n}"] for n in range(HEALTHY)}
        site = make(ruas, https_allow=allow(collector))
        site.run(timeout=120)
        assert states(site, "rua LIKE '%/good/%'") == {"delivered": HEALTHY}


def test_hosts_that_never_answer(world, authority):
    """Hosts that finish TLS and are silent then, with names that sort first: the others' posts do not wait for them."""
    _, make = world
    names = [f"a{n}.bad.example" for n in range(8)] + [f"z{n}.good.example" for n in range(HEALTHY)]
    context = authority.issue(*names).server_context()
    def never(connection):
        connection.hang()
    with HttpsFaulty(context, never) as bad, HttpsFaulty(context) as good:
        ruas = {f"a{n}-{m}.example": [f"https://a{n}.bad.example:{bad.port}/{m}"] for n in range(8) for m in range(30 * SCALE)}
        ruas |= {f"z{n}.example": [f"https://z{n}.good.example:{good.port}/"] for n in range(HEALTHY)}
        site = make(ruas, https_allow=allow(bad, good))
        with running(site):
            servers.wait_until(lambda: len(good.requests) == HEALTHY, "the healthy domains' posts", HEALTHY_S)
            assert bad.connections > 0


def test_mails_aimed_at_somebody_else(world, smtp_sink):
    """Sixty owners aim 600 mails at one mailbox domain, in two runs: its budget of the day holds over both."""
    zone, make = world
    ruas = {f"a{n}.example": [f"mailto:x{n}-{m}@victim.example" for m in range(10)] for n in range(60 * SCALE)}
    site = make(ruas, relay=smtp_sink.address, max_per_destination=200, min_delay="1h")
    site.set_time(f"{NEXT_DAY}T02:00:00Z")
    site.run()
    site.run("--flush")
    came = collections.Counter(mail.recipients[0].partition("@")[2] for mail in smtp_sink.mails)
    assert came == {"victim.example": 150}  # the last quarter is for other owners' first reports
    assert states(site) == {"delivered": 150, "given up": 600 * SCALE - 150}


def peak_kib(pid):
    """Of the program, not of the process that it was forked from, as getrusage has it; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


@pytest.mark.skipif("asan" in lib.BUILD.name, reason="a sanitizer keeps freed memory")
def test_more_rows_than_memory(world, authority):
    """What is due at once does not grow the program: ten times the deliveries, the same memory."""
    _, make = world
    peak = {}
    with HttpsFaulty(authority.issue("h.good.example").server_context(), status(503)) as server:
        def measure(domains):
            ruas = {f"a{n}-{domains}.example": [f"https://h.good.example:{server.port}/{'p' * 200}/{m}" for m in range(10)]
                    for n in range(domains)}
            site = make(ruas, https_allow=allow(server))
            with running(site) as process:
                most = 0
                while process.poll() is None:
                    most = max(most, peak_kib(process.pid))
                    time.sleep(0.01)
            assert process.returncode == 0
            return most
        for domains in (300, 3000 * SCALE):
            peak[domains] = measure(domains)
    small, large = peak.values()
    assert 0 < large < 1.1 * small + 4096, peak


def test_a_run_ends_a_minute_after_its_limit(world):
    """A relay whose answers drip would hold its session for five minutes; what it did not take is due again."""
    _, make = world
    with SmtpFaulty({"RCPT": drip}) as relay:
        site = make({f"a{n}.example": [f"mailto:x@a{n}.example"] for n in range(3)}, relay=f"127.0.0.1:{relay.port}", run_limit=1)
        begin = time.monotonic()
        site.run(timeout=150)
        assert 55 < time.monotonic() - begin < 120
    assert states(site) == {"due": 3}
    with contextlib.closing(sqlite3.connect(f"file:{site.state}/reports.db?mode=ro", uri=True)) as ledger:
        texts = {text for text, in ledger.execute("SELECT last_text FROM delivery")}
    assert any("time limit" in text for text in texts)  # of the session, which ends with the run
