#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast hosts push what they counted into a fleet's database, and how much a generator needs for a large day.

The floor, measured in the same run on the same server: the same rows as plain upserts, one prepared statement each, 4000
to a transaction, as pgbench would send them (by psql); and, for comparison only, as multi-row INSERTs of 1000.
FLEET_ROWS: rows of each host (default 50000).  FLEET_DOMAINS: domains of the large day over 4 hosts (default 40000;
1000000 for the figures in the manual).

Prints "name value unit" lines; see tests/bench/run.  Without PostgreSQL or libpq it says so and measures nothing.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flow"))

import pgsql  # noqa: E402
import programs as lib  # noqa: E402
import servers  # noqa: E402

ROWS = int(os.environ.get("FLEET_ROWS", "50000"))
DOMAINS = int(os.environ.get("FLEET_DOMAINS", "40000"))
HOSTS = 4
PUSH_MIB, BUILD_MIB = 64, 128  # as the manual says, for 1000000 domains
DAY, NOON, NEXT = "2026-03-14", "2026-03-14T12:00:00Z", "2026-03-15T00:05:00Z"
UTC_DAY = lib.utc_seconds(DAY) // 86400
FLOOR = ("CREATE TABLE IF NOT EXISTS floor (domain TEXT, utc_day INTEGER, policy_id UUID, instance UUID, bucket INTEGER NOT NULL,"
         " success BIGINT NOT NULL, failure BIGINT NOT NULL, PRIMARY KEY (domain, utc_day, policy_id, instance))")
UPSERT = (" ON CONFLICT (domain, utc_day, policy_id, instance) DO UPDATE SET success = GREATEST(t.success, excluded.success),"
          " failure = GREATEST(t.failure, excluded.failure)")


def make_site(folder, number, conninfo, **settings):
    site = lib.Site(folder / f"host{number}", now=NOON, fleet=conninfo, fleet_host=f"mx{number}", **settings)
    site.start_collector()  # makes the store and its instance
    site.stop_collector()
    return site


def fill(site, domains):
    """domains: names, each with one policy; every tenth has a failure detail."""
    with sqlite3.connect(site.state / "sessions.db") as store:
        first = store.execute("SELECT next_id FROM mark").fetchone()[0]
        ids = {name: first + 3 * i for i, name in enumerate(domains)}
        store.executemany("INSERT INTO domain VALUES (?, ?)", ids.items())
        store.executemany("INSERT INTO policy VALUES (?, 2, ?, '', '', ?)", ((i, name, i + 1) for name, i in ids.items()))
        store.executemany("INSERT INTO tally VALUES (?, ?, ?, 7, ?)",
                          ((i, UTC_DAY, i + 1, 1 if n % 10 == 0 else 0) for n, i in enumerate(ids.values())))
        tenth = [(name, i) for n, (name, i) in enumerate(ids.items()) if n % 10 == 0]
        store.executemany("INSERT INTO detail VALUES (?, 'starttls-not-supported', '192.0.2.1', ?, '', '192.0.2.2', '', '', ?)",
                          ((i, f"mx.{name}", i + 2) for name, i in tenth))
        store.executemany("INSERT INTO detail_tally VALUES (?, ?, ?, ?, 1)", ((i, UTC_DAY, i + 1, i + 2) for _, i in tenth))
        store.execute("UPDATE mark SET next_id = ?, ring_sequence = ring_sequence + 1", (first + 3 * len(ids),))
        store.execute("INSERT INTO counter VALUES ('stored', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                      (8 * len(ids),))
    store.close()


def together(jobs):
    """Seconds for all jobs at the same time."""
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()
    return time.monotonic() - begin


def rows_of(server, host):
    """The tally rows that a host pushed, as SQL values."""
    return server.psql("bench", "SELECT domain, utc_day, policy_id, t.instance, bucket, success, failure FROM tlsrpt_gen.tally t"
                       f" JOIN tlsrpt_gen.instance i ON i.instance = t.instance WHERE host = 'mx{host}'")


def quoted(row):
    return f"('{row[0]}', {row[1]}, '{row[2]}', '{row[3]}', {row[4]}, {row[5]}, {row[6]})"


def single_rows(rows):
    """As pgbench -M prepared sends them."""
    yield ("PREPARE p (text, integer, uuid, uuid, integer, bigint, bigint) AS INSERT INTO floor AS t"
           f" VALUES ($1, $2, $3, $4, $5, $6, $7){UPSERT};\n")
    for at in range(0, len(rows), 4000):
        yield "BEGIN;\n" + "".join(f"EXECUTE p {quoted(row)};\n" for row in rows[at:at + 4000]) + "COMMIT;\n"


def many_rows(rows):
    for at in range(0, len(rows), 1000):
        yield f"INSERT INTO floor AS t VALUES {', '.join(map(quoted, rows[at:at + 1000]))}{UPSERT};\n"


def run_floor(server, folder, rows, as_sql):
    scripts = []
    for number, some in enumerate(rows):
        scripts.append(folder / f"floor{number}.sql")
        scripts[-1].write_text("".join(as_sql(some)))
    server.psql("bench", "DROP TABLE IF EXISTS floor; " + FLOOR)
    command = [pgsql.binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", server.folder, "-U", pgsql.USER, "-d", "bench"]
    return together([lambda script=script: subprocess.run([*command, "-f", script], check=True, stdout=subprocess.DEVNULL)
                     for script in scripts])


def measure_push(server, folder, count):
    """Rows a second of as many hosts as count, and against the floors."""
    server.create("bench")
    conninfo = server.conninfo("bench")
    sites = [make_site(folder / f"push{count}", n, conninfo) for n in range(count)]
    sites[0].run("fleet-init")
    for n, site in enumerate(sites):
        fill(site, [f"d{i:07}-{n % 2}.example" for i in range(ROWS)])  # each domain on half of the hosts
    seconds = together([lambda site=site: site.run("push", timeout=600) for site in sites])
    rows = [rows_of(server, n) for n in range(count)]
    assert all(len(some) == ROWS for some in rows)
    single = run_floor(server, folder, rows, single_rows)
    many = run_floor(server, folder, rows, many_rows)
    total = ROWS * count
    print(f"fleet_push_{count}_hosts {total / seconds:.0f} rows/s")
    print(f"fleet_push_{count}_hosts_floor {total / single:.0f} rows/s")
    print(f"fleet_push_{count}_hosts_ratio {single / seconds:.2f} of_plain_upserts")
    print(f"fleet_push_{count}_hosts_to_multi_row {many / seconds:.2f} of_1000-row_inserts", flush=True)
    if count == HOSTS:
        show_sizes(server, sites[0], total)
    server.drop("bench")


def show_sizes(server, site, total):
    """The manual's table: bytes for each row, tables with their indexes."""
    for table in ("tally", "policy", "detail_tally", "detail"):
        (count, size), = server.psql("bench", f"SELECT count(*), pg_total_relation_size('tlsrpt_gen.{table}') FROM tlsrpt_gen.{table}")
        print(f"fleet_{table}_row {int(size) / int(count):.0f} bytes")
    print(f"fleet_push_db_row {(site.state / 'push.db').stat().st_size / ROWS:.0f} bytes")
    begin = time.monotonic()
    site.run("push")
    print(f"fleet_push_idle {(time.monotonic() - begin) * 1000:.0f} ms")
    with sqlite3.connect(site.state / "sessions.db") as store:
        store.execute("UPDATE tally SET success = success + 1 WHERE domain_id = (SELECT max(domain_id) FROM tally)")
        store.execute("UPDATE mark SET ring_sequence = ring_sequence + 1")
    begin = time.monotonic()
    site.run("push")
    print(f"fleet_push_one_row_of {(time.monotonic() - begin) / ROWS * 1e6:.2f} us/row", flush=True)


def high_water(pid):
    """MiB; 0 when the process is gone."""
    try:
        return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024
    except (OSError, TypeError):
        return 0


def peak_of(command, environment):
    """(seconds, MiB) of a child; its log goes to a file."""
    begin, peak = time.monotonic(), 0
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                           env=environment) as process:
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.01)
        log.seek(0)
        if process.returncode != 0:
            raise RuntimeError(log.read()[-2000:].decode())
    return time.monotonic() - begin, peak


def measure_large_day(server, folder):
    """Every host has half of the domains; all are reported, nothing is due yet."""
    conninfo = server.create("large")
    with servers.Nsd(folder / "nsd") as nsd:
        nsd.lines = ['*.example. TXT "v=TLSRPTv1; rua=mailto:tls@reports.example"']
        nsd.reload()
        sites = [make_site(folder / "large", n, conninfo, resolver=nsd.address, min_delay="1d", spread="1d") for n in range(HOSTS)]
        sites[0].run("fleet-init")
        for n, site in enumerate(sites):
            fill(site, [f"d{i:07}.example" for i in range(DOMAINS) if (i + n) % 4 < 2])
            site.pass_day(NEXT)
        pushes = [peak_of(site.command("push"), site.environment) for site in sites]
        print(f"fleet_large_day_domains {DOMAINS} domains")
        print(f"fleet_large_day_push {sum(seconds for seconds, _ in pushes):.1f} s")
        print(f"fleet_large_day_push_peak {max(peak for _, peak in pushes):.1f} MiB", flush=True)
        seconds, peak = peak_of(sites[0].command(), sites[0].environment)
        (reports, closed), = server.psql("large", "SELECT (SELECT count(*) FROM tlsrpt_gen.report),"
                                         " (SELECT count(*) FROM tlsrpt_gen.closed_day)")
        assert (int(reports), int(closed)) == (DOMAINS, 64), (reports, closed)
        wrong = server.psql("large", "SELECT count(*) FROM tlsrpt_gen.report r WHERE success + failure <> (SELECT sum(success +"
                            " failure) FROM tlsrpt_gen.tally t WHERE t.domain = r.domain AND t.utc_day = r.utc_day)")
        assert wrong == [["0"]]
        print(f"fleet_build {DOMAINS / seconds:.0f} reports/s")
        print(f"fleet_build_peak {peak:.1f} MiB")
        push_peak = max(peak for _, peak in pushes)
        print(json.dumps({"name": "fleet_memory", "push_mib": round(push_peak, 1), "build_mib": round(peak, 1),
                          "ok": push_peak < PUSH_MIB and peak < BUILD_MIB}))
        bytes_, = server.psql("large", "SELECT pg_database_size('large')")
        print(f"fleet_large_day_database {int(bytes_[0]) / 1e6:.0f} MB", flush=True)


def main():
    if not pgsql.has_libpq() or pgsql.binaries() is None:
        print("fleet: no libpq in tlsrpt-gen or no PostgreSQL here, nothing is measured", file=sys.stderr)
        return 0
    server = pgsql.Postgres(fsync="on")
    try:
        with tempfile.TemporaryDirectory(prefix="tlsrpt-gen-bench.") as name:
            folder = pathlib.Path(name)
            for count in (1, HOSTS):
                measure_push(server, folder, count)
            measure_large_day(server, folder)
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
