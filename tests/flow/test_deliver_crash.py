# SPDX-License-Identifier: MIT
"""kill -9 at random moments of a run with 500 deliveries, and then another run: everything arrived, nothing is lost,
and what arrived twice was in doubt and is the same to the last byte.

KILLS=200 makes it as many as you like; `make check` is content with a few.
"""
import collections
import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import time

import pytest

from faulty import HttpsFaulty, SmtpFaulty

KILLS = int(os.environ.get("KILLS", "6"))
DOMAINS = 250  # each with a mailbox and a URL
NEXT_DAY = "2026-03-15"


def datagram(domain):
    return {"dpv": "1", "d": domain, "policies": [{"policy-type": 9, "policy-domain": domain, "t": 0, "f": 1}]}


def deliveries(site):
    """rua -> state number."""
    with contextlib.closing(sqlite3.connect(site.state / "reports.db")) as ledger:
        return dict(ledger.execute("SELECT rua, state FROM delivery"))


class Receivers:
    """What came to the mailboxes and the URLs, by rua: a list of bytes each."""

    def __init__(self, smtp, https):
        self.smtp, self.https = smtp, https

    def clear(self):
        for came in (self.smtp.accepted, self.smtp.recipients, self.https.posts):
            came.clear()

    def came(self):
        by_rua = collections.defaultdict(list)
        for line, message in zip(list(self.smtp.recipients), list(self.smtp.accepted)):
            by_rua[line.split("<")[1].rstrip(">")].append(message)
        for path, body in list(self.https.posts):
            by_rua[f"https://localhost:{self.https.port}{path}"].append(body)
        return by_rua


@pytest.fixture
def due_site(make_site, nsd, authority):
    """A Site with 500 due deliveries, and its receivers."""
    with SmtpFaulty() as smtp, HttpsFaulty(authority.server().server_context()) as https:
        domains = [f"d{n}.example" for n in range(DOMAINS)]
        nsd.txt = {f"_smtp._tls.{d}": f"v=TLSRPTv1; rua=mailto:tls@{d},https://localhost:{https.port}/{d}" for d in domains}
        nsd.lines = ["localhost. A 127.0.0.1"]
        nsd.reload()
        site = make_site(resolver=nsd.address, relay=f"127.0.0.1:{smtp.port}", https_ca_file=authority.ca_file,
                         https_allow=["127.0.0.0/8", f":{https.port}"], min_delay="1h")
        site.collect([datagram(d) for d in domains])
        site.pass_day(f"{NEXT_DAY}T00:05:00Z")
        site.run()  # builds; nothing is due yet
        site.set_time(f"{NEXT_DAY}T02:00:00Z")
        yield site, Receivers(smtp, https)


def kill_at(site, seconds):
    """Start a run, kill it after so many seconds; True if it was still at work."""
    with subprocess.Popen(site.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env=site.environment) as process:
        time.sleep(seconds)
        was_at_work = process.poll() is None
        process.kill()
        process.wait(10)
    return was_at_work


def run_alone(site):
    """What is in doubt waits as after a failure, so --flush; a worker that is being started may hold the lock for a moment."""
    for _ in range(100):
        if "event=run_busy" not in site.run("--flush").stderr:
            return
        time.sleep(0.05)
    raise AssertionError("the lock of the run that was killed is still held")


def test_nothing_is_lost_or_changed(due_site, tmp_path):
    site, receivers = due_site
    fresh = tmp_path / "fresh"
    shutil.copytree(site.state, fresh)
    begin = time.monotonic()
    site.run()
    whole_s = time.monotonic() - begin
    want = {rua: came[0] for rua, came in receivers.came().items()}
    assert len(want) == 2 * DOMAINS and set(deliveries(site).values()) == {2}
    rng = random.Random(8460)
    kills = tries = 0
    while kills < KILLS and tries < 4 * KILLS:
        tries += 1
        shutil.rmtree(site.state)
        shutil.copytree(fresh, site.state)
        receivers.clear()
        seconds = rng.uniform(0, whole_s)
        if kill_at(site, seconds):
            kills += 1
        else:
            whole_s = seconds  # the machine has less other work than during the first run
        in_doubt = {rua for rua, state in deliveries(site).items() if state == 1}
        run_alone(site)
        time.sleep(0.05)  # the last of the killed run may still be on its way through the receivers' threads
        assert set(deliveries(site).values()) == {2}
        came = receivers.came()
        assert came.keys() == want.keys()
        for rua, copies in came.items():
            assert set(copies) == {want[rua]}
            assert len(copies) == 1 or (len(copies) == 2 and rua in in_doubt), rua
    assert kills == KILLS
