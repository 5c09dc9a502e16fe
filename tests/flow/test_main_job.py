# SPDX-License-Identifier: MIT
"""The main job, end to end: datagrams of a real Postfix become reports in the mailbox and at the URL."""
import csv
import json
import re
import subprocess

import pytest

import programs as lib
import reports
import servers

DAY, NEXT_DAY = "2026-03-14", "2026-03-15"
WORKED = {1: "harbour.example", 2: "lantern.example", 3: "quay.example"}
POSTFIX = lib.DATA / "mta" / "postfix-3.10"


def worked_datagrams(number):
    return lib.read_datagrams(lib.DATA / "worked" / f"{number}.datagrams.ndjson")


def worked_report(number):
    return json.loads((lib.DATA / "worked" / f"{number}.report.json").read_text())


def record_of(lines):
    """The record that the MTA saw, from its datagram."""
    return json.loads(lines[0])["pr"]


@pytest.fixture
def make_delivery(make_site, nsd, smtp_sink, https_server, authority):
    """A Site that delivers to the sink and the HTTPS server; records: domain -> TXT record."""
    def make(records, **settings):
        nsd.txt = {f"_smtp._tls.{domain}": text for domain, text in records.items()}
        nsd.lines = ["localhost. A 127.0.0.1"]
        nsd.reload()
        return make_site(resolver=nsd.address, relay=smtp_sink.address, https_ca_file=authority.ca_file,
                         https_allow=["127.0.0.0/8", f":{https_server.port}"], **settings)
    return make


# ---- the worked examples -----------------------------------------------------------------------------------

@pytest.mark.parametrize("number", WORKED)
def test_worked_example_previews_as_its_report(make_delivery, number):
    lines = worked_datagrams(number)
    site = make_delivery({WORKED[number]: record_of(lines)})
    site.collect(lines)
    row = site.preview("--day", DAY)[WORKED[number]]
    assert row["day"] == DAY
    assert reports.canonical(row["report"]) == reports.canonical(worked_report(number))
    assert list(row) == ["day", "domain", "rua", "report"]


@pytest.mark.parametrize("number", WORKED)
def test_worked_example_arrives_as_its_report(make_delivery, smtp_sink, number):
    domain = WORKED[number]
    site = make_delivery({domain: f"v=TLSRPTv1; rua=mailto:tls@{domain}"})
    site.collect(worked_datagrams(number))
    site.pass_day(f"{NEXT_DAY}T00:05:00Z")
    site.run()
    assert [mail.recipients for mail in smtp_sink.mails] == [[f"tls@{domain}"]]
    got = reports.from_mail(smtp_sink.mails[0])
    want = worked_report(number)
    assert reports.canonical(got.report) == reports.canonical(want)
    assert got.filename == f"reports.seaport.example!{domain}!1773446400!1773532799.json.gz"
    assert got.message["Subject"] == \
        f"Report Domain: {domain} Submitter: reports.seaport.example Report-ID: <{want['report-id']}>"
    assert got.message["TLS-Report-Domain"] == domain
    assert got.message["TLS-Required"] == "No"


# ---- what a real Postfix 3.10 wrote ------------------------------------------------------------------------

def expected_of_postfix():
    """(domain, type, policy domain) -> [ok, failed, {(result, reason): count}] of the table, folded to lower case."""
    wanted, silent = {}, []
    with open(lib.DATA / "mta" / "expected-postfix-3.10.tsv", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            if row["result"] == "nothing-sent":
                silent.append(row["scenario"])
                continue
            key = (row["domain"].lower(), row["policy-type"], row["policy-domain"].lower())
            entry = wanted.setdefault(key, [0, 0, {}])
            entry[0] += int(row["success"])
            entry[1] += int(row["failure"])
            if row["result"] != "success":
                detail = (row["result"], row["reason"] if row["reason"] != "-" else None)
                entry[2][detail] = entry[2].get(detail, 0) + int(row["failure"])
    return wanted, silent


def summary_of(rows):
    """The same from --dry-run's reports."""
    found = {}
    for domain, row in rows.items():
        for policy in row["report"]["policies"]:
            details = {}
            for detail in policy.get("failure-details", []):
                key = (detail["result-type"], detail.get("failure-reason-code"))
                details[key] = details.get(key, 0) + detail["failed-session-count"]
            key = (domain, policy["policy"]["policy-type"], policy["policy"]["policy-domain"])
            assert key not in found, f"{key} has two entries"
            found[key] = [policy["summary"]["total-successful-session-count"],
                          policy["summary"]["total-failure-session-count"], details]
    return found


def test_every_postfix_scenario_gives_the_table(make_delivery):
    wanted, silent = expected_of_postfix()
    files = sorted(POSTFIX.glob("*.datagrams"))
    with open(lib.DATA / "mta" / "expected-postfix-3.10.tsv", newline="") as table:
        assert {row["scenario"] for row in csv.DictReader(table, delimiter="\t")} == {file.stem for file in files}
    for name in silent:
        assert (POSTFIX / f"{name}.datagrams").read_bytes() == b""
    domains = {domain for domain, _, _ in wanted}
    site = make_delivery({domain: f"v=TLSRPTv1; rua=mailto:tls@{domain}" for domain in domains})
    site.collect(line for file in files for line in lib.read_datagrams(file))
    found = summary_of(site.preview("--day", DAY))
    assert found == wanted


# ---- TXT records -------------------------------------------------------------------------------------------

RECORD_CASES = json.loads((lib.DATA / "tlsrpt-records.json").read_text())["cases"]


@pytest.mark.parametrize("case", RECORD_CASES, ids=lambda case: str(case["id"]))
def test_explain_record(run_generator, case):
    arguments = [part for rr in case["txt"] for part in ("--record", "".join(rr))]
    done = run_generator("explain", "--format", "json", *arguments)
    assert done.stderr == ""
    got = json.loads(done.stdout)
    assert list(got)[:3] == ["rua", "error", "warnings"]
    assert (got["rua"], got["error"], len(got["warnings"])) == (case["rua"], case["error"], case["warnings"])


# ---- delivery ----------------------------------------------------------------------------------------------

def both_ways(https_server):
    return {"lantern.example": f"v=TLSRPTv1;rua=https://localhost:{https_server.port}/in,mailto:tls@lantern.example;"}


@pytest.fixture
def due_site(make_delivery, https_server):
    """A Site where the report of lantern.example, for one mailbox and one URL, is due."""
    site = make_delivery(both_ways(https_server))
    site.collect(worked_datagrams(2))
    site.pass_day(f"{NEXT_DAY}T00:05:00Z")
    return site


def test_both_destinations_receive_and_a_second_run_sends_nothing(due_site, smtp_sink, https_server):
    due_site.run()
    assert [mail.recipients for mail in smtp_sink.mails] == [["tls@lantern.example"]]
    assert [(request.method, request.path) for request in https_server.requests] == [("POST", "/in")]
    request = https_server.requests[0]
    assert request.headers["content-type"] == "application/tlsrpt+gzip"
    assert "content-encoding" not in request.headers
    mailed, posted = reports.from_mail(smtp_sink.mails[0]), reports.from_request(request)
    assert mailed.text == posted.text
    assert reports.canonical(posted.report) == reports.canonical(worked_report(2))

    due_site.run()
    due_site.set_time(f"{NEXT_DAY}T20:00:00Z")
    due_site.run()
    assert len(smtp_sink.mails) == len(smtp_sink.attempts) == 1
    assert len(https_server.requests) == 1


@pytest.mark.parametrize("stage", ["DATA", "tls@lantern.example"])
def test_what_is_refused_for_the_moment_stays_due_and_arrives_unchanged(due_site, smtp_sink, https_server, stage):
    smtp_sink.answers[stage] = ["451 4.3.0 try again later"]
    https_server.statuses["/in"] = [500]
    due_site.run()
    assert smtp_sink.mails == []
    assert smtp_sink.attempts == ["tls@lantern.example"]
    first = reports.from_request(https_server.requests[0])

    due_site.set_time(f"{NEXT_DAY}T00:10:00Z")  # too soon: the first pause is 15 minutes, less 20 %
    due_site.run()
    assert len(smtp_sink.attempts) == len(https_server.requests) == 1

    due_site.set_time(f"{NEXT_DAY}T00:25:00Z")
    due_site.run()
    assert len(smtp_sink.mails) == 1
    assert len(https_server.requests) == 2
    assert https_server.requests[1].body == https_server.requests[0].body
    mailed = reports.from_mail(smtp_sink.mails[0])
    assert mailed.report["report-id"] == first.report["report-id"]
    if stage == "DATA":
        assert [mail.data for mail in smtp_sink.refused] == [smtp_sink.mails[0].data]
        assert mailed.message["Message-ID"] is not None

    due_site.set_time(f"{NEXT_DAY}T20:00:00Z")
    due_site.run()
    assert len(smtp_sink.mails) == 1
    assert len(https_server.requests) == 2


def test_one_destination_down_does_not_hold_the_other(due_site, smtp_sink, https_server):
    https_server.status = 503
    due_site.run()
    assert len(smtp_sink.mails) == 1
    https_server.status = 201
    due_site.set_time(f"{NEXT_DAY}T00:25:00Z")
    due_site.run()
    assert len(smtp_sink.mails) == 1
    assert [reports.from_request(request).text for request in https_server.requests] == \
        [reports.from_mail(smtp_sink.mails[0]).text] * 2


def test_of_two_concurrent_runs_one_works_and_the_other_says_so(due_site, smtp_sink, https_server):
    https_server.gate.clear()
    with subprocess.Popen(due_site.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=due_site.environment) as first:
        try:
            servers.wait_until(lambda: https_server.requests, "the first run to post")
            second = due_site.run()
            assert "another" in second.stdout + second.stderr
        finally:
            https_server.gate.set()
        assert first.wait(30) == 0
    assert len(smtp_sink.mails) == 1
    assert len(https_server.requests) == 1


def test_nothing_collected_is_a_quiet_success(make_delivery, smtp_sink):
    site = make_delivery({})
    assert site.run().returncode == 0
    site.start_collector()
    site.stop_collector()
    done = site.run()
    assert "error" not in (done.stdout + done.stderr).lower()
    assert site.run("--dry-run").returncode == 0
    assert smtp_sink.attempts == []


def test_dry_run_changes_and_sends_nothing(due_site, smtp_sink, https_server):
    before = {path.name: path.read_bytes() for path in due_site.state.iterdir()}
    for form in ("table", "json", "mail"):
        for day in ([], ["--day", DAY], ["--day", "yesterday"]):
            shown = due_site.run("--dry-run", "--format", form, *day).stdout
            assert "lantern.example" in shown
    assert {path.name: path.read_bytes() for path in due_site.state.iterdir() if path.name in before} == before
    assert not (due_site.state / "reports.db").exists() or "reports.db" in before
    assert smtp_sink.attempts == https_server.requests == []


def test_dry_run_lists_who_gets_no_report_and_why(make_delivery, nsd):
    site = make_delivery({"harbour.example": "v=TLSRPTv1; rua=mailto:tls@harbour.example",
                          "quay.example": "v=TLSRPTv1; rua=ftp://quay.example/x"})
    site.collect(worked_datagrams(1) + worked_datagrams(3))
    rows = site.preview("--day", "today")
    assert rows["harbour.example"]["rua"] == ["mailto:tls@harbour.example"]
    assert rows["quay.example"]["skipped"]
    assert "report" not in rows["quay.example"]
    assert list(site.preview("--day", "today", "--domain", "quay.example")) == ["quay.example"]


# ---- malformed datagrams -----------------------------------------------------------------------------------

GOOD = json.dumps({"dpv": "1", "d": "harbour.example", "pr": "v=TLSRPTv1; rua=mailto:tls@harbour.example",
                   "policies": [{"policy-type": 9, "policy-domain": "harbour.example", "t": 0, "f": 0}]}).encode()

MALFORMED = {
    "empty": b"",
    "not JSON": b"status=success domain=harbour.example",
    "wrong dpv": GOOD.replace(b'"dpv": "1"', b'"dpv": "seven"'),
    "no d": GOOD.replace(b'"d": "harbour.example", ', b""),
    "policies not an array": GOOD.replace(b"[{", b"{").replace(b"}]", b"}"),
    "200 KB of garbage": bytes(range(1, 256)) * (200 * 1024 // 255),
    "1,000 levels deep": GOOD.replace(b"[{", b"[" * 1000 + b"{").replace(b"}]", b"}" + b"]" * 1000),
}


def counted(site, *names):
    counters = site.counters()
    return [counters.get(name, 0) for name in names]


def successes(site, domain="harbour.example"):
    policies = site.preview("--day", DAY)[domain]["report"]["policies"]
    return sum(policy["summary"]["total-successful-session-count"] for policy in policies)


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_datagram_is_counted_and_logged_once_and_the_next_is_stored(make_delivery, what):
    site = make_delivery({"harbour.example": "v=TLSRPTv1; rua=mailto:tls@harbour.example"})
    site.collect([MALFORMED[what], GOOD])
    logged = site.collector_events("datagram_malformed")
    assert len(logged) == 1
    assert logged[0]["bytes"] == str(len(MALFORMED[what]))
    assert logged[0]["reason"]
    assert counted(site, "received", "stored", "malformed") == [2, 1, 1]
    assert successes(site) == 1


def test_invalid_utf8_is_repaired_counted_and_stored(make_delivery):
    site = make_delivery({"harbour.example": "v=TLSRPTv1; rua=mailto:tls@harbour.example"})
    broken = GOOD.replace(b'"t": 0, "f": 0', b'"failure-details": [{"c": 205, "s": "192.0.2.10", "n": "mx1.harbour.example", '
                          b'"h": "mx1.harbour.example", "r": "198.51.100.25", "f": "bad \xff\xc3( text"}], "t": 1, "f": 1')
    site.collect([broken, GOOD])
    assert counted(site, "received", "stored", "malformed", "repaired") == [2, 2, 0, 1]
    report = site.preview("--day", DAY)["harbour.example"]["report"]
    detail = report["policies"][0]["failure-details"][0]
    assert detail["failure-reason-code"] == "bad \ufffd\ufffd( text"
    assert successes(site) == 1


# ---- configuration -----------------------------------------------------------------------------------------

# what is wrong, lines of the file, line number (0: none), key, a word of the mend
CONFIG_FAULTS = [
    ("an unknown key", ["organisation = X"], 1, "organisation", "organization_name|unknown"),
    ("no equals sign", ["relay localhost:25"], 1, "relay", "="),
    ("a key twice", ["spread = 1h", "spread = 2h"], 2, "spread", "line 1|:1|twice|already"),
    ("a duration without a known unit", ["# comment", "", "min_delay = 5 fortnights"], 3, "min_delay", "min"),
    ("a duration that is too long", ["min_delay = 3d"], 1, "min_delay", "24h|86400|1d|between|most"),
    ("a negative duration", ["spread = -1"], 1, "spread", "s, min|0|between"),
    ("a number out of range", ["max_age_days = 0"], 1, "max_age_days", "1"),
    ("a number that is none", ["max_age_days = three"], 1, "max_age_days", "number"),
    ("permissions that are not octal", ["socket_mode = 0999"], 1, "socket_mode", "octal|0[0-7]{3}"),
    ("a contact that is no address", ["contact_info = Seaport"], 1, "contact_info", "@"),
    ("a contact with a display name", ["contact_info = Team <a@b.example>"], 1, "contact_info", "@|plain|brackets"),
    ("a relative path", ["state_dir = state"], 1, "state_dir", "/"),
    ("a relay with an IPv6 address", ["relay = [::1]:25"], 1, "relay", "host name"),
    ("a relay with a bad port", ["relay = localhost:99999"], 1, "relay", "HOST:PORT|port"),
    ("a resolver that is a name", ["resolver = dns.example"], 1, "resolver", "ADDRESS"),
    ("a network with host bits", ["https_allow = 10.1.2.3/8"], 1, "https_allow", "/"),
    ("a socket path too long for the kernel", ["socket = /" + "x" * 120], 1, "socket", "107"),
    ("a fault in a continued line", ["https_allow = 127.0.0.0/8,", "  nonsense"], "1|2", "https_allow", ":8443|network"),
]


def check_fault(done, place, key, mend):
    assert done.returncode == 78, done.stderr
    assert done.stdout == ""
    assert re.search(place, done.stderr), done.stderr
    assert key in done.stderr
    assert re.search(mend, done.stderr), done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("what, lines, number, key, mend", CONFIG_FAULTS, ids=[row[0] for row in CONFIG_FAULTS])
def test_configuration_fault_names_file_line_key_and_mend(run_generator, tmp_path, what, lines, number, key, mend):
    path = tmp_path / "wrong.conf"
    path.write_text("\n".join(lines) + "\n")
    done = run_generator("-c", path)
    check_fault(done, rf"{re.escape(str(path))}:({number})\b", key, mend)


@pytest.mark.parametrize("key", ["organization_name", "contact_info"])
def test_missing_identity_is_refused(run_generator, make_config, key):
    path = make_config(**{key: None})
    done = run_generator("-c", path)
    check_fault(done, re.escape(str(path)), key, f"{key} = ")


@pytest.mark.parametrize("arguments", [[], ["--dry-run"], ["--dry-run", "--format", "json", "--day", "2026-03-14"]])
def test_an_identity_that_is_not_set_is_waited_for(make_delivery, arguments):
    site = make_delivery({WORKED[1]: record_of(worked_datagrams(1))})
    site.collect(worked_datagrams(1))
    site.set(contact_info=None)
    done = site.run("--if-configured", *arguments)
    assert not done.stdout
    assert [event["event"] for event in lib.parse_log(done.stderr)] == ["not_configured"]


def test_a_state_folder_that_cannot_be_looked_into_is_not_an_empty_one(run_generator, make_config):
    path = make_config()
    done = run_generator("-c", path, "-o", f"state_dir={path}/below-a-file", "--dry-run")
    assert done.returncode == 78 and "state_dir: " in done.stderr and "is not a folder" in done.stderr


@pytest.mark.parametrize("override, key", [("relay=[::1]:25", "relay"), ("no_such=1", "no_such"), ("spread", "spread")])
def test_override_fault_names_the_command_line(run_generator, make_config, override, key):
    done = run_generator("-c", make_config(), "-o", override)
    check_fault(done, "-o", key, ".")


def test_override_wins_and_show_config_says_where_each_value_comes_from(run_generator, make_config):
    path = make_config(spread="1h", max_age_days=5)
    done = run_generator("-c", path, "-o", "spread=2h", "--show-config")
    assert done.returncode == 0
    rows = dict(re.findall(r"^(\w+) = (.*)$", done.stdout, re.M))
    assert re.match(r"2h\s+# -o$", rows["spread"])
    assert re.match(rf"5\s+# {re.escape(str(path))}:\d+$", rows["max_age_days"])
    assert re.match(r"10min\s+# default$", rows["min_delay"])


def test_collector_refuses_a_wrong_configuration_too(programs, tmp_path):
    path = tmp_path / "wrong.conf"
    path.write_text("socket_mode = 0999\n")
    done = subprocess.run([programs.collect, "-c", path], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=lib.RUN_S, check=False)
    assert done.returncode == 78
    assert f"{path}:1" in done.stderr


@pytest.mark.parametrize("arguments", [["--no-such"], ["--day", "2026-02-30", "--dry-run"], ["frobnicate"],
                                       ["--dry-run", "--format", "yaml"]])
def test_wrong_words_on_the_command_line(run_generator, make_config, arguments):
    done = run_generator("-c", make_config(), *arguments)
    assert done.returncode == 64
    assert done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--show-config"], ["status"], ["--dry-run"]])
def test_output_that_cannot_be_written_is_an_error(make_delivery, arguments):
    site = make_delivery({WORKED[1]: record_of(worked_datagrams(1))})
    site.collect(worked_datagrams(1))
    site.pass_day(NEXT_DAY)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(site.command(*arguments), stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=lib.RUN_S, env=site.environment, check=False)
    assert done.returncode == 74 and "standard output" in done.stderr
