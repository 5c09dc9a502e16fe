# SPDX-License-Identifier: MIT
"""Stores as earlier versions left them: tests/data/stores/sessions-N.sql and reports-N.sql, N the schema's version.

A release that changes a schema adds a migration, and a fixture of the new version made by running this file:

    BUILD=build /usr/bin/python3 tests/flow/stores.py

It never replaces the fixture of a version that was released.
"""
import json
import pathlib
import re
import sqlite3
import sys
import tempfile

import programs as lib
import servers

STORES = lib.DATA / "stores"
KINDS = ("sessions", "reports")
DAY, NEXT_DAY, DAY_AFTER = "2026-03-14", "2026-03-15", "2026-03-16"
DELIVERED, REFUSED = "harbour.example", "lantern.example"  # reported on NEXT_DAY
COLLECTED = "quay.example"                                 # sessions of NEXT_DAY, not yet reported


def fixtures(kind):
    """version -> file, oldest first."""
    found = {int(re.search(r"-(\d+)\.sql$", path.name)[1]): path for path in STORES.glob(f"{kind}-*.sql")}
    return dict(sorted(found.items()))


def load(path, target):
    with sqlite3.connect(target) as database:
        database.executescript(path.read_text())
    database.close()


def version(path):
    with sqlite3.connect(path) as database:
        found = database.execute("PRAGMA user_version").fetchone()[0]
    database.close()
    return found


def set_version(path, number):
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {number}")
    database.close()


def schema(path):
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    database.close()
    return rows


def dump(path):
    with sqlite3.connect(path) as database:
        lines = list(database.iterdump())
    database.close()
    return "\n".join(["-- SPDX-License-Identifier: MIT", *lines, f"PRAGMA user_version = {version(path)};"]) + "\n"


def worked(domain):
    number = {"harbour.example": 1, "lantern.example": 2, "quay.example": 3}[domain]
    return lib.read_datagrams(lib.DATA / "worked" / f"{number}.datagrams.ndjson")


def outcomes(lines):
    """Sessions that a report counts: one for each policy of each datagram."""
    return sum(len(json.loads(line)["policies"]) for line in lines)


def records(nsd):
    nsd.txt = {f"_smtp._tls.{domain}": f"v=TLSRPTv1; rua=mailto:tls@{domain}" for domain in (DELIVERED, REFUSED, COLLECTED)}
    nsd.reload()


def live(site, sink):
    """What the fixtures hold: a day reported to one domain and refused for now by another, and a day not yet over."""
    site.collect(worked(DELIVERED) + worked(REFUSED))
    site.pass_day(f"{NEXT_DAY}T00:05:00Z")
    sink.answers[f"tls@{REFUSED}"] = "451 4.7.1 later"
    site.run()
    del sink.answers[f"tls@{REFUSED}"]
    site.collect(worked(COLLECTED))


def main():
    with tempfile.TemporaryDirectory() as folder, servers.Nsd(pathlib.Path(folder) / "nsd") as nsd, \
            servers.SmtpSink() as sink, lib.Site(pathlib.Path(folder) / "site", resolver=nsd.address) as site:
        site.set(relay=sink.address)
        records(nsd)
        live(site, sink)
        for kind in KINDS:
            target = STORES / f"{kind}-{version(site.state / f'{kind}.db')}.sql"
            if target.exists() and "--again" not in sys.argv:
                print(f"{target.name} is there already; --again replaces it (never after a release)")
            else:
                target.write_text(dump(site.state / f"{kind}.db"))
                print(f"{target.name} written")


if __name__ == "__main__":
    sys.exit(main())
