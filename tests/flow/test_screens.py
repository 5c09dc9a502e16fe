# SPDX-License-Identifier: MIT
"""--dry-run, status and show DOMAIN on a day of thirty domains, as golden files; colours, widths, reasons."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import screens
import servers
import thirty
from programs import Programs, Site

NEXT_DAY = "2026-03-15T00:05:00Z"
ANSWERS = {"tls@quay.example": "550 5.1.1 no such user", "tls@dock.example": "451 4.7.1 try again later, please",
           "tls@marina.example": "452 4.2.2 mailbox full"}


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """A Site whose day of thirty domains is over and not reported."""
    folder = tmp_path_factory.mktemp("thirty")
    with servers.Nsd(folder / "nsd", txt=thirty.txt_records(),
                     lines=["*.collector.example. A 127.0.0.1", "tlsrpt.cove.example. A 127.0.0.1"]) as nsd, \
            servers.SmtpSink() as sink, Site(folder / "site", Programs(), resolver=nsd.address,
                                             relay=sink.address) as site:
        site.collect(thirty.datagrams())
        site.pass_day(NEXT_DAY)
        site.start_collector()
        site.sink = sink
        yield site


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The same after a run; some destinations refused."""
    folder = tmp_path_factory.mktemp("reported")
    with servers.Nsd(folder / "nsd", txt=thirty.txt_records(),
                     lines=["*.collector.example. A 127.0.0.1", "tlsrpt.cove.example. A 127.0.0.1"]) as nsd, \
            servers.SmtpSink() as sink, Site(folder / "site", Programs(), resolver=nsd.address,
                                             relay=sink.address) as site:
        sink.answers = dict(ANSWERS)
        site.collect(thirty.datagrams())
        site.pass_day(NEXT_DAY)
        site.start_collector()
        site.run()
        yield site


# ---- golden files ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("columns", screens.WIDTHS)
@pytest.mark.parametrize("name, arguments", [
    ("dry-run", ["--dry-run"]),
    ("dry-run-verbose", ["--dry-run", "-v"]),
    ("dry-run-domain", ["--dry-run", "--domain", "ferry.example"]),
])
def test_dry_run_looks_as_it_should(day, name, arguments, columns):
    text = screens.screen(day, *arguments, columns=columns)
    assert screens.widest(text) <= columns
    screens.compare(name, columns, screens.steady(text))


@pytest.mark.parametrize("columns", screens.WIDTHS)
@pytest.mark.parametrize("name, arguments", [
    ("status", ["status"]),
    ("show-domain", ["show", "dock.example"]),
    ("show-no-report", ["show", "lagoon.example"]),
])
def test_what_became_of_it_looks_as_it_should(reported, name, arguments, columns):
    text = screens.screen(reported, *arguments, columns=columns)
    assert screens.widest(text) <= columns
    screens.compare(name, columns, screens.steady(text))


@pytest.mark.parametrize("columns", screens.WIDTHS)
@pytest.mark.parametrize("name", ["google.eml", "microsoft.json", "mox.json"])
def test_a_strangers_report_looks_as_it_should(day, name, columns):
    text = screens.screen(day, "show", screens.DATA / "foreign_reports" / name, columns=columns, check=False)
    assert screens.widest(text) <= columns
    screens.compare(f"show-{name}", columns, text)


def test_the_readme_shows_these_screens():
    readme = (screens.DATA.parents[1] / "README.md").read_text()
    shown = re.findall(r"<!-- screen (\S+) -->\n\n```\n\$ [^\n]*\n(.*?)```", readme, re.S)
    assert {name for name, _ in shown} == {"dry-run.80.txt", "status.80.txt", "show-google.eml.80.txt", "check.80.txt"}
    for name, text in shown:
        assert screens.steady(text) == screens.steady((screens.GOLDEN / name).read_text()), \
            f"README.md's {name} is not what the program prints"


# ---- the table's rules -------------------------------------------------------------------------------------

def table_rows(text):
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("domain "))
    end = next(i for i, line in enumerate(lines) if line.startswith("───"))
    return [re.split(r" {2,}", line) for line in lines[begin + 1:end]]


def test_rows_are_sorted_by_failures_and_summed_up(day):
    text = screens.screen(day, "--dry-run", columns=200)
    rows = table_rows(text)
    failed = [int(row[2].replace(",", "")) for row in rows]
    assert failed == sorted(failed, reverse=True)
    assert len(rows) == len(thirty.DOMAINS)
    ok = sum(count for _, _, count, _, _ in thirty.DOMAINS)
    bad = sum(sum(kinds.values()) for _, _, _, kinds, _ in thirty.DOMAINS)
    assert "30 domains" in text and f"{ok:,}" in text and f"{bad:,}" in text


def test_colour_is_for_terminals_only(day):
    assert "\033[" not in screens.screen(day, "--dry-run")
    with_color, _ = screens.on_terminal(day, "--dry-run")
    assert "\033[31m" in with_color
    assert "\033[" not in screens.on_terminal(day, "--dry-run", NO_COLOR="1")[0]
    assert "\033[" not in screens.on_terminal(day, "--dry-run", TERM="dumb")[0]
    assert "\033[31m" in screens.on_terminal(day, "--dry-run", NO_COLOR="")[0]
    assert re.sub(r"\033\[[0-9]*m", "", with_color) == screens.screen(day, "--dry-run")


@pytest.mark.parametrize("columns", [60, 100, 220])
def test_the_table_grows_with_the_terminal(day, columns):
    text, _ = screens.on_terminal(day, "--dry-run", columns=columns, NO_COLOR="1")
    assert screens.widest(text) <= columns
    cut = text.count("…")
    assert cut > 0 if columns == 60 else True
    assert cut == 0 if columns == 220 else True


def test_without_utf8_everything_is_ascii(day):
    for command in (["--dry-run"], ["status"], ["show", screens.DATA / "foreign_reports" / "google.eml"]):
        text = screens.on_terminal(day, *command, LC_ALL="C", NO_COLOR="1")[0]
        assert text.isascii()


def test_progress_is_a_line_on_stderr_that_goes_away(tmp_path):
    with servers.Nsd(tmp_path / "nsd", lines=['*.example. TXT "v=TLSRPTv1; rua=mailto:a@b.example"']) as nsd, \
            Site(tmp_path / "site", Programs(), resolver=nsd.address) as site:
        site.collect({"dpv": "1", "d": f"d{i}.example", "policies": [{"policy-type": 9, "t": 0, "f": 0}]}
                     for i in range(10_000))
        _, shown = screens.on_terminal(site, "--dry-run", "--day", "today")
        assert "\r200 of 10,000 domains" in shown and "\r10,000 of 10,000 domains" in shown
        assert shown.endswith("\r\033[K")
        done = site.run("--dry-run", "--day", "today")
        assert done.stderr == "" and "\n10,000 domains" in done.stdout
        few = screens.on_terminal(site, "--dry-run", "--domain", "d1.example", "--day", "today")[1]
        assert few == ""


# ---- nothing to send says why ------------------------------------------------------------------------------

def test_no_outcome_yet(site):
    assert "holds no outcome yet" in site.run("--dry-run").stderr


def test_no_complete_day(site):
    site.collect([{"d": "a.example", "policies": [{"policy-type": 9, "t": 0, "f": 0}]}])
    assert "no UTC day is complete yet; today has 1 domain so far" in site.run("--dry-run").stderr


def test_the_collector_is_behind(site):
    site.collect([{"d": "a.example", "policies": [{"policy-type": 9, "t": 0, "f": 0}]}])
    site.set_time("2026-03-15T00:30:00Z")
    assert "2026-03-14 is over, but the collector has not counted through its end" in site.run("--dry-run").stderr


def test_all_sent(reported):
    said = reported.run("--dry-run").stderr
    assert "all complete days are reported, the last is 2026-03-14" in said


def test_no_such_domain_or_day(day):
    assert "no sessions with no.example on a complete day" in day.run("--dry-run", "--domain", "no.example").stderr
    assert "no sessions on 2026-01-01" in day.run("--dry-run", "--day", "2026-01-01").stderr
    said = day.run("--dry-run", "--domain", "no.example", "--day", "2026-03-14").stderr
    assert "no sessions with no.example on 2026-03-14" in said


def test_nobody_wants_a_report(tmp_path):
    with servers.Nsd(tmp_path / "nsd") as nsd, Site(tmp_path / "site", Programs(), resolver=nsd.address) as site:
        site.collect([{"d": "a.example", "policies": [{"policy-type": 9, "t": 0, "f": 0}]}])
        said = site.run("--dry-run", "--day", "today").stdout
        assert "Nothing to send; 1 domain gets no report: no TLSRPT record (1)" in said


# ---- status ------------------------------------------------------------------------------------------------

def test_status_as_json_says_the_same(reported):
    got = json.loads(reported.run("status", "--format", "json").stdout)
    assert got["collector"]["state"] == "up"
    assert got["collector"]["counters"]["received"] == sum(1 for _ in thirty.datagrams())
    (the_day,) = [row for row in got["days"] if row["day"] == thirty.DAY]
    assert the_day["domains"] == 30 and the_day["closed"] is True
    assert the_day["sessions_ok"] == sum(row[2] for row in thirty.DOMAINS)
    states = the_day["deliveries"]
    assert states == got["totals"]["deliveries"]
    assert states["due"] + states["delivered"] + states["given-up"] + states["suppressed"] == 29
    errors = {row["destination"]: row for row in got["last_errors"]}
    assert "no such user" in errors["quay.example"]["text"] and errors["quay.example"]["next"] is None
    assert errors["dock.example"]["next"] > errors["dock.example"]["at"]
    assert got["oldest_due"] and got["next_attempt"] > got["now"]


def read_metrics(text):
    """name{labels} -> value, checking the textfile conventions on the way."""
    values, types, helps = {}, {}, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert name not in helps and words
            helps[name] = words
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("gauge", "counter") and name in helps
            assert (kind == "counter") == name.endswith("_total")
            types[name] = kind
        else:
            found = re.fullmatch(r'([a-z_]+)(\{(?:outcome|state)="[a-z-]+"\})? (-?\d+)', line)
            assert found and found[1] in types, line
            assert found[1] + (found[2] or "") not in values
            values[found[1] + (found[2] or "")] = int(found[3])
    assert set(types) == set(helps) and text.endswith("\n")
    return values


def test_status_for_prometheus_is_a_textfile(reported, tmp_path):
    output = tmp_path / "tlsrpt.prom"
    output.write_text("old")
    keep = output.open()
    done = reported.run("status", "--format", "prometheus", "--output", output)
    assert done.stdout == ""
    assert keep.read() == "old"  # replaced by rename, not written over
    assert [path.name for path in tmp_path.iterdir()] == ["tlsrpt.prom"]
    assert output.stat().st_mode & 0o777 == 0o644
    values = read_metrics(output.read_text())
    assert values["tlsrpt_gen_collector_up"] == 1
    assert values["tlsrpt_gen_yesterday_domains"] == 30
    assert values['tlsrpt_gen_yesterday_sessions{outcome="failed"}'] == 159
    assert values['tlsrpt_gen_deliveries{state="delivered"}'] > 0
    assert "example" not in output.read_text()


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not here")
def test_promtool_has_nothing_to_say(reported):
    text = reported.run("status", "--format", "prometheus").stdout
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_status_cannot_write_there(reported, tmp_path):
    done = reported.run("status", "--output", tmp_path / "none" / "x", check=False)
    assert done.returncode == 74 and "No such file" in done.stderr


def test_status_without_any_state(site):
    done = site.run("status", check=False)
    assert done.returncode == 66 and "the collector has not run yet" in done.stderr


@pytest.mark.parametrize("missing", ["organization_name", "contact_info"])
def test_status_says_that_nothing_is_sent_until_we_are_known(site, missing):
    site.collect([{"d": "a.example", "policies": [{"policy-type": 9, "t": 0, "f": 0}]}])
    assert "nothing is sent" not in site.run("status").stdout
    assert json.loads(site.run("status", "--format", "json").stdout)["missing_setting"] is None
    assert read_metrics(site.run("status", "--format", "prometheus").stdout)["tlsrpt_gen_configured"] == 1
    site.set(**{missing: None})
    said = screens.screen(site, "status", columns=400)
    assert f"\nwarning     nothing is sent until {missing} is set in {site.config}\n" in said
    assert json.loads(site.run("status", "--format", "json").stdout)["missing_setting"] == missing
    assert read_metrics(site.run("status", "--format", "prometheus").stdout)["tlsrpt_gen_configured"] == 0


def state_of_collector(site, wrapper=()):
    done = subprocess.run([*wrapper, *site.command("status", "--format", "json")], env=site.environment, timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["collector"]["state"]


def test_a_collector_that_began_after_a_pause_is_up(site):
    site.collect([{"d": "a.example", "policies": [{"policy-type": 9, "t": 0, "f": 0}]}])
    site.set_time("2026-03-14T14:00:00Z")
    site.start_collector()
    try:
        assert state_of_collector(site) == "up"
    finally:
        site.stop_collector()


def test_status_sees_a_collector_that_stopped(site):
    site.collect([{"d": "a.example", "policies": [{"policy-type": 9, "t": 0, "f": 0}]}])
    assert state_of_collector(site) == "silent"  # at once
    site.set_time("2026-03-14T13:00:00Z")
    assert "not running" in site.run("status").stdout
    values = read_metrics(site.run("status", "--format", "prometheus").stdout)
    assert values["tlsrpt_gen_collector_up"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")
def test_a_fresh_mark_is_up_where_the_lock_cannot_be_seen(site):
    elsewhere = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*elsewhere, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this container makes no PID namespaces")
    site.start_collector()
    try:
        assert state_of_collector(site, wrapper=elsewhere) == "up"
    finally:
        site.stop_collector()
    assert state_of_collector(site) == "silent"
    site.set_time("2026-03-14T12:01:00Z")
    assert state_of_collector(site, wrapper=elsewhere) == "silent"


def test_status_sees_a_collector_that_hangs(collector):
    collector.freeze_collector()
    collector.set_time("2026-03-14T13:00:00Z")
    try:
        assert "runs, but counts nothing; it has counted through 2026-03-14" in collector.run("status").stdout
        assert state_of_collector(collector) == "stuck"
    finally:
        collector.collector.send_signal(signal.SIGCONT)


def test_status_sees_what_waits_in_the_ring(collector):
    collector.send({"d": "a.example", "policies": [{"policy-type": 9, "t": 0, "f": 0}]})
    got = json.loads(collector.run("status", "--format", "json").stdout)
    assert got["collector"]["started"].startswith("2026-03-14T12:00")
    assert got["collector"]["ring"]["capacity_bytes"] > 15 << 20
    collector.stop_collector()
    ring = collector.state / "ring"
    raw = bytearray(ring.read_bytes()[:4096])
    capacity = int.from_bytes(raw[16:24], "little")
    assert got["collector"]["ring"]["capacity_bytes"] == capacity
    assert "ring        0.0 % of 16 MiB wait to be counted" in collector.run("status").stdout


@pytest.mark.parametrize("what, part, words", [
    ("collector up", "collector", None),
    ("collector down", "collector", "the collector is not running"),
    ("no run yet", "generator", "no run of tlsrpt-gen has succeeded yet"),
    ("a run that failed", "generator", "no run of tlsrpt-gen has succeeded yet"),
    ("a run just now", "generator", None),
    ("a run 50 minutes ago", "generator", None),
    ("a run two hours ago", "generator", "no run of tlsrpt-gen has succeeded in the last hour"),
    ("a run in the future", "generator", "no run of tlsrpt-gen has succeeded in the last hour"),
])
def test_status_exits_with_1_if_what_is_required_does_not_work(site, nsd, what, part, words):
    site.set(resolver=nsd.address)
    site.start_collector()
    if what == "collector down":
        site.stop_collector()
    elif what == "a run that failed":
        (site.state / "reports.db").write_text("no database")
        assert site.run(check=False).returncode != 0
        (site.state / "reports.db").unlink()
    elif what.startswith("a run"):
        site.run()
    shift = {"a run 50 minutes ago": "12:50", "a run two hours ago": "14:00", "a run in the future": "10:00"}.get(what)
    if shift:
        site.jump_to(f"2026-03-14T{shift}:00Z")
    done = site.run("status", "--require", part, check=False)
    assert done.returncode == (1 if words else 0)
    assert done.stderr == (f"tlsrpt-gen status: {words}\n" if words else "")
    assert done.stdout.startswith("collector")
    assert site.run("status").returncode == 0


# ---- show DOMAIN -------------------------------------------------------------------------------------------

def test_show_domain_as_json_is_the_frozen_report(reported):
    got = json.loads(reported.run("show", "dock.example", "--format", "json").stdout)
    assert got["policies"][0]["policy"]["policy-domain"] == "dock.example"
    again = reported.run("show", "--day", "2026-03-14", "--format", "json", "dock.example").stdout
    assert json.loads(again) == got
    assert reported.run("show", "DOCK.example.").stdout == reported.run("show", "dock.example").stdout


def test_show_domain_that_is_not_there(reported):
    done = reported.run("show", "nobody.example", check=False)
    assert done.returncode == 66 and "no report of that domain" in done.stderr
    done = reported.run("show", "--day", "2026-03-13", "dock.example", check=False)
    assert done.returncode == 66 and "for 2026-03-13" in done.stderr
    done = reported.run("show", "--day", "2026-13-13", "dock.example", check=False)
    assert done.returncode == 64


@pytest.mark.parametrize("arguments", [["status", "x"], ["status", "--format", "xml"], ["status", "--nonsense"],
                                       ["show", "a", "b"], ["show", "--format", "xml", "a"], ["show", "--day", "today"],
                                       ["show", "--nonsense"], ["-v"], ["--day", "today"]])
def test_wrong_words_are_named(site, arguments):
    done = site.run(*arguments, check=False)
    assert done.returncode == 64
    assert done.stdout == "" and "tlsrpt-gen" in done.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--dry-run", "status"], '--dry-run does not go with a command; leave out --dry-run or "status"'),
    (["--flush", "check"], '--flush does not go with a command; leave out --flush or "check"'),
    (["--linger", "show", "a.example"], '--linger does not go with a command'),
    (["--show-config", "status"], '--show-config does not go with a command'),
    (["--if-configured", "explain", "a.example"], '--if-configured does not go with a command'),
    (["--dry-run", "--day", "today", "status"], '--dry-run does not go with a command'),
    (["--day", "today", "show", "a.example"], 'stand behind the command'),
    (["--dry-run", "--flush"], '--flush does not go with --dry-run, which sends nothing; leave out one of them'),
    (["--dry-run", "--show-config"], '--dry-run does not go with --show-config'),
])
def test_options_that_would_be_passed_over_are_refused(site, arguments, words):
    done = site.run(*arguments, check=False)
    assert done.returncode == 64
    assert done.stdout == "" and words in done.stderr and done.stderr.startswith("tlsrpt-gen: ")
