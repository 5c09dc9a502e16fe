# SPDX-License-Identifier: MIT
"""What tests of a fleet share: several hosts on one database, and what senders saw against what reports say."""
import collections
import random

import programs as lib
import reports

DAY, NEXT_DAY = "2026-03-14", "2026-03-15"
RESULTS = {0: None, 201: "starttls-not-supported", 202: "certificate-host-mismatch", 204: "certificate-expired"}


def datagram(domain, code=0, mx="mx1.example"):
    """One session: a success, or a failure with this code."""
    policy = {"policy-type": 9, "policy-domain": domain, "t": 0 if code == 0 else 1, "f": 0 if code == 0 else 1}
    if code:
        policy["failure-details"] = [{"c": code, "receiving-mx-hostname": mx}]
    return {"dpv": "1", "d": domain, "policies": [policy]}


class Seen:
    """What senders saw: (domain, result type or None) -> sessions."""

    def __init__(self):
        self.sessions = collections.Counter()

    def session(self, chance, domains):
        domain, code = chance.choice(domains), chance.choice([0, 0, 0, 201, 202, 204])
        self.sessions[domain, RESULTS[code]] += 1
        return datagram(domain, code, f"mx{chance.randrange(3)}.{domain}")

    def summary(self, domain):
        good = self.sessions[domain, None]
        bad = {word: self.sessions[domain, word] for word in RESULTS.values() if word and self.sessions[domain, word]}
        return good, bad

    def domains(self):
        return sorted({domain for domain, _ in self.sessions})


def summary_of(report):
    """(successes, {result type: failures}) of a report."""
    good, bad = 0, collections.Counter()
    for policy in report["policies"]:
        good += policy["summary"]["total-successful-session-count"]
        details = policy.get("failure-details", [])
        for detail in details:
            bad[detail["result-type"]] += detail["failed-session-count"]
        assert policy["summary"]["total-failure-session-count"] == sum(d["failed-session-count"] for d in details)
    return good, dict(bad)


def received(sink):
    """(domain, day) -> the reports that came for it, as texts."""
    came = collections.defaultdict(list)
    for mail in list(sink.mails):
        got = reports.from_mail(mail)
        domain = got.report["policies"][0]["policy"]["policy-domain"]
        came[domain, got.report["date-range"]["start-datetime"][:10]].append(got.text)
    return came


def check_day(sink, seen, day=DAY):
    """One report for each domain, with the sum of what senders saw."""
    came = received(sink)
    assert sorted(came) == [(domain, day) for domain in seen.domains()]
    for (domain, _), texts in came.items():
        assert len(texts) == 1, f"{domain}: {len(texts)} reports"
        got = summary_of(reports.parse_report(texts[0]))
        assert got == seen.summary(domain), f"{domain}: {got}, but senders saw {seen.summary(domain)}"


class Fleet:
    """Hosts mx0, mx1, …; every one may push and build."""

    def __init__(self, make_site, database, count, now=f"{DAY}T12:00:00Z", **settings):
        self.database = database
        self.hosts = [make_site(fleet=database, fleet_host=f"mx{i}", now=now, **settings) for i in range(count)]
        self.hosts[0].run("fleet-init")
        self.chance = random.Random(8460)

    def set_time(self, text):
        for host in self.hosts:
            host.set_time(text)

    def collect(self, seen, domains, sessions):
        """Every host gets so many sessions of its own."""
        for host in self.hosts:
            host.collect([seen.session(self.chance, domains) for _ in range(sessions)])

    def pass_day(self, now=f"{NEXT_DAY}T00:05:00Z"):
        """Every collector counts past the day's end, and every host pushes."""
        for host in self.hosts:
            host.pass_day(now)
            host.run("push")


def records(nsd, domains):
    nsd.txt = {f"_smtp._tls.{domain}": f"v=TLSRPTv1; rua=mailto:tls@{domain}" for domain in domains}
    nsd.reload()


def events(done, name=None):
    found = lib.parse_log(done.stderr)
    return [event for event in found if name is None or event["event"] == name]
