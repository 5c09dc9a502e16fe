# SPDX-License-Identifier: MIT
"""Several hosts on one database owe each domain one report."""
import concurrent.futures
import contextlib
import json
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import threading

import pytest

import fleets
import pgsql
import programs as lib
from servers import wait_until

DAY, NEXT_DAY = fleets.DAY, fleets.NEXT_DAY
DOMAINS = [f"d{n}.example" for n in range(12)]


@pytest.fixture
def make_fleet(make_site, database, nsd, smtp_sink):
    def make(count, domains=DOMAINS, **settings):
        fleets.records(nsd, domains)
        return fleets.Fleet(make_site, database, count, resolver=nsd.address, relay=smtp_sink.address, **settings)
    return make


# ---- push and one report ------------------------------------------------------------------------------------

def test_three_hosts_send_one_report_with_the_sum(make_fleet, smtp_sink):
    fleet, seen = make_fleet(3), fleets.Seen()
    fleet.collect(seen, DOMAINS, 60)
    fleet.pass_day()
    done = fleet.hosts[1].run()
    fleets.check_day(smtp_sink, seen)
    assert fleets.events(done, "day_closed")[0]["day"] == DAY
    for host in fleet.hosts:
        assert fleets.events(host.run(), "run_done")[0]["reports"] == "0"
    fleets.check_day(smtp_sink, seen)


def test_a_day_that_is_closed_in_shares_is_told_once(make_fleet, smtp_sink):
    fleet, seen = make_fleet(2), fleets.Seen()
    fleet.collect(seen, DOMAINS, 40)
    for host in fleet.hosts:
        host.run()  # both build and deliver: whoever comes first leaves a share to the other
    fleet.pass_day()
    done = fleet.hosts[1].run()
    assert len(fleets.events(done, "fleet_share")) > 1
    assert [event["day"] for event in fleets.events(done, "day_closed")] == [DAY]
    assert fleets.events(done, "run_done")[0]["days"] == "1"
    fleets.check_day(smtp_sink, seen)


def test_pushing_again_changes_nothing(make_fleet, postgres, database):
    fleet, seen = make_fleet(2), fleets.Seen()
    fleet.collect(seen, DOMAINS, 40)
    for host in fleet.hosts:
        host.run("push")
    name = database.split("dbname=")[1].split()[0]
    tables = "SELECT * FROM tlsrpt_gen.tally ORDER BY 1, 2, 3, 4; SELECT * FROM tlsrpt_gen.detail_tally ORDER BY 1, 2, 3, 4, 5"
    before = postgres.psql(name, tables)
    assert before
    for host in fleet.hosts:
        assert not fleets.events(host.run("push"))  # nothing was counted meanwhile
    assert postgres.psql(name, tables) == before


def test_every_start_of_the_collector_is_an_instance_of_its_own(make_fleet, smtp_sink, postgres, database):
    fleet, seen = make_fleet(2), fleets.Seen()
    for turn in range(3):
        for host in fleet.hosts:
            host.start_collector()
            host.send(*[seen.session(fleet.chance, DOMAINS) for _ in range(20)])
            if turn != 1:
                host.run("push")
            host.stop_collector(how=9)
    name = database.split("dbname=")[1].split()[0]
    assert len(postgres.psql(name, "SELECT DISTINCT instance FROM tlsrpt_gen.tally")) == 4
    fleet.pass_day()
    assert postgres.psql(name, "SELECT host, count(*) FROM tlsrpt_gen.instance WHERE ended = 0 GROUP BY host ORDER BY host") \
        == [["mx0", "1"], ["mx1", "1"]]
    fleet.hosts[0].run()
    fleets.check_day(smtp_sink, seen)


# ---- closing days -------------------------------------------------------------------------------------------

def test_a_day_waits_for_every_host(make_fleet, smtp_sink):
    fleet, seen = make_fleet(3), fleets.Seen()
    fleet.collect(seen, DOMAINS, 20)
    for host in fleet.hosts:
        host.run("push")
    fleet.set_time(f"{NEXT_DAY}T00:10:00Z")
    for host in fleet.hosts[:2]:
        host.pass_day(f"{NEXT_DAY}T00:10:00Z")
        host.run("push")
    waits = fleets.events(fleet.hosts[0].run(), "day_waits")
    assert waits == [{"event": "day_waits", "day": DAY, "reason": "not every host of the fleet has pushed to its end"}]
    assert not smtp_sink.mails
    fleet.hosts[2].pass_day(f"{NEXT_DAY}T00:20:00Z")
    done = fleet.hosts[2].run()  # its own push comes first
    assert fleets.events(done, "day_closed") and not fleets.events(done, "fleet_host_missed")
    fleets.check_day(smtp_sink, seen)


def test_after_the_wait_the_missing_host_is_named_and_its_counts_are_late(make_fleet, smtp_sink):
    fleet, seen, late = make_fleet(2), fleets.Seen(), fleets.Seen()
    fleet.collect(seen, DOMAINS, 30)
    fleet.hosts[1].run("push")
    fleet.hosts[1].collect([late.session(fleet.chance, DOMAINS) for _ in range(7)])  # never pushed in time
    fleet.hosts[0].pass_day(f"{NEXT_DAY}T01:59:00Z")
    assert fleets.events(fleet.hosts[0].run(), "day_waits")
    fleet.hosts[0].pass_day(f"{NEXT_DAY}T02:00:05Z")
    missed = fleets.events(fleet.hosts[0].run(), "fleet_host_missed")
    assert [(event["day"], event["host"]) for event in missed] == [(DAY, "mx1")]
    fleets.check_day(smtp_sink, seen)

    fleet.hosts[1].pass_day(f"{NEXT_DAY}T03:00:00Z")
    fleet.hosts[1].run()
    fleet.hosts[0].run()
    fleets.check_day(smtp_sink, seen)  # nothing was sent for what came late
    status = json.loads(fleet.hosts[1].run("status", "--format", "json").stdout)
    assert [(row["day"], row["host"]) for row in status["fleet"]["missed"]] == [(DAY, "mx1")]
    day = next(row for row in status["days"] if row["day"] == DAY)
    assert day["sessions_late"] == 7
    assert day["sessions_ok"] + day["sessions_failed"] == sum(seen.sessions.values()) + 7
    table = fleet.hosts[0].run("status").stdout
    assert f"{DAY} was closed without all of mx1" in " ".join(table.split())


def test_a_host_that_is_gone_is_not_waited_for(make_fleet, smtp_sink):
    fleet, seen = make_fleet(2, fleet_window="6h"), fleets.Seen()
    fleet.collect(seen, DOMAINS, 20)
    for host in fleet.hosts:
        host.run("push")
    fleet.hosts[0].pass_day(f"{NEXT_DAY}T00:05:00Z")  # mx1 was seen 12 hours ago
    assert fleets.events(fleet.hosts[0].run(), "day_closed")
    fleets.check_day(smtp_sink, seen)


def test_a_host_that_joins_does_not_report_its_days_again(make_fleet, smtp_sink):
    fleet, alone, together = make_fleet(2), fleets.Seen(), fleets.Seen()
    host, conninfo = fleet.hosts[0], fleet.hosts[0].settings["fleet"]
    host.set(fleet=None)
    host.collect([alone.session(fleet.chance, DOMAINS) for _ in range(30)])
    host.pass_day(f"{NEXT_DAY}T00:05:00Z")
    host.run()
    fleets.check_day(smtp_sink, alone)
    smtp_sink.mails.clear()
    fleet.set_time(f"{NEXT_DAY}T01:00:00Z")
    host.collect([together.session(fleet.chance, DOMAINS) for _ in range(30)])
    host.set(fleet=conninfo)
    fleet.collect(together, DOMAINS, 20)
    fleet.pass_day("2026-03-16T00:05:00Z")
    host.run()
    fleets.check_day(smtp_sink, together, NEXT_DAY)


def test_a_host_that_left_is_forgotten(make_fleet, smtp_sink):
    fleet, seen = make_fleet(2), fleets.Seen()
    fleet.collect(seen, DOMAINS, 20)
    for host in fleet.hosts:
        host.run("push")
    fleet.hosts[0].pass_day(f"{NEXT_DAY}T00:05:00Z")
    assert fleets.events(fleet.hosts[0].run(), "day_waits")
    forgotten = fleet.hosts[0].run("fleet-forget", "mx7", "mx1", check=False)
    assert forgotten.returncode == 66 and "no host mx7" in forgotten.stderr
    assert "mx1 is not waited for" in forgotten.stdout
    assert fleet.hosts[0].run("fleet-forget", "mx1", check=False).returncode == 66
    assert fleet.hosts[0].run("fleet-forget", check=False).returncode == 64
    assert fleets.events(fleet.hosts[0].run(), "day_closed")
    fleets.check_day(smtp_sink, seen)


def test_counts_that_the_database_lost_come_from_the_hosts_again(make_fleet, smtp_sink, postgres, database):
    """The manual's recipe after a restore: empty the counts, remove push.db everywhere, push."""
    fleet, seen = make_fleet(2), fleets.Seen()
    for _ in range(2):  # two instances on each host
        fleet.collect(seen, DOMAINS, 20)
        for host in fleet.hosts:
            host.run("push")
    name = database.split("dbname=")[1].split()[0]
    postgres.psql(name, "TRUNCATE tlsrpt_gen.tally, tlsrpt_gen.detail_tally, tlsrpt_gen.instance")
    for host in fleet.hosts:
        for path in host.state.glob("push.db*"):
            path.unlink()
    fleet.pass_day()
    fleet.hosts[0].run()
    fleets.check_day(smtp_sink, seen)


def test_a_copied_host_counts_for_itself(make_fleet, smtp_sink):
    """A virtual machine is cloned, state folder and all; both go on."""
    fleet, seen = make_fleet(2), fleets.Seen()
    first, second = fleet.hosts
    first.collect([seen.session(fleet.chance, DOMAINS) for _ in range(30)])
    first.run("push")
    for path in first.state.glob("*.db*"):
        shutil.copy(path, second.state)
    shutil.copy(first.state / "ring", second.state)
    fleet.collect(seen, DOMAINS, 20)
    fleet.pass_day()
    first.run()
    fleets.check_day(smtp_sink, seen)


def test_a_copied_host_does_not_end_the_one_it_was_copied_from(make_fleet, smtp_sink):
    """The copy's collector is another instance and the successor of the one it was copied from, which goes on."""
    fleet, seen = make_fleet(2), fleets.Seen()
    first, second = fleet.hosts
    first.start_collector()
    first.send(*[seen.session(fleet.chance, DOMAINS) for _ in range(30)])
    first.run("push")
    for path in first.state.glob("*.db*"):
        shutil.copy(path, second.state)
    fleet.set_time(f"{DAY}T13:00:00Z")
    second.collect([seen.session(fleet.chance, DOMAINS) for _ in range(20)])
    second.run("push")
    fleet.set_time(f"{DAY}T13:10:00Z")
    first.run("push")
    second.pass_day(f"{NEXT_DAY}T00:05:00Z")
    second.run("push")
    assert fleets.events(second.run(), "day_waits")
    first.stop_collector()
    first.pass_day(f"{NEXT_DAY}T00:05:00Z")
    assert fleets.events(first.run(), "day_closed")
    fleets.check_day(smtp_sink, seen)


def test_a_host_that_was_forgotten_and_comes_back_is_waited_for(make_fleet, smtp_sink):
    fleet, seen = make_fleet(2), fleets.Seen()
    fleet.hosts[1].start_collector()
    fleet.hosts[1].run("push")
    fleet.hosts[0].run("fleet-forget", "mx1")
    fleet.set_time(f"{DAY}T18:00:00Z")
    fleet.hosts[1].send(*[seen.session(fleet.chance, DOMAINS) for _ in range(20)])
    fleet.hosts[1].run("push")
    fleet.hosts[0].collect([seen.session(fleet.chance, DOMAINS) for _ in range(20)])
    fleet.hosts[0].pass_day(f"{NEXT_DAY}T00:05:00Z")
    assert fleets.events(fleet.hosts[0].run(), "day_waits")
    assert "mx1" in fleet.hosts[0].run("status").stdout
    fleet.hosts[1].stop_collector()
    fleet.hosts[1].pass_day(f"{NEXT_DAY}T00:05:00Z")
    fleet.hosts[1].run()
    fleets.check_day(smtp_sink, seen)


def test_old_days_go_from_the_database_and_the_hosts(make_fleet, postgres, database, smtp_sink):
    fleet, seen = make_fleet(2), fleets.Seen()
    fleet.collect(seen, DOMAINS, 20)
    fleet.pass_day()
    fleet.hosts[0].run()
    name = database.split("dbname=")[1].split()[0]
    fleet.pass_day("2026-03-20T00:05:00Z")
    fleet.hosts[0].run()
    for table in ("tally", "detail_tally", "policy", "detail"):
        assert postgres.psql(name, f"SELECT count(*) FROM tlsrpt_gen.{table}") == [["0"]]
    assert postgres.psql(name, "SELECT count(*) FROM tlsrpt_gen.report") != [["0"]]
    fleet.pass_day("2026-06-20T00:05:00Z")
    postgres.psql(name, "UPDATE tlsrpt_gen.generator SET seen_at = seen_at - INTERVAL '31 days'")
    fleet.hosts[1].run()
    assert postgres.psql(name, "SELECT host FROM tlsrpt_gen.generator") == [["mx1"]]
    for table in ("report", "delivery", "skipped", "closed_day", "started"):
        assert postgres.psql(name, f"SELECT count(*) FROM tlsrpt_gen.{table}") == [["0"]], table
    for host in fleet.hosts:
        with contextlib.closing(sqlite3.connect(host.state / "sessions.db")) as store:
            assert store.execute("SELECT count(*) FROM tally").fetchone() == (0,)


# ---- the same screens ---------------------------------------------------------------------------------------

def test_screens_show_the_fleet(make_fleet, smtp_sink):
    fleet, seen = make_fleet(3), fleets.Seen()
    fleet.collect(seen, DOMAINS, 30)
    fleet.pass_day()
    host = fleet.hosts[2]
    preview = host.preview("--day", DAY)
    assert sorted(preview) == seen.domains()
    for domain, row in preview.items():
        assert fleets.summary_of(row["report"]) == seen.summary(domain)
    assert not smtp_sink.mails
    host.run()
    shown = json.loads(host.run("show", "--format", "json", DOMAINS[0]).stdout)
    assert fleets.summary_of(shown) == seen.summary(DOMAINS[0])
    assert "delivered" in fleet.hosts[0].run("show", DOMAINS[0]).stdout
    assert "no report of that domain is in the ledger" in host.run("show", "nobody.example", check=False).stderr
    table = host.run("status").stdout
    for name in ("mx0", "mx1", "mx2"):
        assert name in table
    status = json.loads(host.run("status", "--format", "json").stdout)
    assert [row["host"] for row in status["fleet"]["hosts"]] == ["mx0", "mx1", "mx2"]
    assert status["days"][0]["reports"] == len(seen.domains())
    assert "tlsrpt_gen_fleet_hosts 3" in host.run("status", "--format", "prometheus").stdout


def test_refusing_mailbox_is_known_to_all_and_can_be_let_in_again(make_fleet, smtp_sink):
    fleet, seen = make_fleet(2, DOMAINS[:1]), fleets.Seen()
    smtp_sink.answers[f"tls@{DOMAINS[0]}"] = "550 5.1.1 no such user"
    fleet.collect(seen, DOMAINS[:1], 5)
    fleet.pass_day()
    fleet.hosts[0].run()
    assert f"tls@{DOMAINS[0]}" in fleet.hosts[1].run("status").stdout
    assert "may get reports again" in fleet.hosts[1].run("unsuppress", f"tls@{DOMAINS[0]}").stdout
    done = fleet.hosts[0].run("unsuppress", f"tls@{DOMAINS[0]}", check=False)
    assert done.returncode == 66 and "is not suppressed" in done.stderr


def test_a_domain_whose_record_cannot_be_read_waits(make_fleet, smtp_sink, nsd):
    fleet, seen = make_fleet(2, DOMAINS[:3]), fleets.Seen()
    fleet.collect(seen, DOMAINS[:3], 20)
    fleet.pass_day()
    def serve(broken):
        nsd.broken = broken
        nsd.restart()
        for host in fleet.hosts:
            host.set(resolver=nsd.address)
    serve([DOMAINS[1]])
    done = fleet.hosts[0].run()
    assert fleets.events(done, "records_wait")[0]["domains"] == "1" and len(smtp_sink.mails) == 2
    serve([])
    done = fleet.hosts[1].run("--flush")
    assert fleets.events(done, "day_closed")
    fleets.check_day(smtp_sink, seen)


def test_a_day_of_several_pages_is_built_whole(make_fleet):
    domains = [f"d{number:03}.example" for number in range(450)]
    fleet = make_fleet(2, domains[:1])
    for host, counted in zip(fleet.hosts, (domains[:300], domains[150:])):
        host.collect([fleets.datagram(domain) for domain in counted])
    fleet.pass_day()
    shown = fleet.hosts[0].run("--dry-run", "--format", "json").stdout
    assert [json.loads(line)["domain"] for line in shown.splitlines()] == domains
    totals = [fleets.events(host.run(), "run_done")[0] for host in fleet.hosts]
    assert [(total["reports"], total["skipped"]) for total in totals] == [("1", "449"), ("0", "0")]


# ---- what can be wrong --------------------------------------------------------------------------------------

def test_without_tables_fleet_init_is_named(make_site, database):
    done = make_site(fleet=database).run("push", check=False)
    assert done.returncode == 78 and "tlsrpt-gen fleet-init" in done.stderr


def test_init_twice_and_a_newer_schema(make_fleet, postgres, database):
    fleet = make_fleet(1)
    assert "GRANT" in fleet.hosts[0].run("fleet-init").stdout
    name = database.split("dbname=")[1].split()[0]
    postgres.psql(name, "UPDATE tlsrpt_gen.schema_version SET version = 99")
    for command in ("push", "fleet-init"):
        done = fleet.hosts[0].run(command, check=False)
        assert done.returncode == 78 and "newer than this program knows" in done.stderr
    postgres.psql(name, "UPDATE tlsrpt_gen.schema_version SET version = 0")
    done = fleet.hosts[0].run("push", check=False)
    assert done.returncode == 78


def test_printed_grants_are_enough(make_fleet, smtp_sink, postgres, database):
    fleet, seen = make_fleet(2), fleets.Seen()
    name = database.split("dbname=")[1].split()[0]
    grants = fleet.hosts[0].run("fleet-init").stdout
    roles = [f"{role}_{name}" for role in ("tlsrpt_push", "tlsrpt_generate", "tlsrpt_read")]
    for role in roles:
        grants = grants.replace(role[:-len(name) - 1], role)
    postgres.psql(name, grants)
    try:
        for user, role in zip(("p", "g", "r"), roles):
            postgres.psql(name, f"CREATE ROLE {user}_{name} LOGIN; GRANT {role} TO {user}_{name}")
        def become(host, user):
            host.set(fleet=database.replace("user=tlsrpt", f"user={user}_{name}"))
        fleet.collect(seen, DOMAINS, 20)
        become(fleet.hosts[0], "p")
        become(fleet.hosts[1], "g")
        fleet.pass_day()
        done = fleet.hosts[0].run(check=False)
        assert done.returncode == 77 and "permission denied" in done.stderr
        fleet.hosts[1].run()
        fleets.check_day(smtp_sink, seen)
        become(fleet.hosts[0], "r")
        fleet.hosts[0].run("status")
        fleet.hosts[0].run("show", DOMAINS[0])
        fleet.hosts[0].run("--dry-run", "--day", DAY)
        assert fleet.hosts[0].run("push", check=False).returncode == 77
    finally:
        for role in [f"{user}_{name}" for user in "pgr"] + roles:
            postgres.psql(name, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("value", ["postgresql://u:secret-word@db/x", "host=db password=secret-word",
                                   "host=db password = 'secret-word'", "postgresql://u:secret-word?@db/x",
                                   "postgresql://u:secret-word/@db/x", "postgresql://u@x:secret-word@db/x",
                                   "postgresql//u:secret-word@db/x", "postgresql:/u:secret-word@db/x?sslmode=require",
                                   "host=db PASSWORD=secret-word", "host=db passwd=secret-word"])
def test_a_password_among_the_settings_is_refused_and_not_shown(make_site, value):
    site = make_site(fleet=value)
    for command in (["push"], ["--show-config"], []):
        done = site.run(*command, check=False)
        assert done.returncode == 78
        assert "fleet_password_file" in done.stderr and "secret-word" not in done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["url", "service"])
def test_a_url_or_a_service_names_the_database(make_fleet, monkeypatch, tmp_path, postgres, database, kind):
    fleet = make_fleet(1)
    name = database.split("dbname=")[1].split()[0]
    services = tmp_path / "pg_service.conf"
    services.write_text(f"[reports]\nhost={postgres.folder}\ndbname={name}\nuser={pgsql.USER}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    fleet.hosts[0].set(fleet={"url": f"postgresql://{pgsql.USER}@/{name}?host={postgres.folder}", "service": "service=reports"}[kind])
    fleet.hosts[0].collect([fleets.datagram(DOMAINS[0])])
    assert fleets.events(fleet.hosts[0].run("push"), "pushed")[0]["rows"] == "1"


class Talker(threading.Thread):
    """A server without TLS: says so, and keeps what a client says then."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = []
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(2)
                    words = client.recv(8)
                    if words == bytes.fromhex("0000000804d2162f"):  # may we speak TLS?
                        client.sendall(b"N")
                        words = client.recv(1024)
                    self.heard.append(words)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


@pytest.mark.parametrize("host, mode, is_plain", [
    ("127.0.0.1", "", True),                     # this host
    ("2130706433", "", False),                   # the same address, but it does not look like it
    ("127.1", "", False),                        # so does a name such as 127.example.org
    ("2130706433", "sslmode=require", False),
    ("2130706433", "sslmode=prefer", True)])     # told so
def test_a_remote_server_must_prove_who_it_is(make_site, host, mode, is_plain):
    pgsql.need()
    with Talker() as talker:
        site = make_site(fleet=f"host={host} port={talker.port} user=u dbname=x {mode}")
        done = site.run("push", check=False)
        assert done.returncode == 75
        assert any(b"user\0u\0" in words for words in talker.heard) == is_plain
        assert ("SSL" in done.stderr) == (not is_plain), done.stderr


def test_the_password_comes_from_its_file(make_site, tmp_path, postgres):
    secret = tmp_path / "secret"
    secret.write_text("not-this-one\n")
    open_to_all = make_site(fleet="host=127.0.0.1 port=9 user=u dbname=x", fleet_password_file=secret).run("push", check=False)
    assert open_to_all.returncode == 78 and f"may be read by everybody; run chmod o= {secret}" in open_to_all.stderr
    secret.chmod(0o600)
    with Talker() as talker:
        site = make_site(fleet=f"host=127.0.0.1 port={talker.port} user=u dbname=x", fleet_password_file=secret)
        done = site.run("push", check=False)
        assert done.returncode == 75 and "not-this-one" not in done.stdout + done.stderr
        assert "not-this-one" not in site.run("--show-config").stdout
    postgres.psql("postgres", "CREATE ROLE keyed LOGIN PASSWORD 'the-right-one'")
    rules = postgres.data / "pg_hba.conf"
    before = rules.read_text()
    try:
        rules.write_text("local all keyed scram-sha-256\n" + before)
        postgres.run("pg_ctl", "-D", postgres.data, "reload")
        site = make_site(fleet=postgres.conninfo("postgres").replace("user=tlsrpt", "user=keyed"), fleet_password_file=secret)
        wait_until(lambda: "password" in site.run("push", check=False).stderr, "the rule to hold")
        assert site.run("push", check=False).returncode == 77
        secret.write_text("the-right-one\n")
        assert "tlsrpt-gen fleet-init" in site.run("push", check=False).stderr  # it is let in; there are no tables
    finally:
        rules.write_text(before)
        postgres.run("pg_ctl", "-D", postgres.data, "reload")
        postgres.psql("postgres", "DROP ROLE keyed")


@pytest.mark.parametrize("change, code, words", [
    (("user=tlsrpt", "user=stranger"), 77, 'role "stranger" does not exist'),
    (("dbname=postgres", "dbname=nowhere"), 78, 'database "nowhere" does not exist')])
def test_what_the_server_says_to_a_connection_is_an_exit_code(make_site, postgres, change, code, words):
    site = make_site(fleet=postgres.conninfo("postgres").replace(*change))
    done = site.run("push", check=False)
    assert done.returncode == code and f"FATAL:  {words}" in done.stderr, done.stderr
    assert "tlsrpt_gen_fleet_up 0" in (metrics := site.run("status", "--format", "prometheus").stdout)
    assert "deliveries" not in metrics and "yesterday" not in metrics  # not known; a 0 would be a lie
    assert "totals" not in json.loads(site.run("status", "--format", "json").stdout)
    done = site.run(check=False)
    assert done.returncode == code and not fleets.events(done, "run_done")  # of a run that never began


class Liar(threading.Thread):
    """A server that lets everybody in and answers every statement with one row, as answer() says: a list of values."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    @staticmethod
    def message(kind, body=b""):
        return kind + struct.pack("!i", len(body) + 4) + body

    def row(self, sql):
        values = self.answer(sql)
        columns = b"".join(b"x\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0) for _ in values)
        fields = b"".join(struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values)
        count = struct.pack("!h", len(values))
        return self.message(b"T", count + columns) + self.message(b"D", count + fields) + self.message(b"C", b"SELECT 1\0")

    def serve(self, stream):
        def read(count):
            data = stream.read(count)
            if len(data) < count:
                raise OSError("it has gone")
            return data
        ready, prepared, bound = self.message(b"Z", b"I"), {}, b""
        while struct.unpack("!ii", read(8))[1] == 80877103:  # may we speak TLS?
            stream.write(b"N")
            stream.flush()
        words = b""
        while not words.endswith(b"\0\0"):
            words += read(1)
        stream.write(self.message(b"R", bytes(4)) + self.message(b"S", b"server_encoding\0UTF8\0") + ready)
        while True:
            stream.flush()
            kind, size = read(1), struct.unpack("!i", read(4))[0]
            body = read(size - 4)
            if kind == b"P":
                name, sql = body.split(b"\0")[:2]
                prepared[name] = sql.decode()
                stream.write(self.message(b"1"))
            elif kind == b"B":
                bound = prepared[body.split(b"\0")[1]]
                stream.write(self.message(b"2"))
            elif kind == b"E":
                stream.write(self.row(bound))
            elif kind == b"Q":
                stream.write(self.message(b"C", b"BEGIN\0") + ready)
            elif kind == b"S":
                stream.write(ready)

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, contextlib.suppress(OSError), client.makefile("rwb") as stream:
            self.serve(stream)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


@pytest.mark.parametrize("what, values", [
    ("rows without a column", []),
    ("nothing but NULL", [None] * 16),
    ("the largest numbers", [b"9223372036854775807"] * 16),
    ("the smallest numbers", [b"-9223372036854775808"] * 16),
    ("numbers beyond", [b"1e400"] * 16),
    ("neither text nor numbers", [b"\xff\x1b[2J\n"] * 16)])
def test_answers_of_a_hostile_database_are_only_answers(make_site, nsd, what, values):
    """Of the right version, and wrong in all else: no crash, an exit code, and nothing raw on the terminal."""
    pgsql.need()
    told = {"schema_version": [b"1", b"0" * 32]}
    if values:  # let it come to the work on one domain's day
        told.update({"SELECT bucket, host": [b"3", b"", b"1"], "RETURNING bucket": [b"3", b"1"],
                     "SELECT min(complete": [b"1999999999"], "closed_day WHERE": [b"0"],
                     "SELECT utc_day, count(*), sum": [b"20525", *values], "SELECT domain, sum": [b"a.example", *values],
                     "SELECT t.domain, ": [b"a.example", *values]})
    def answer(sql):
        return next((row for words, row in told.items() if words in sql), values)
    with Liar(answer) as liar:
        site = make_site(fleet=f"host=127.0.0.1 port={liar.port} user=u dbname=x", resolver=nsd.address)
        site.collect([fleets.datagram("a.example")])
        for words in (["push"], [], ["status"], ["status", "--format", "json"], ["status", "--format", "prometheus"],
                      ["show", "a.example"], ["--dry-run", "--day", DAY], ["unsuppress", "x@a.example"],
                      ["fleet-forget", "mx9"], ["fleet-init"]):
            done = site.run(*words, check=False)
            assert done.returncode in (0, 65, 66, 75, 78), (what, words, done.returncode, done.stderr)
            assert "\x1b" not in done.stdout + done.stderr, (what, words)


def test_check_looks_at_the_fleet(make_fleet, make_site, postgres):
    fleet = make_fleet(1)
    host = fleet.hosts[0]
    host.collect([fleets.datagram(DOMAINS[0])])
    def said():
        return next(line for line in host.run("check", check=False).stdout.splitlines() if " fleet " in line)
    assert said().startswith("warn") and "has not pushed" in said()
    host.run("push")
    assert said().startswith("ok") and "hosts that push to it: 1" in said()
    timer = next(line for line in host.run("check", check=False).stdout.splitlines() if " timer " in line)
    assert not timer.startswith("FAIL")  # a host that only pushes needs none
    host.set(fleet=postgres.conninfo("no_such_database"))
    assert said().startswith("FAIL")
    table = host.run("status").stdout
    assert "deliveries  not known while" in table and not re.search(r" (open|sending|done|today)\n", table)


def test_push_needs_a_fleet(make_site):
    done = make_site().run("push", check=False)
    assert done.returncode == 78 and "fleet is not set" in done.stderr


def test_without_libpq_a_fleet_is_an_error_of_the_settings(make_site):
    site = make_site(fleet="host=/nonexistent dbname=x user=y")
    done = subprocess.run(site.command("push"), capture_output=True, text=True, timeout=lib.RUN_S, env=site.environment,
                          check=False)
    if "built without libpq" in done.stderr:
        assert done.returncode == 78 and "WITH_PGSQL=yes" in done.stderr
    else:
        assert done.returncode == 75  # there is no such server: later, perhaps


# ---- the statements -----------------------------------------------------------------------------------------

SAMPLES = {"text": "'a.example'", "integer": "1", "bigint": "1", "uuid": "'00000000000000000000000000000001'", "bytea": "'\\x00'",
           "text[]": "'{a.example}'", "integer[]": "'{1}'", "bigint[]": "'{1}'",
           "uuid[]": "'{00000000000000000000000000000001}'"}


def test_every_statement_runs_under_serializable(make_fleet, postgres, database):
    """Twice in one transaction, as one that is sent again would be."""
    make_fleet(1)
    name = database.split("dbname=")[1].split()[0]
    found = pgsql.statements()
    assert len(found) > 60 and all(found.values())
    types = postgres.psql(name, "".join(f"PREPARE s_{key} AS {sql};\n" for key, sql in found.items())
                          + "SELECT name, parameter_types FROM pg_prepared_statements ORDER BY name")
    assert len(types) == len(found)
    for key, text in types:
        values = [SAMPLES[kind.strip('"')] for kind in text.strip("{}").split(",") if kind]
        words = f"EXECUTE s_{key}" + (f" ({', '.join(values)})" if values else "")
        sql = found[next(name for name in found if f"s_{name}".lower() == key)]
        rows = postgres.psql(name, f"PREPARE s_{key} AS {sql}; BEGIN ISOLATION LEVEL SERIALIZABLE; {words}; {words};"
                             " SELECT current_setting('transaction_isolation'); COMMIT")
        assert rows[-1] == ["serializable"]


def test_a_lease_is_taken_from_nobody_who_lives(make_fleet, postgres, database):
    """The statements themselves: two generators that come at the same moment, and one that is stale."""
    make_fleet(1)
    name = database.split("dbname=")[1].split()[0]
    found = pgsql.statements()
    first, second = "'00000000000000000000000000000001'", "'00000000000000000000000000000002'"

    def execute(key, *values):
        sql = found[key] + ("" if "RETURNING" in found[key] else " RETURNING t.bucket, t.epoch")
        return postgres.psql(name, f"PREPARE s AS {sql}; EXECUTE s ({', '.join(values)})")

    assert execute("TAKE_LEASES", first, "'mx0'", "60", "'{5,6}'") == [["5", "1"], ["6", "1"]]
    assert execute("TAKE_LEASES", second, "'mx1'", "60", "'{5}'") == []
    assert execute("TAKE_LEASES", first, "'mx1'", "60", "'{5}'") == []  # a copy of its state folder on another host
    assert execute("TAKE_LEASES", first, "'mx0'", "60", "'{5}'") == [["5", "2"]]  # after a crash
    assert execute("FENCE", "'{5,6}'", "'{1,1}'", "60") == [["6", "1"]]
    assert execute("RELEASE", "'{5}'", "'{1}'") == []
    assert execute("TAKE_LEASES", second, "'mx1'", "60", "'{5}'") == []
    assert execute("RELEASE", "'{5}'", "'{2}'") == [["5", "3"]]
    assert execute("TAKE_LEASES", second, "'mx1'", "60", "'{5}'") == [["5", "4"]]
    assert execute("FENCE", "'{5}'", "'{2}'", "60") == []


def test_nothing_else_is_sent(make_fleet, smtp_sink):
    """What the server logs is what the one file lists; whole programs, every transaction SERIALIZABLE, at the same time."""
    server = pgsql.Postgres(default_transaction_isolation="'serializable'", log_statement="'all'", log_line_prefix="'~'")
    try:
        fleet, seen = make_fleet(3), fleets.Seen()
        conninfo = server.create("strict")
        for host in fleet.hosts:
            host.set(fleet=conninfo)
        fleet.hosts[0].run("fleet-init")
        for _ in range(3):
            fleet.collect(seen, DOMAINS, 30)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                list(pool.map(lambda host: host.run("push"), fleet.hosts))
        fleet.pass_day()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: host.run(check=False), fleet.hosts))
        fleet.hosts[0].run()
        for words in (["status"], ["show", DOMAINS[0]], ["--dry-run", "--day", DAY]):
            fleet.hosts[1].run(*words)
        fleets.check_day(smtp_sink, seen)
        logged = server.log.read_text(errors="replace")
    finally:
        server.close()
    known = {re.sub(r"\s+", " ", sql).strip() for sql in [*pgsql.statements().values(), *pgsql.migrations()]}
    known |= {"BEGIN", "COMMIT", "ROLLBACK"}
    sent = {re.sub(r"\s+", " ", text).strip() for text in
            re.findall(r"~LOG:  (?:execute \w+|statement): (.*?)(?=\n~|\Z)", logged, re.S)}
    sent = {text for text in sent if not text.startswith("CREATE DATABASE")}
    assert sent <= known, sorted(sent - known)[:3]
    assert len(sent & known) > 50
