# SPDX-License-Identifier: MIT
"""The subdomains of one wildcard zone, one session each, fill neither the disk nor the memory; others are counted exactly."""
import json
import os
import pathlib
import re
import subprocess

import pytest

import programs as lib
from collecting import datagram, failed, kill, store_of, stored
from servers import wait_until

DAY = "2026-03-14"
BUDGET = 100
FLOOD = int(os.environ.get("FLOOD", "20000"))
HONEST = 25  # sessions of another domain, sent while the flood goes on


def zone(first, count, domain="wild.example"):
    """One session each of many names, and every so often one of somebody else and one of the zone's own name."""
    every = max(1, count // HONEST)
    for number in range(first, first + count):
        yield datagram(f"h{number}.x.{domain}", failed(f'{{"c":201,"r":"192.0.2.{number % 250}"}}'))
        if (number - first) % every == 0:
            yield datagram("harbour.example", failed('{"c":202}'))
            yield datagram(domain)


def sessions(site):
    """domain -> sessions."""
    found = {}
    for domain, _, _, _, success, failure, _ in stored(site):
        found[domain] = found.get(domain, 0) + success + failure
    return found


def over_budget(site):
    with store_of(site) as db:
        return db.execute("SELECT date(utc_day * 86400, 'unixepoch'), name, subdomains, over_budget FROM organization"
                          " WHERE over_budget > 0 ORDER BY utc_day, name").fetchall()


def resident_kib(site):
    status = pathlib.Path(f"/proc/{site.collector.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


@pytest.fixture
def site(make_site):
    return make_site(max_subdomains=BUDGET)


def test_a_wildcard_zone_fills_neither_the_disk_nor_the_reports(site):
    """Without a limit 20,000 names took 20,002 domains and 3.8 MB of sessions.db; now it is 102 domains and 61 KB."""
    site.start_collector()
    site.send(*zone(0, FLOOD))
    found = sessions(site)
    assert found.pop("harbour.example") == HONEST and found.pop("wild.example") == HONEST
    assert len(found) == BUDGET and set(found.values()) == {1}
    assert over_budget(site) == [(DAY, "wild.example", BUDGET, FLOOD - BUDGET)]
    counters = site.counters()
    assert counters["over_budget"] == FLOOD - BUDGET
    assert counters["stored"] == BUDGET + 2 * HONEST
    assert counters["received"] == counters["stored"] + counters["over_budget"]
    with store_of(site) as db:
        assert db.execute("SELECT count(*) FROM domain").fetchone()[0] == BUDGET + 2
        assert db.execute("SELECT next_id FROM mark").fetchone()[0] < 10 * (BUDGET + 2)
    events = site.collector_events("over_budget")
    assert [(event["domain"], event["day"], event["max_subdomains"]) for event in events] == [
        ("wild.example", DAY, str(BUDGET))]
    assert "max_subdomains" in events[0]["hint"]
    site.stop_collector()
    assert (site.state / "sessions.db").stat().st_size < 1_000_000


@pytest.mark.skipif("asan" in lib.BUILD.name, reason="a sanitizer keeps freed memory")
def test_the_memory_does_not_grow_with_the_names(site):
    site.start_collector()
    site.send(*zone(0, FLOOD // 4))
    before = resident_kib(site)
    site.send(*zone(FLOOD // 4, FLOOD))
    assert resident_kib(site) - before < 8192 + FLOOD * 160 // 1024  # the aggregate's entries, which are bounded too


def test_the_count_survives_a_restart_and_a_kill(site):
    site.start_collector()
    site.send(*zone(0, BUDGET // 2))
    site.restart_collector()
    site.send(*zone(BUDGET // 2, BUDGET // 4))
    kill(site)
    site.start_collector()
    site.send(*zone(BUDGET * 3 // 4, BUDGET // 4))
    site.send(*zone(BUDGET, BUDGET))
    site.send(*zone(0, BUDGET))  # those that are counted go on to be
    found = sessions(site)
    assert sum(domain.endswith(".x.wild.example") for domain in found) == BUDGET
    assert all(found[f"h{number}.x.wild.example"] == 2 for number in range(BUDGET))
    assert over_budget(site) == [(DAY, "wild.example", BUDGET, BUDGET)]
    assert len(site.collector_events("over_budget")) == 1


def test_equal_sessions_beyond_the_budget_are_each_counted(site):
    site.start_collector()
    site.send(*(datagram(f"h{number}.wild.example") for number in range(BUDGET)))
    for _ in range(3):
        site.send(*[datagram("one-more.wild.example")] * 5)
    assert over_budget(site) == [(DAY, "wild.example", BUDGET, 15)]
    assert "one-more.wild.example" not in sessions(site)


def test_each_day_has_its_own_budget(site):
    site.start_collector()
    site.send(*zone(0, 2 * BUDGET))
    site.pass_day("2026-03-15T12:00:00Z")
    site.start_collector()
    site.send(*zone(BUDGET, 2 * BUDGET))  # among them none that was counted the day before
    assert over_budget(site) == [(DAY, "wild.example", BUDGET, BUDGET), ("2026-03-15", "wild.example", BUDGET, BUDGET)]
    site.set_time("2026-03-16T12:00:00Z")
    site.send(*(datagram(f"h{number}.x.wild.example") for number in range(BUDGET + 1)))  # all known by name
    assert over_budget(site)[-1] == ("2026-03-16", "wild.example", BUDGET, 1)


def test_customers_of_a_public_suffix_do_not_share_a_budget(site):
    site.set(max_subdomains=1)
    site.start_collector()
    names = [f"{name}.{suffix}" for name in ("one", "two", "three") for suffix in ("co.uk", "github.io", "example")]
    site.send(*map(datagram, names), *(datagram(f"mail.{name}") for name in names))
    assert sorted(sessions(site)) == sorted(names + [f"mail.{name}" for name in names])
    assert over_budget(site) == []


def test_results_of_a_log_reader_have_the_same_budget(site):
    site.start_collector()
    lines = "".join(json.dumps({"policy-domain": f"h{number}.wild.example"}) + "\n" for number in range(3 * BUDGET))
    subprocess.run([site.programs.log, "-c", site.config, "--mta", "ndjson", "-"], input=lines.encode(), check=True,
                   env=site.environment, timeout=60, capture_output=True)
    wait_until(lambda: site.counters().get("received", 0) == 3 * BUDGET, "the lines to be counted")
    assert over_budget(site) == [(DAY, "wild.example", BUDGET, 2 * BUDGET)]
    assert len(sessions(site)) == BUDGET


def test_status_shows_the_domain_and_the_setting(site):
    site.start_collector()
    site.send(*zone(0, BUDGET + 3), *(datagram(f"h{number}.other.example") for number in range(BUDGET + 1)))
    table = " ".join(site.run("status").stdout.split())
    assert f"over budget: 3 sessions of wild.example on {DAY} are in no report" in table
    assert "set max_subdomains higher" in table and "over_budget 4" in table
    status = json.loads(site.run("status", "--format", "json").stdout)["collector"]
    assert status["counters"]["over_budget"] == 4
    assert status["over_budget"] == [
        {"day": DAY, "domain": "wild.example", "subdomains": BUDGET, "sessions": 3},
        {"day": DAY, "domain": "other.example", "subdomains": BUDGET, "sessions": 1}]
    metrics = site.run("status", "--format", "prometheus").stdout
    assert "tlsrpt_gen_collector_over_budget_total 4" in metrics
    assert f'tlsrpt_gen_over_budget_sessions{{day="{DAY}",domain="wild.example"}} 3' in metrics


def test_sessions_over_budget_are_in_no_report(site):
    site.start_collector()
    site.send(*zone(0, 2 * BUDGET))
    site.pass_day("2026-03-15T00:30:00Z")
    assert len(site.preview("--day", DAY)) == BUDGET + 2


def test_there_is_always_a_limit(make_site):
    done = subprocess.run([lib.Programs().generate, "-c", make_site(max_subdomains=0).config, "status"], check=False,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "max_subdomains" in done.stderr
