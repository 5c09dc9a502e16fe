#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compare what the collector counts with a Python dict.

compare_counts.py [COUNT [SEED]]   (100000 datagrams; see rounds.py).  Prints TAP.

The datagrams come from a few hundred outcomes, each written in many ways (order of keys, blanks, capitals, order of
TLSA records, bad UTF-8), shuffled, with duplicates and with some that are not understood.  They go through the real
tlsrpt-gen-collect, in two runs of it; the model is a dict that is counted up.
1. With wide caps every row of the store must be in the dict and the other way round, with the same counts.
2. With narrow caps: each row that was kept has its full count, there are no more rows than the caps allow, what was
   folded is in the row for it, and every total (per domain, day and type) is exact.
"""
import collections
import contextlib
import json
import pathlib
import sqlite3
import sys
import tempfile
import time

import rounds

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flow"))
import programs  # noqa: E402  (found by the line above)

MAX_POLICIES, MAX_DETAILS = 6, 20
DOMAINS = [f"d{n}.example" for n in range(12)] + ["xn--bcher-kva.example"]
TODAY, YESTERDAY = "2026-03-14", "2026-03-13"
RESULT_TYPES = {201: "starttls-not-supported", 202: "certificate-host-mismatch", 203: "certificate-not-trusted",
                204: "certificate-expired", 205: "validation-failure", 301: "sts-policy-fetch-error",
                302: "sts-policy-invalid", 303: "sts-webpki-invalid", 304: "tlsa-invalid", 305: "dnssec-invalid",
                306: "dane-required"}
TYPE_CODES = {0: 1, 1: 2, 2: 9}  # model/policy.h's order: tlsa, sts, no-policy-found

Policy = collections.namedtuple("Policy", "type domain strings mx_hosts")
Detail = collections.namedtuple("Detail", "result source mx helo ip uri reason")
Outcome = collections.namedtuple("Outcome", "domain policies")  # policies: (Policy, is_failed, (Detail, ...))


# ---- outcomes, in canonical form ----
def make_policy(dice, domain):
    kind = dice.choice([0, 1, 1, 2, 2])
    if kind == 0:
        records = sorted({f"{dice.choice([2, 3])} 1 1 {dice.randrange(6):02X}{'AB' * dice.randrange(1, 3)}" for _ in range(3)})
        return Policy(0, f"mx{dice.randrange(3)}.{domain}", tuple(records), ())
    if kind == 1:
        lines = ("version: STSv1", f"mode: {dice.choice(['enforce', 'testing'])}", f"max_age: {dice.randrange(3)}")
        return Policy(1, domain, lines, (f"*.{domain}",) if dice.random() < 0.5 else (f"mx.{domain}", f"*.b.{domain}"))
    return Policy(2, dice.choice([domain, domain, f"other.{domain}"]), (), ())


def make_detail(dice, domain):
    def maybe(text):
        return text if dice.random() < 0.6 else ""
    if dice.random() < 0.1:
        return Detail(dice.choice(list(RESULT_TYPES.values())), "", "", "", "", "", "")
    return Detail(dice.choice(list(RESULT_TYPES.values())), maybe(f"192.0.2.{dice.randrange(4)}"), maybe(f"mx{dice.randrange(3)}.{domain}"),
                  maybe(f"helo.{domain}"), maybe(dice.choice(["2001:db8::7", "198.51.100.1"])), maybe("https://w.example/x"),
                  maybe(dice.choice(["X509", "two words", "b\ufffdad"])))


def make_outcome(dice):
    domain = dice.choice(DOMAINS)
    policies = []
    for _ in range(dice.choice([1, 1, 1, 1, 2, 3])):
        is_failed = dice.random() < 0.5
        details = [make_detail(dice, domain) for _ in range(dice.choice([1, 1, 2, 3]) if is_failed else dice.choice([0, 0, 0, 1]))]
        policies.append((make_policy(dice, domain), is_failed, tuple(details)))
    return Outcome(domain, tuple(policies))


# ---- one of the many ways to write an outcome ----
def vary_name(dice, name):
    name = name.upper() if dice.random() < 0.2 else name
    return name + "." if dice.random() < 0.1 else name


def write_detail(dice, detail):
    codes = {name: code for code, name in RESULT_TYPES.items()}
    row = {"c": codes[detail.result]}
    for key, text in zip("snhraf", detail[1:]):
        if text:
            row[key] = text
    if "n" in row:
        row["n"] = vary_name(dice, row["n"])
    if "h" in row:
        row["h"] = dice.choice(["250 {}", "250-{} at your service\r\n250 SIZE 1", "{}"]).format(row["h"])
    if "f" in row:
        row["f"] = dice.choice(["{}", " {} ", "{}\r\n"]).format(row["f"]).replace(" ", dice.choice([" ", "\t "]))
    return row


def write_policy(dice, policy, is_failed, details):
    row = {"policy-type": TYPE_CODES[policy.type], "policy-domain": vary_name(dice, policy.domain)}
    strings = list(policy.strings)
    if policy.type == 0:
        dice.shuffle(strings)
        strings = [text.lower() if dice.random() < 0.5 else text for text in strings]
        strings += strings[:1] if dice.random() < 0.3 else []
    if strings:
        row["policy-string"] = strings
    if policy.mx_hosts:
        row["mx-host"] = [vary_name(dice, host) for host in policy.mx_hosts]
    if details:
        row["failure-details"] = [write_detail(dice, detail) for detail in details]
    row.update(t=len(details), f=int(is_failed))
    return row


def write(dice, outcome, day, has_unknown):
    rows = [write_policy(dice, *policy) for policy in outcome.policies]
    if has_unknown:
        rows.insert(dice.randrange(len(rows) + 1), {"policy-type": 77, "f": 1})
    datagram = {"dpv": "1", "d": vary_name(dice, outcome.domain), "policies": rows}
    if day != TODAY:
        datagram["utc-day"] = day
    keys = list(datagram)
    dice.shuffle(keys)
    text = json.dumps({key: datagram[key] for key in keys}, ensure_ascii=dice.random() < 0.3, indent=dice.choice([None, None, 1]))
    is_repaired = "\ufffd" in text
    return text.encode().replace("\ufffd".encode(), b"\xff"), is_repaired


MALFORMED = [b"", b"{", b"[]", b"null", b'{"d":"x.example"}', b'{"d":"..","policies":[{"policy-type":9,"f":0}]}',
             b'{"dpv":"0","d":"x.example","policies":[{"policy-type":9}]}', b'{"d":"x.example","d":"y.example","policies":[]}',
             b'{"d":"x.example","policies":[{"policy-type":4}]}', b"\xff\xfe"]


# ---- the model ----
class Model:
    def __init__(self):
        self.sessions = collections.defaultdict(dict)  # (domain, day) -> Policy -> [success, failure]
        self.details = collections.defaultdict(dict)   # (domain, day) -> (Policy, Detail) -> sessions
        self.counters = collections.Counter()

    def count(self, outcome, day):
        key = (outcome.domain, day)
        for policy, is_failed, details in outcome.policies:
            self.sessions[key].setdefault(policy, [0, 0])[int(is_failed)] += 1
            for detail in details:
                self.details[key][policy, detail] = self.details[key].get((policy, detail), 0) + 1


# ---- what the store has ----
def split(text):
    return tuple(text.split("\n")) if text else ()


def day_name(number):
    return time.strftime("%Y-%m-%d", time.gmtime(number * 86400))


def read_store(path):
    sessions, details = collections.defaultdict(dict), collections.defaultdict(dict)
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        policies = {row[0]: Policy(row[1], row[2], split(row[3]), split(row[4]))
                    for row in store.execute("SELECT id, type, policy_domain, strings, mx_hosts FROM policy")}
        for domain, day, policy, success, failure in store.execute(
                "SELECT name, utc_day, policy_id, success, failure FROM tally JOIN domain ON domain.id = domain_id"):
            sessions[domain, day_name(day)][policies[policy]] = [success, failure]
        for domain, day, policy, count, *fields in store.execute(
                "SELECT domain.name, utc_day, policy_id, sessions, result_type, sending_mta_ip, receiving_mx_hostname,"
                " receiving_mx_helo, receiving_ip, additional_information, failure_reason_code"
                " FROM detail_tally JOIN domain ON domain.id = detail_tally.domain_id JOIN detail ON detail.id = detail_id"):
            details[domain, day_name(day)][policies[policy], Detail(*fields)] = count
        counters = collections.Counter(dict(store.execute("SELECT name, value FROM counter")))
    return sessions, details, counters


def make_datagrams(dice, count, model):
    pool = [make_outcome(dice) for _ in range(900)]
    datagrams = []
    while len(datagrams) < count:
        if dice.random() < 0.02:
            datagrams.append(dice.choice(MALFORMED))
            model.counters.update(received=1, malformed=1)
            continue
        day, has_unknown = dice.choice([TODAY] * 5 + [YESTERDAY]), dice.random() < 0.05
        outcome = pool[min(int(dice.expovariate(0.01)), len(pool) - 1)]
        datagram, is_repaired = write(dice, outcome, day, has_unknown)
        for _ in range(min(dice.choice([1] * 8 + [2, 5]), count - len(datagrams))):
            datagrams.append(datagram)
            model.counters.update(received=1, stored=1, repaired=int(is_repaired), unknown_policies=int(has_unknown))
            model.count(outcome, day)
    dice.shuffle(datagrams)
    return datagrams


def differences(want, got):
    rows = []
    for key in sorted(set(want) | set(got)):
        for row in set(want[key]) | set(got[key]):
            if want[key].get(row) != got[key].get(row):
                rows.append(f"{key} {row}: the model has {want[key].get(row)}, the store {got[key].get(row)}")
    return rows


def bare_policy(key, policy):
    return Policy(policy.type, key[0], (), ())


def bare_detail(detail):
    return Detail(detail.result, "", "", "", "", "", "")


def sums(rows, group):
    total = collections.Counter()
    for key, counts in rows.items():
        for row, count in counts.items():
            for index, number in enumerate(count if isinstance(count, list) else [count]):
                total[key, group(row), index] += number
    return total


def capped_differences(model, sessions, details, counters):
    """Rule 2 of the head of this file."""
    faults = []
    if sums(model.sessions, lambda policy: policy.type) != sums(sessions, lambda policy: policy.type):
        faults.append("sessions by domain, day and policy type differ")
    if sums(model.details, lambda row: row[1].result) != sums(details, lambda row: row[1].result):
        faults.append("details by domain, day and result type differ")
    folded = 0
    for key, rows in model.sessions.items():
        got = sessions[key]
        kept = [policy for policy in got if policy != bare_policy(key, policy)]
        faults += [f"{key} {policy}: the model has {rows.get(policy)}, the store {got[policy]}"
                   for policy in kept if got[policy] != rows.get(policy)]
        folded += sum(sum(count) for policy, count in rows.items() if policy not in got)
        if len(kept) > MAX_POLICIES or (len(kept) < MAX_POLICIES and len(got) < MAX_POLICIES and set(rows) - set(got)):
            faults.append(f"{key}: {len(kept)} policies are kept of {len(rows)}")
        full = [row for row in details[key] if row[1] != bare_detail(row[1])]
        faults += [f"{key} {row}: the model has {model.details[key].get(row)}, the store {details[key][row]}"
                   for row in full if row[0] != bare_policy(key, row[0]) and details[key][row] != model.details[key].get(row)]
        if len(full) > MAX_DETAILS:
            faults.append(f"{key}: {len(full)} details are kept")
    if counters["folded_policies"] != folded:
        faults.append(f"counter folded_policies: the model has {folded}, the store {counters['folded_policies']}")
    return faults


def run(datagrams, **settings):
    with tempfile.TemporaryDirectory(prefix="counts.") as folder, \
            programs.Site(folder, now=TODAY + "T02:00:00Z", **settings) as site:
        site.collect(datagrams[:len(datagrams) // 2])
        site.collect(datagrams[len(datagrams) // 2:])
        return read_store(site.state / "sessions.db")


def describe(store):
    sessions, details, counters = store
    print(f"# {sum(map(len, sessions.values()))} rows of sessions, {sum(map(len, details.values()))} of details, "
          + ", ".join(f"{name} {value}" for name, value in sorted(counters.items()) if value))


def main():
    comparison, model = rounds.Run("datagrams", 100000, tests=2), Model()
    datagrams = make_datagrams(comparison.dice, comparison.count, model)

    store = sessions, details, counters = run(datagrams, max_policies=1000, max_details=10000)
    faults = differences(model.sessions, sessions) + differences(model.details, details) + counter_differences(model, counters)
    describe(store)
    comparison.verdict(1, "the collector counts as a dict does", faults, shown=20)

    store = sessions, details, counters = run(datagrams, max_policies=MAX_POLICIES, max_details=MAX_DETAILS)
    faults = capped_differences(model, sessions, details, counters) + counter_differences(model, counters)
    describe(store)
    comparison.verdict(2, "with narrow caps every total is exact", faults, shown=20)
    return int(comparison.failed > 0)


def counter_differences(model, counters):
    return [f"counter {name}: the model has {model.counters[name]}, the store {counters[name]}"
            for name in ("received", "stored", "malformed", "repaired", "unknown_policies")
            if model.counters[name] != counters[name]]


if __name__ == "__main__":
    sys.exit(main())
