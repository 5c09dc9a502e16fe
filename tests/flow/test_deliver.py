# SPDX-License-Identifier: MIT
"""Whole runs: limits, the circuit breaker, suppression, retries over a day, direct delivery."""
import collections
import contextlib
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import threading

import pytest

import programs as lib
import servers
from dns_stub import DnsStub
from faulty import HttpsFaulty, SmtpFaulty, drop, status

DAY, NEXT_DAY = "2026-03-14", "2026-03-15"


def datagram(domain, failed=1):
    return {"dpv": "1", "d": domain, "policies": [{"policy-type": 9, "policy-domain": domain, "t": 0, "f": failed}]}


@pytest.fixture
def make_delivery(make_site, nsd, smtp_sink, authority):
    """A Site whose day is over, with one report for each domain; records: domain -> rua list."""
    def make(ruas, failed=1, lines=(), now=f"{NEXT_DAY}T00:05:00Z", **settings):
        nsd.txt = {f"_smtp._tls.{domain}": f"v=TLSRPTv1; rua={','.join(rua)}" for domain, rua in ruas.items()}
        nsd.lines = ["localhost. A 127.0.0.1", *lines]
        nsd.reload()
        site = make_site(**{"resolver": nsd.address, "relay": smtp_sink.address, "https_ca_file": authority.ca_file,
                            "https_allow": ["127.0.0.0/8"], **settings})
        site.collect([datagram(domain, failed) for domain in ruas])
        site.pass_day(now)
        return site
    return make


def open_ledger(site):
    return contextlib.closing(sqlite3.connect(f"file:{site.state}/reports.db?mode=ro", uri=True))


def states(site):
    """How many deliveries are in each state, from the ledger."""
    names = ("due", "sending", "delivered", "given up", "suppressed", "expired")
    with open_ledger(site) as ledger:
        rows = ledger.execute("SELECT state, count(*) FROM delivery GROUP BY state").fetchall()
    return {names[state]: count for state, count in rows}


def tries(site):
    with open_ledger(site) as ledger:
        return [row[0] for row in ledger.execute("SELECT tries FROM delivery ORDER BY id")]


def events(done):
    return lib.parse_log(done.stderr)


def url(server, path="/in"):
    return f"https://localhost:{server.port}{path}"


# ---- limits ------------------------------------------------------------------------------------------------

def test_a_host_that_fails_is_left_alone_after_five_attempts(make_delivery, authority):
    context = authority.server().server_context()
    with HttpsFaulty(context, status(503)) as bad, HttpsFaulty(context) as good:
        ruas = {f"d{n}.example": [url(bad)] for n in range(20)}
        ruas["other.example"] = [url(good).replace("localhost", "127.0.0.1")]
        site = make_delivery(ruas, https_allow=["127.0.0.0/8", f":{bad.port}", f":{good.port}"])
        log = events(site.run())
        assert 5 <= len(bad.requests) <= 6  # two at once: one more may have begun
        assert len(good.requests) == 1
        assert states(site) == {"due": 20, "delivered": 1}
        assert set(tries(site)) == {1}  # what was not tried waits as after a failure
        left = [event for event in log if event["event"] == "deliveries_left"]
        assert [(event["host"], event["deliveries"]) for event in left] == [("localhost", str(20 - len(bad.requests)))]


def test_a_relay_that_is_down_is_left_alone_after_five_sessions(make_delivery):
    with SmtpFaulty({"greeting": drop}) as relay:
        site = make_delivery({f"d{n}.example": [f"mailto:r{m}@d{n}.example" for m in range(8)] for n in range(80)},
                             relay=f"127.0.0.1:{relay.port}")
        log = events(site.run())
        assert 5 <= relay.connections <= 5 + 3  # four at once: three more may have begun
        assert set(tries(site)) == {0}  # no mail was tried
        left, = [event for event in log if event["event"] == "deliveries_left"]
        assert left["deliveries"] == "640" and "dropped connection" in left["reason"]
        relay.faults.clear()
        site.run()
        assert states(site) == {"delivered": 640}


def test_a_destination_gets_no_more_than_its_budget_of_a_day(make_delivery, smtp_sink):
    site = make_delivery({f"d{n}.example": ["mailto:victim@target.example", f"mailto:own@d{n}.example"] for n in range(9)},
                         max_per_destination=4)
    log = events(site.run())
    seen = collections.Counter(mail.recipients[0] for mail in smtp_sink.mails)
    assert seen.pop("victim@target.example") == 4
    assert len(seen) == 9
    assert states(site) == {"delivered": 13, "given up": 5}
    over = [event for event in log if event["event"] == "budget_reached"]
    assert [(event["destination"], event["setting"], event["limit"]) for event in over] == \
        [("target.example", "max_per_destination", "4")] * 5
    assert "target.example got 4 reports today, as many as max_per_destination allows" in \
        " ".join(site.run("status").stdout.split())
    assert json.loads(site.run("status", "--format", "json").stdout)["budgets_reached"] == [
        {"destination": "target.example", "owner": None, "setting": "max_per_destination", "reports": 4}]
    assert "tlsrpt_gen_budgets_reached 1\n" in site.run("status", "--format", "prometheus").stdout
    site.run("--flush")
    assert len(smtp_sink.mails) == 13


def test_what_is_put_back_after_midnight_costs_no_budget(make_delivery, start):
    """Marked on one UTC day, put back on the next: no report is given up for it, whatever the limits."""
    with SmtpFaulty({"greeting": lambda connection: connection.server.over.wait(8) or connection.drop()}) as relay:
        site = make_delivery({f"d{n}.example": [f"mailto:r@d{n}.example"] for n in range(8)},
                             relay=f"127.0.0.1:{relay.port}", now=f"{NEXT_DAY}T23:59:56Z", max_per_destination=0,
                             max_per_owner_and_destination=0)
        run = start(site)
        servers.wait_until(lambda: relay.connections, "a session")
        run.send_signal(signal.SIGTERM)
        assert run.wait(60) == 0
        with open_ledger(site) as ledger:
            assert {count for count, in ledger.execute("SELECT count FROM started")} <= {0}
        relay.faults.clear()
        site.run()
    assert states(site) == {"delivered": 8}


def test_an_owner_gets_no_more_than_his_budget_of_a_destination(make_delivery, smtp_sink):
    """All subdomains of one organizational domain together; another owner's report to the same mailbox goes out."""
    ruas = {f"d{n}.owner.example": ["mailto:victim@target.example"] for n in range(9)}
    site = make_delivery({**ruas, "other.example": ["mailto:victim@target.example"]}, max_per_owner_and_destination=3)
    log = events(site.run())
    assert len(smtp_sink.mails) == 4
    assert any(b"other.example" in mail.data for mail in smtp_sink.mails)
    over = [event for event in log if event["event"] == "budget_reached"]
    assert [(event["owner"], event["setting"]) for event in over] == [("owner.example", "max_per_owner_and_destination")] * 6
    assert "got 3 reports about domains of owner.example today" in " ".join(site.run("status").stdout.split())


def test_many_hosts_and_many_reports_all_arrive_once(make_delivery, authority):
    hosts = [f"h{n}.example" for n in range(7)]
    certificate = authority.issue(*hosts)
    with HttpsFaulty(certificate.server_context()) as server:
        ruas = {f"d{n}.example": [f"https://{hosts[n % 7]}:{server.port}/{n}"] for n in range(200)}
        site = make_delivery(ruas, lines=[f"{host}. A 127.0.0.1" for host in hosts],
                             https_allow=["127.0.0.0/8", f":{server.port}"])
        site.run()
        assert states(site) == {"delivered": 200}
        assert len(server.requests) == 200 and len(set(server.requests)) == 200


@pytest.mark.parametrize("local", ['a b', 'a>b', '<a', 'a"b', 'a@b'])
def test_an_odd_mailbox_costs_its_batch_nothing(make_delivery, smtp_sink, local):
    """A local part that wants quotes is a mailbox too, and whatever becomes of it, the others' mail goes out."""
    site = make_delivery({"d1.example": ["mailto:%22" + "".join(f"%{byte:02X}" for byte in local.replace('"', '\\"').encode())
                                         + "%22@m.example"],
                          "d2.example": ["mailto:tls@m.example"]})
    site.run()
    assert "tls@m.example" in [mail.recipients[0] for mail in smtp_sink.mails]
    assert states(site) == {"delivered": 2}


def test_a_name_too_long_to_ask_for_costs_its_day_nothing(make_delivery):
    """It has room for itself but not for _smtp._tls. in front; it comes last among its day's domains."""
    site = make_delivery({"d1.example": ["mailto:tls@m.example"]})
    site.run()
    site.collect([datagram("d1.example"), datagram(".".join(["z" * 61] * 4))])
    site.pass_day("2026-03-16T00:05:00Z")
    site.run()
    assert states(site) == {"delivered": 2}


@pytest.mark.parametrize("address, host", [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_url_may_have_an_address_for_a_host(make_delivery, authority, address, host):
    try:
        server = servers.HttpsServer(authority.server(), address=address).start()
    except OSError:
        pytest.skip(f"nothing can listen on {address} here")
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        site = make_delivery({"d.example": [f"https://{host}:{server.port}/in"]}, https_allow=[address, f":{server.port}"])
        site.run()
        assert states(site) == {"delivered": 1} and len(server.requests) == 1


def test_a_url_with_a_refused_port_is_no_destination(make_delivery, smtp_sink):
    """Not even in a dry run; the domain's other destinations get the report."""
    site = make_delivery({"d1.example": ["https://localhost:8443/in", "mailto:tls@m.example"],
                          "d2.example": ["https://localhost:8443/in"]}, https_allow=["127.0.0.0/8"])
    rows = site.preview()
    assert rows["d1.example"]["rua"] == ["mailto:tls@m.example"]
    assert rows["d2.example"]["skipped"] == "every destination has a port that is not in https_allow"
    site.run()
    assert len(smtp_sink.mails) == 1 and states(site) == {"delivered": 1}
    site.set(https_allow=["127.0.0.0/8", ":8443"])
    assert site.preview("--day", DAY)["d1.example"]["rua"] == ["https://localhost:8443/in", "mailto:tls@m.example"]


def test_words_of_a_refusal_are_kept(make_delivery, authority):
    """In the log, the ledger and show: harmless, and at most 200 bytes of them."""
    with HttpsFaulty(authority.server().server_context(), status(403, body="no\x1b[2J such\r\ndomain" + "x" * 300)) as server:
        site = make_delivery({"d1.example": [url(server)]}, https_allow=["127.0.0.0/8", f":{server.port}"])
        log = events(site.run())
        want = "HTTP 403, answer: no?[2J such  domain" + "x" * 181
        assert [event["reply"] for event in log if event["event"] == "delivery_given_up"] == [want]
        with open_ledger(site) as ledger:
            assert ledger.execute("SELECT last_text FROM delivery").fetchall() == [(want,)]
        shown = site.run("show", "--day", DAY, "d1.example").stdout
        assert "answer: no?[2J such" in shown and "\x1b" not in shown


def test_databases_are_not_world_readable(make_delivery):
    before = os.umask(0)
    try:
        site = make_delivery({"d1.example": ["mailto:tls@m.example"]})
        site.run()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in site.state.glob("*.db*")}
    assert {"sessions.db", "reports.db"} <= modes.keys()
    assert not [name for name, mode in modes.items() if mode & 0o007], modes


# ---- suppression -------------------------------------------------------------------------------------------

def test_a_mailbox_that_refuses_is_left_alone_for_three_days(make_delivery, smtp_sink):
    smtp_sink.answers["gone@m.example"] = "550 5.1.1 no such user"
    site = make_delivery({"d1.example": ["mailto:gone@m.example", "mailto:here@m.example"]})
    log = events(site.run())
    assert states(site) == {"delivered": 1, "given up": 1}
    suppressed = [event for event in log if event["event"] == "mailbox_suppressed"]
    assert [(event["rua"], event["until"][:10]) for event in suppressed] == [("gone@m.example", "2026-03-18")]

    site.collect([datagram("d1.example")])
    site.pass_day("2026-03-16T00:05:00Z")
    del smtp_sink.answers["gone@m.example"]
    site.run()
    assert smtp_sink.attempts.count("gone@m.example") == 1
    assert states(site) == {"delivered": 2, "given up": 1, "suppressed": 1}

    site.set_time("2026-03-18T12:00:00Z")
    site.start_collector()
    site.send(datagram("d1.example"))
    site.stop_collector()
    site.pass_day("2026-03-19T00:05:00Z")
    site.run()
    assert smtp_sink.attempts.count("gone@m.example") == 2
    assert states(site) == {"delivered": 4, "given up": 1, "suppressed": 1}


@pytest.mark.parametrize("key, answer", [("DATA", ["552 5.3.4 too big"]),
                                         ("a@m.example", "554 5.7.1 <a@m.example>: Relay access denied")])
def test_a_refusal_of_the_message_or_of_us_suppresses_nobody(make_delivery, smtp_sink, key, answer):
    smtp_sink.answers[key] = answer
    site = make_delivery({"d1.example": ["mailto:a@m.example"]})
    log = events(site.run())
    assert states(site) == {"given up": 1}
    assert not [event for event in log if event["event"] == "mailbox_suppressed"]


# ---- a day of trying ---------------------------------------------------------------------------------------

def run_for_a_day(site, do):
    """Run as a timer would, every quarter of an hour and later every hour; do(hours since the first try) before."""
    begin = lib.utc_seconds(f"{NEXT_DAY}T00:05:00Z")
    for hours in [quarter / 4 for quarter in range(12)] + list(range(3, 25)) + [24.25, 25, 26]:
        do(hours)
        moment = lib.datetime.datetime.fromtimestamp(begin + hours * 3600, lib.datetime.timezone.utc)
        site.set_time(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
        site.run()


@pytest.mark.parametrize("hours, want", [(23, {"delivered": 2}), (25, {"expired": 2})])
def test_servers_that_are_down(make_delivery, smtp_sink, authority, hours, want):
    with HttpsFaulty(authority.server().server_context(), status(503)) as server:
        smtp_sink.answers["DATA"] = "451 4.3.0 not now"
        site = make_delivery({"d1.example": ["mailto:a@m.example", url(server)]},
                             https_allow=["127.0.0.0/8", f":{server.port}"])
        def come_up(hour):
            if hour >= hours:
                smtp_sink.answers.clear()
                server.respond = status(200)
        run_for_a_day(site, come_up)
        assert states(site) == want
        assert len(smtp_sink.mails) == want.get("delivered", 0) / 2
        assert len(set(server.requests)) == 1  # the same bytes at every try
        assert len({mail.data for mail in smtp_sink.refused + smtp_sink.mails}) == 1
        assert 7 <= len(server.requests) <= 10  # 15 min doubling, not every quarter of an hour


def test_retry_after_is_honoured(make_delivery, authority):
    with HttpsFaulty(authority.server().server_context(), status(429, "Retry-After: 7200")) as server:
        site = make_delivery({"d1.example": [url(server)]}, https_allow=["127.0.0.0/8", f":{server.port}"])
        site.run()
        server.respond = status(200)
        site.set_time(f"{NEXT_DAY}T01:30:00Z")
        site.run()
        assert len(server.requests) == 1
        site.set_time(f"{NEXT_DAY}T02:06:00Z")
        site.run()
        assert len(server.requests) == 2


# ---- reports that others aim at a domain ----------------------------------------------------------------------

def test_reports_aimed_at_a_domain_do_not_cost_it_its_own(make_delivery, nsd, smtp_sink):
    """Four strangers name 40 mailboxes of victim.example; its 35 sessions of that day are reported all the same."""
    site = make_delivery({f"d{n}.example": [f"mailto:x{m}@victim.example" for m in range(10)] for n in range(4)})
    nsd.txt["_smtp._tls.victim.example"] = "v=TLSRPTv1; rua=mailto:tls@victim.example"
    nsd.reload()
    site.run()
    assert collections.Counter(mail.recipients[0].partition("@")[2] for mail in smtp_sink.mails) == {"victim.example": 40}
    site.collect([datagram("victim.example", failed=0)] * 35)  # on the day on which the 40 mails were sent
    site.pass_day("2026-03-16T00:05:00Z")
    row = site.preview("--day", NEXT_DAY)["victim.example"]
    assert row["report"]["policies"][0]["summary"] == {"total-successful-session-count": 35, "total-failure-session-count": 0}
    site.run()
    assert smtp_sink.mails[40].recipients == ["tls@victim.example"] and len(smtp_sink.mails) == 41


# ---- direct delivery ---------------------------------------------------------------------------------------

@pytest.fixture
def make_direct(make_delivery):
    """Direct delivery to one port of loopback; zone: lines of the DNS."""
    def make(port, ruas, zone, **settings):
        return make_delivery(ruas, lines=zone, smtp_mode="direct", smtp_port=port, relay="127.0.0.1:1", **settings)
    return make


def test_direct_delivery_finds_the_mail_hosts(make_direct):
    with SmtpFaulty() as server:
        site = make_direct(server.port, {f"d{n}.example": [f"mailto:tls@{kind}.example"] for n, kind in enumerate(
            ("mx", "implicit", "six", "second"))},
            ["mx.example. MX 10 mail.mx.example.", "mail.mx.example. A 127.0.0.1", "implicit.example. A 127.0.0.1",
             "six.example. MX 0 mail.six.example.", "mail.six.example. AAAA ::1", "mail.six.example. A 127.0.0.1",
             "second.example. MX 10 down.second.example.", "second.example. MX 20 up.second.example.",
             "down.second.example. A 127.0.0.2", "up.second.example. A 127.0.0.1"],
            smtp_allow=["127.0.0.0/8", "::1"], ehlo_name="sender.example")
        site.run()
        assert states(site) == {"delivered": 4}
        assert len(server.accepted) == 4


def test_a_domain_with_a_null_mx_takes_no_mail(make_direct):
    with SmtpFaulty() as server:
        site = make_direct(server.port, {"d.example": ["mailto:tls@null.example"]},
                           ["null.example. MX 0 .", "null.example. A 127.0.0.1"], smtp_allow="127.0.0.0/8")
        site.run()
        assert states(site) == {"given up": 1}
        assert server.connections == 0


@pytest.mark.parametrize("zone", [["m.example. MX 0 localhost.m.example.", "localhost.m.example. A 127.0.0.1"],
                                  ["m.example. A 127.0.0.1"], ["m.example. AAAA ::1"],
                                  ["m.example. AAAA ::ffff:127.0.0.1"], ["m.example. A 10.0.0.1"],
                                  ["m.example. A 169.254.169.254"]], ids=lambda zone: zone[-1])
def test_direct_delivery_connects_to_public_addresses_only(make_direct, zone):
    with SmtpFaulty() as server:
        site = make_direct(server.port, {"d.example": ["mailto:tls@m.example"]}, zone)
        site.run()
        assert states(site) == {"given up": 1}
        assert server.connections == 0


def test_a_mail_domain_without_any_host_may_get_one_later(make_direct):
    with SmtpFaulty() as server:
        site = make_direct(server.port, {"d.example": ["mailto:tls@nothing.example"]}, ["x.nothing.example. TXT y"],
                           smtp_allow="127.0.0.0/8")
        site.run()
        assert states(site) == {"due": 1}


def test_check_refuses_direct_delivery_without_a_key(make_delivery):
    site = make_delivery({"d.example": ["mailto:tls@m.example"]}, smtp_mode="direct")
    lines = [line for line in site.run("check", check=False).stdout.splitlines() if " dkim " in line]
    assert len(lines) == 1 and lines[0].startswith("FAIL")
    site.set(smtp_mode="relay")
    lines = [line for line in site.run("check", check=False).stdout.splitlines() if " dkim " in line]
    assert len(lines) == 1 and lines[0].startswith("warn")


# ---- the relay's TLS and password ---------------------------------------------------------------------------

def test_password_goes_to_the_verified_relay(make_delivery, authority, tmp_path):
    secret = tmp_path / "relay-auth"
    secret.write_text("me:secret:with:colons\n")
    secret.chmod(0o640)
    with SmtpFaulty(extensions=("AUTH PLAIN",), tls_context=authority.server().server_context()) as relay:
        site = make_delivery({"d.example": ["mailto:a@m.example"]}, relay=f"localhost:{relay.port}", relay_tls="require",
                             relay_ca_file=authority.ca_file, relay_auth=secret)
        site.run()
        assert len(relay.accepted) == 1 and "AUTH" in relay.seen


@pytest.mark.parametrize("settings, text, mode, words", [
    ({"relay_tls": "opportunistic"}, "me:secret", 0o640, "set relay_tls = require"),
    ({"relay_tls": "require"}, "me:secret", 0o644, "may be read by everybody"),
    ({"relay_tls": "require"}, "secret", 0o640, "USER:PASSWORD"),
    ({"relay_tls": "require"}, None, 0o640, "cannot be read"),
])
def test_a_password_file_that_cannot_be_used_is_an_error(make_delivery, tmp_path, settings, text, mode, words):
    secret = tmp_path / "relay-auth"
    if text is not None:
        secret.write_text(text)
        secret.chmod(mode)
    site = make_delivery({"d.example": ["mailto:a@m.example"]})
    site.set(relay_auth=secret, **settings)
    done = site.run(check=False)
    assert done.returncode == 78
    assert words in done.stderr


def test_required_tls_is_not_given_up(make_delivery, smtp_sink):
    site = make_delivery({"d.example": ["mailto:a@m.example"]}, relay_tls="require")
    site.run()
    assert states(site) == {"due": 1} and not smtp_sink.mails


# ---- when a run ends ---------------------------------------------------------------------------------------

def test_flush_tries_what_is_due_later(make_delivery, smtp_sink):
    smtp_sink.answers["DATA"] = ["451 4.3.0 not now"]
    site = make_delivery({"d.example": ["mailto:a@m.example"]})
    site.run()
    site.run()
    assert not smtp_sink.mails
    site.run("--flush")
    assert len(smtp_sink.mails) == 1
    site.run("--flush")
    assert len(smtp_sink.mails) == 1


def test_run_limit_leaves_the_rest_for_the_next_run(make_delivery):
    with SmtpFaulty({"dot": lambda connection: connection.server.over.wait(0.05) or "250 2.0.0 taken"}) as relay:
        site = make_delivery({f"d{n}.example": [f"mailto:r{m}@d{n}.example" for m in range(8)] for n in range(80)},
                             relay=f"127.0.0.1:{relay.port}", run_limit=1)
        done = site.run()
        assert 0 < len(relay.accepted) < 640
        assert "the run's time was up" in done.stderr
        site.set(run_limit="10min")
        relay.faults.clear()
        site.run()
        assert len(set(relay.accepted)) == len(relay.accepted) == 640


@pytest.fixture
def start(make_delivery):
    """start(site, *arguments): a run in the background that is gone at the end."""
    processes = []
    def begin(site, *arguments):
        processes.append(subprocess.Popen(site.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.PIPE, text=True, env=site.environment))
        return processes[-1]
    yield begin
    for process in processes:
        servers.end_process(process)
        process.stderr.close()


def is_due_again(site, attempts):
    try:
        return tries(site) == [attempts] and states(site) == {"due": 1}
    except sqlite3.OperationalError:  # the ledger is being made
        return False


def test_linger_stays_until_all_is_delivered(make_delivery, smtp_sink, start):
    smtp_sink.answers["DATA"] = ["451 4.3.0 not now"] * 2
    site = make_delivery({"d.example": ["mailto:a@m.example"]})
    run = start(site, "--linger")
    servers.wait_until(lambda: is_due_again(site, 1), "the first try")
    assert run.poll() is None
    assert site.run().returncode == 0  # a second run says that the first is at work
    site.set_time(f"{NEXT_DAY}T00:30:00Z")
    servers.wait_until(lambda: is_due_again(site, 2), "the second try")
    site.set_time(f"{NEXT_DAY}T01:30:00Z")
    assert run.wait(20) == 0
    assert len(smtp_sink.mails) == 1
    assert states(site) == {"delivered": 1}


def test_linger_ends_when_the_last_delivery_has_expired(make_delivery, smtp_sink, start):
    smtp_sink.answers["DATA"] = "451 4.3.0 never"
    site = make_delivery({"d.example": ["mailto:a@m.example"]})
    run = start(site, "--linger")
    for attempt, hours in enumerate((1, 2, 4, 7, 12, 22, 25), 1):  # each past the longest pause of that attempt
        servers.wait_until(lambda: is_due_again(site, attempt), "another try")
        moment = lib.datetime.datetime(2026, 3, 15, 0, 5) + lib.datetime.timedelta(hours=hours)
        site.set_time(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert run.wait(20) == 0
    assert states(site) == {"expired": 1}


def test_linger_takes_up_the_day_whose_cron_line_it_kept_out(make_delivery, smtp_sink, start):
    """A mailbox fails for a day and more; the next day's reports, due when the first day's time is up, go out all the same."""
    smtp_sink.answers["down@m.example"] = "451 4.3.0 never"
    site = make_delivery({"d.example": ["mailto:down@m.example"]}, min_delay="3h")
    run = start(site, "--linger")
    servers.wait_until(lambda: is_due_again(site, 0), "the report")
    for attempt, hour in enumerate((3, 4, 5, 23), 1):
        site.set_time(f"{NEXT_DAY}T{hour:02}:20:00Z")
        servers.wait_until(lambda: is_due_again(site, attempt), "another try")
    smtp_sink.answers.clear()
    smtp_sink.answers["DATA"] = "451 4.3.0 never"
    site.collect([datagram("d.example")])
    site.pass_day("2026-03-16T00:20:00Z")  # before the fifth try is due: its run finds the day complete
    site.set_time("2026-03-16T01:50:00Z")
    servers.wait_until(lambda: states(site) == {"due": 2} and 5 in tries(site), "the next day's report")
    smtp_sink.answers.clear()
    site.set_time("2026-03-16T03:10:00Z")
    assert run.wait(20) == 0
    assert states(site) == {"delivered": 2}


def test_linger_ends_when_the_clock_is_set_back(make_delivery, smtp_sink, start):
    smtp_sink.answers["DATA"] = "451 4.3.0 never"
    site = make_delivery({"d.example": ["mailto:a@m.example"]})
    run = start(site, "--linger")
    servers.wait_until(lambda: is_due_again(site, 1), "the first try")
    site.set_time("2025-03-15T00:05:00Z")
    assert run.wait(20) == 0


def test_sigterm_finishes_what_is_being_sent_and_leaves_the_rest_due(make_delivery, https_server, start):
    ruas = {f"d{n}.example": [url(https_server, f"/{n}")] for n in range(20)}
    site = make_delivery(ruas, https_allow=["127.0.0.0/8", f":{https_server.port}"])
    https_server.gate.clear()
    run = start(site, "--linger")
    servers.wait_until(lambda: https_server.requests, "the first post")
    run.send_signal(signal.SIGTERM)
    https_server.gate.set()
    assert run.wait(30) == 0
    begun = len(https_server.requests)
    assert begun < 20
    assert states(site) == {"delivered": begun, "due": 20 - begun}
    assert "deliveries_recovered" not in [event["event"] for event in events(site.run())]
    assert states(site) == {"delivered": 20}
    assert len(https_server.requests) == 20


def test_sigterm_finishes_the_mail_that_is_being_sent(make_delivery, start):
    is_sending, may_go_on = threading.Event(), threading.Event()
    def body(_connection):
        is_sending.set()
        may_go_on.wait(30)
    with SmtpFaulty({"body": body}) as relay:
        site = make_delivery({"d.example": ["mailto:a@m.example"]}, relay=f"127.0.0.1:{relay.port}")
        run = start(site)
        assert is_sending.wait(20)
        for child in pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)  # a service manager signals the worker too
        run.send_signal(signal.SIGTERM)
        may_go_on.set()
        assert run.wait(30) == 0
        assert len(relay.accepted) == 1
    assert states(site) == {"delivered": 1}


def test_sigterm_ends_a_run_that_lingers(make_delivery, smtp_sink, start):
    smtp_sink.answers["DATA"] = "451 4.3.0 never"
    site = make_delivery({"d.example": ["mailto:a@m.example"]})
    run = start(site, "--linger")
    servers.wait_until(lambda: is_due_again(site, 1), "the first try")
    run.send_signal(signal.SIGTERM)
    assert run.wait(20) == 0
    assert states(site) == {"due": 1}


def test_a_mail_whose_worker_dies_is_in_doubt_and_not_sent_again_at_once(make_delivery, start):
    dots, runs = [], []
    def dot(connection):
        dots.append(1)
        for child in pathlib.Path(f"/proc/{runs[0].pid}/task/{runs[0].pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        connection.drop()
    with SmtpFaulty({"dot": dot}) as relay:
        site = make_delivery({"d.example": ["mailto:a@m.example"]}, relay=f"127.0.0.1:{relay.port}")
        runs.append(start(site))
        assert runs[0].wait(60) == 0
    assert len(dots) == 1 and is_due_again(site, 1)


def test_without_its_worker_mail_waits_and_https_is_delivered(make_delivery, authority, tmp_path):
    with HttpsFaulty(authority.server().server_context()) as good:
        site = make_delivery({"a.example": ["mailto:x@m.example"], "b.example": [url(good)]},
                             https_allow=["127.0.0.0/8", f":{good.port}"])
        alone = tmp_path / "tlsrpt-gen"
        alone.write_bytes(site.programs.generate.read_bytes())
        alone.chmod(0o755)
        done = subprocess.run([alone, *site.command()[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              env=site.environment, check=False)
    if "tlsrpt-gen-smtp is neither" not in done.stderr:
        pytest.skip("a tlsrpt-gen-smtp is installed")
    assert done.returncode != 0
    assert states(site) == {"due": 1, "delivered": 1} and tries(site).count(0) == 1


def test_linger_with_nothing_to_do_ends_at_once(make_site, nsd):
    site = make_site(resolver=nsd.address)
    assert site.run("--linger").returncode == 0


def test_linger_waits_for_a_record_that_cannot_be_read(make_delivery, smtp_sink, nsd, start):
    site = make_delivery({"d.example": ["mailto:a@m.example"]})
    nsd.stop()
    run = start(site, "--linger")
    servers.wait_until(lambda: waiting(site), "the domain to wait", 30)
    assert run.poll() is None
    nsd.start()
    site.set(resolver=nsd.address)
    run.terminate()
    site.run()
    assert waiting(site) == 1  # not asked for again so soon
    site.set_time(f"{NEXT_DAY}T00:20:10Z")
    assert start(site, "--linger").wait(20) == 0
    assert len(smtp_sink.mails) == 1


def test_flush_asks_for_a_record_again_at_once(make_delivery, smtp_sink, nsd):
    site = make_delivery({"d.example": ["mailto:a@m.example"]})
    nsd.stop()
    site.run()
    assert waiting(site) == 1
    nsd.start()
    site.set(resolver=nsd.address)
    site.run("--flush")
    assert len(smtp_sink.mails) == 1


def waiting(site):
    try:
        with open_ledger(site) as ledger:
            return ledger.execute("SELECT count(*) FROM waiting").fetchone()[0]
    except sqlite3.OperationalError:  # the ledger is being made
        return 0


# ---- addresses that a stranger may not send us to -----------------------------------------------------------

HOSTILE = ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254", "192.168.1.1", "[fd00::1]", "100.64.0.1",
           "0.0.0.0", "[fe80::1]", "224.0.0.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "inside.example"]


def test_no_record_makes_us_connect_inside(make_delivery, authority, nsd):
    with HttpsFaulty(authority.server().server_context()) as server:
        ruas = {f"d{n}.example": [f"https://{host}:{server.port}/"] for n, host in enumerate(HOSTILE)}
        site = make_delivery(ruas, lines=["inside.example. A 127.0.0.1", "inside.example. AAAA ::1"],
                             https_allow=f":{server.port}")
        site.run()
        assert server.connections == 0
        assert states(site) == {"given up": len(HOSTILE)}


@pytest.mark.parametrize("kind", ["https", "mailto"])
def test_a_name_that_changes_between_look_ups_cannot_lead_us_inside(make_site, authority, kind):
    """First an allowed address where nobody listens, then the forbidden one: what was checked is connected to."""
    context = authority.server().server_context()
    with HttpsFaulty(context) if kind == "https" else SmtpFaulty() as inside:
        rua = f"https://moving.example:{inside.port}/" if kind == "https" else "mailto:tls@moving.example"
        answers = {("_smtp._tls.d.example", "TXT"): [f'_smtp._tls.d.example. TXT "v=TLSRPTv1; rua={rua}"'],
                   ("moving.example", "MX"): ["moving.example. MX 0 moving.example."],
                   ("moving.example", "A"): (["moving.example. A 127.0.0.2"], ["moving.example. A 127.0.0.1"]),
                   ("moving.example", "AAAA"): []}
        with DnsStub(answers) as dns:
            site = make_site(resolver=dns.address, smtp_mode="direct", smtp_port=inside.port, smtp_allow="127.0.0.2",
                             https_allow=["127.0.0.2", f":{inside.port}"], ehlo_name="sender.example")
            site.collect([datagram("d.example")])
            site.pass_day(f"{NEXT_DAY}T00:05:00Z")
            site.run()
            assert dns.queries.count(("udp", "moving.example", "A")) == 1
            assert states(site) == {"due": 1}
            site.set_time(f"{NEXT_DAY}T00:30:00Z")
            site.run()
            assert states(site) == {"given up": 1}
            assert inside.connections == 0


# ---- what the operator wants -------------------------------------------------------------------------------

def test_rules_decide_who_gets_a_report(make_delivery, smtp_sink, nsd):
    ruas = {f"{name}.example": [f"mailto:tls@{name}.example"] for name in ("wanted", "never", "off", "other")}
    site = make_delivery(ruas, never="never.example", send_except="off.example:off", only="*.example")
    rows = site.preview("--day", DAY)
    assert {domain: row.get("skipped") for domain, row in rows.items()} == {
        "wanted.example": None, "other.example": None, "never.example": "the settings say never",
        "off.example": "the settings say that nothing is sent"}
    site.run()
    assert sorted(mail.recipients[0] for mail in smtp_sink.mails) == ["tls@other.example", "tls@wanted.example"]


def test_send_failures_and_min_sessions(make_delivery, smtp_sink):
    site = make_delivery({"failed.example": ["mailto:a@m.example"]}, send="failures", min_sessions=2)
    assert site.preview("--day", DAY)["failed.example"]["skipped"] == "fewer sessions than min_sessions"
    site.set(min_sessions=1)
    site.run()
    assert len(smtp_sink.mails) == 1
    site.collect([datagram("failed.example", failed=0)] * 9)
    site.pass_day("2026-03-16T00:05:00Z")
    site.run()
    assert len(smtp_sink.mails) == 1


def test_suppress_file_leaves_destinations_alone(make_delivery, smtp_sink, authority, tmp_path):
    file = tmp_path / "suppress"
    file.write_text("gone@m.example\n*.spam.example # a comment\nlocalhost\n")
    with HttpsFaulty(authority.server().server_context()) as server:
        site = make_delivery({"d1.example": ["mailto:gone@m.example", "mailto:here@m.example", url(server)],
                              "d2.example": ["mailto:a@x.spam.example"]}, suppress=file,
                             https_allow=["127.0.0.0/8", f":{server.port}"])
        assert site.preview("--day", DAY)["d2.example"]["skipped"] == "every destination is suppressed"
        site.run()
        assert [mail.recipients for mail in smtp_sink.mails] == [["here@m.example"]]
        assert server.connections == 0
    file.write_text("fine.example\nnot a domain\n")
    done = site.run(check=False)
    assert done.returncode == 78 and f"{file}:2:" in done.stderr


def test_bcc_copies_the_mails_once(make_delivery, smtp_sink):
    smtp_sink.answers["a@m.example"] = ["451 4.3.0 not now"]
    site = make_delivery({"d1.example": ["mailto:a@m.example", "mailto:b@m.example"]}, bcc="copies@reports.seaport.example")
    site.run()
    site.set_time(f"{NEXT_DAY}T00:30:00Z")
    site.run()
    by_recipient = collections.defaultdict(list)
    for mail in smtp_sink.mails:
        by_recipient[mail.recipients[0]].append(mail.data)
    copies = by_recipient.pop("copies@reports.seaport.example")
    assert sorted(copies) == sorted(data for came in by_recipient.values() for data in came)
    assert len(copies) == 2


def test_a_copy_that_is_refused_costs_nothing_else(make_delivery, smtp_sink):
    smtp_sink.answers["copies@reports.seaport.example"] = "550 5.1.1 no such user"
    site = make_delivery({"d1.example": ["mailto:a@m.example"]}, bcc="copies@reports.seaport.example")
    log = events(site.run())
    assert states(site) == {"delivered": 1}
    assert [event["rua"] for event in log if event["event"] == "copy_failed"] == ["a@m.example"]


def test_unsuppress_lets_a_mailbox_get_reports_again(make_delivery, smtp_sink):
    smtp_sink.answers["gone@m.example"] = ["550 5.1.1 no such user"]
    site = make_delivery({"d1.example": ["mailto:gone@m.example"]})
    site.run()
    assert site.run("unsuppress", "other@m.example", check=False).returncode == 66
    assert site.run("unsuppress", "gone@m.example").stdout == "gone@m.example may get reports again\n"
    site.collect([datagram("d1.example")])
    site.pass_day("2026-03-16T00:05:00Z")
    site.run()
    assert len(smtp_sink.mails) == 1
    assert site.run("unsuppress", check=False).returncode == 64
