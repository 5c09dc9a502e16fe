# SPDX-License-Identifier: MIT
"""Upgrade, downgrade, backup and moving house: stores of every released schema open, a newer one is refused."""
import collections
import itertools
import shutil
import sqlite3
import subprocess

import pytest

import programs as lib
import reports
import stores

UNKNOWN = 99  # a schema version that no program knows


@pytest.fixture
def upgraded(make_site, nsd, smtp_sink):
    """make(sessions=N, reports=M): a Site whose stores are the fixtures of these versions, on NEXT_DAY."""
    def make(**versions):
        stores.records(nsd)
        site = make_site(now=f"{stores.NEXT_DAY}T12:00:00Z", resolver=nsd.address, relay=smtp_sink.address)
        for kind, version in versions.items():
            stores.load(stores.fixtures(kind)[version], site.state / f"{kind}.db")
        return site
    return make


def pairs():
    """Each pair of fixtures that were in use together; stores are upgraded one by one, so every pair can meet."""
    return list(itertools.product(stores.fixtures("sessions"), stores.fixtures("reports")))


def totals(mail):
    report = reports.from_mail(mail).report
    summaries = [policy["summary"] for policy in report["policies"]]
    return sum(s["total-successful-session-count"] + s["total-failure-session-count"] for s in summaries)


def test_there_is_a_fixture_of_every_schema(make_site):
    """Whoever changes a schema adds a migration and a fixture (stores.py says how)."""
    site = make_site()
    site.collect(stores.worked(stores.COLLECTED))
    site.run()
    for kind in stores.KINDS:
        current = stores.version(site.state / f"{kind}.db")
        assert list(stores.fixtures(kind)) == list(range(1, current + 1))
        stores.load(stores.fixtures(kind)[current], site.directory / "fixture.db")
        assert stores.schema(site.directory / "fixture.db") == stores.schema(site.state / f"{kind}.db")
        (site.directory / "fixture.db").unlink()


@pytest.mark.parametrize("sessions, ledger", pairs())
def test_a_released_store_is_read_upgraded_and_goes_on(upgraded, smtp_sink, sessions, ledger):
    site = upgraded(sessions=sessions, reports=ledger)
    site.collect(stores.worked(stores.COLLECTED))  # more of the same day
    site.run()
    assert [mail.recipients for mail in smtp_sink.mails] == [[f"tls@{stores.REFUSED}"]]  # what was due; nothing twice
    site.pass_day(f"{stores.DAY_AFTER}T00:05:00Z")
    site.run()
    assert [mail.recipients for mail in smtp_sink.mails[1:]] == [[f"tls@{stores.COLLECTED}"]]
    assert totals(smtp_sink.mails[1]) == 2 * stores.outcomes(stores.worked(stores.COLLECTED))
    for kind in stores.KINDS:
        assert stores.version(site.state / f"{kind}.db") == max(stores.fixtures(kind))


def test_what_was_due_keeps_its_ids(upgraded, smtp_sink):
    site = upgraded(sessions=1, reports=1)
    with sqlite3.connect(site.state / "reports.db") as ledger:
        want = ledger.execute("SELECT report_id, message_id FROM report JOIN delivery ON delivery.report = report.id"
                              " WHERE domain = ?", [stores.REFUSED]).fetchone()
    ledger.close()
    site.run()
    got = reports.from_mail(smtp_sink.mails[0])
    assert got.report["report-id"] == want[0]
    assert want[1].strip("<>") in got.message["Message-ID"]


@pytest.mark.parametrize("kind, programs_that_refuse", [("sessions", ["collector", "generator"]), ("reports", ["generator"])])
def test_a_newer_store_is_refused_with_words(upgraded, smtp_sink, kind, programs_that_refuse):
    """Downgrade: the older program says which store and what to do, and changes nothing."""
    site = upgraded(sessions=1, reports=1)
    path = site.state / f"{kind}.db"
    stores.set_version(path, UNKNOWN)
    before = stores.dump(path)
    commands = {"collector": [site.programs.collect, "-c", site.config], "generator": site.command()}
    for name in programs_that_refuse:
        done = subprocess.run(commands[name], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=lib.RUN_S,
                              env=site.environment, check=False)
        words = done.stdout + done.stderr
        assert done.returncode == 65, (name, words)
        assert str(path) in words and f"version {UNKNOWN} is newer" in words and "install the version" in words, (name, words)
    assert stores.dump(path) == before
    assert smtp_sink.mails == []


def test_not_a_store(upgraded):
    site = upgraded(sessions=1, reports=1)
    (site.state / "reports.db").write_bytes(b"this is not a database" * 100)
    done = site.run(check=False)
    assert done.returncode != 0 and str(site.state / "reports.db") in done.stderr


def backup(source, target):
    """As the manual says."""
    subprocess.run(["sqlite3", str(source), f".backup '{target}'"], check=True, timeout=lib.RUN_S)


def test_a_backup_of_a_running_host_moves_house(make_site, nsd, smtp_sink):
    """`sqlite3 .backup` while the collector counts; restored elsewhere, everything counted before it is reported."""
    stores.records(nsd)
    old = make_site(resolver=nsd.address, relay=smtp_sink.address)
    old.start_collector()
    lines = stores.worked(stores.COLLECTED)
    old.send(*lines)
    old.restart_collector()  # everything sent so far is stored
    old.send(*lines)
    new = make_site(now="2026-03-14T13:00:00Z", resolver=nsd.address, relay=smtp_sink.address)
    backup(old.state / "sessions.db", new.state / "sessions.db")
    old.stop_collector()

    new.pass_day(f"{stores.NEXT_DAY}T00:05:00Z")
    new.run()
    assert collections.Counter(mail.recipients[0] for mail in smtp_sink.mails) == {f"tls@{stores.COLLECTED}": 1}
    assert totals(smtp_sink.mails[0]) in range(stores.outcomes(lines), 2 * stores.outcomes(lines) + 1)


def test_the_whole_folder_moves_while_nothing_runs(make_site, nsd, smtp_sink):
    """Moving: stop, copy state_dir, start; no report is sent twice and none is forgotten."""
    stores.records(nsd)
    old = make_site(resolver=nsd.address, relay=smtp_sink.address)
    stores.live(old, smtp_sink)
    assert len(smtp_sink.mails) == 1
    new = make_site(now=f"{stores.DAY_AFTER}T00:05:00Z", resolver=nsd.address, relay=smtp_sink.address)
    shutil.rmtree(new.state)
    shutil.copytree(old.state, new.state)
    new.start_collector()
    new.stop_collector()
    new.run()
    assert sorted(mail.recipients[0] for mail in smtp_sink.mails) == \
        [f"tls@{domain}" for domain in (stores.DELIVERED, stores.REFUSED, stores.COLLECTED)]
