# SPDX-License-Identifier: MIT
"""A day and the morning after it in fast forward: three producers, a run of the generator every 15 minutes, one
restart of the host, one run that is killed, one receiver that is down for 5 hours.  What arrives is what was sent."""
import collections
import random
import signal
import subprocess
import threading

import programs as lib
import reports

SEED = 20260314
DAY, NEXT_DAY = "2026-03-14", "2026-03-15"
STEP_S = 900
STEPS_A_DAY = 24 * 3600 // STEP_S
RESTART_FROM, RESTART_TO = 53, 54  # 13:15: down until 13:30
KILLED_RUN = STEPS_A_DAY + 9       # 02:15 of the next day, while reports go out
DOWN_FROM, DOWN_TO = STEPS_A_DAY, STEPS_A_DAY + 20  # 00:00 to 05:00
BY_MAIL = [f"mail{i}.example" for i in range(4)]
BY_HTTPS = [f"web{i}.example" for i in range(4)]
BY_BOTH = ["both.example"]
DOMAINS = BY_MAIL + BY_HTTPS + BY_BOTH
RESULT_CODES = [201, 202, 203, 204, 205]  # starttls-not-supported to validation-failure
PRODUCERS = 3


class Producer:
    """One mail server: its own random outcomes, one datagram for each, counted only when the send succeeded."""

    def __init__(self, number, socket_path):
        self.random = random.Random(SEED + number)
        self.socket_path = socket_path
        self.address = f"192.0.2.{number + 1}"
        self.sent = collections.Counter()

    def outcome(self):
        domain = self.random.choice(DOMAINS)
        failed = self.random.random() < 0.2
        details = [{"c": self.random.choice(RESULT_CODES), "s": self.address, "r": f"198.51.100.{self.random.randrange(4)}",
                    "n": f"mx.{domain}", "f": "as it happens"}] if failed else []
        policy = {"policy-type": 9, "policy-domain": domain, "f": int(failed), "t": len(details), "failure-details": details}
        return domain, failed, {"dpv": "1", "d": domain, "pr": "", "policies": [policy]}

    def work(self, day):
        outcomes = [self.outcome() for _ in range(self.random.randrange(1, 12))]
        lib.send_datagrams(self.socket_path, [datagram for _, _, datagram in outcomes])
        self.sent.update((day, domain, failed) for domain, failed, _ in outcomes)


def produce(producers, day):
    threads = [threading.Thread(target=producer.work, args=(day,)) for producer in producers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def time_of(step):
    day = DAY if step < STEPS_A_DAY else NEXT_DAY
    seconds = step % STEPS_A_DAY * STEP_S
    return f"{day}T{seconds // 3600:02}:{seconds % 3600 // 60:02}:01Z"


def kill_in_the_middle(site):
    run = subprocess.Popen(site.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           env=site.environment)
    try:
        run.wait(0.03)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGKILL)
        run.wait(10)


def live_through(site, producers, https_server):
    """Every quarter of an hour of two days; the generator's log by step."""
    logs = {}
    for step in range(2 * STEPS_A_DAY):
        site.set_time(time_of(step))
        if step == RESTART_FROM:
            site.stop_collector()
            site.socket.unlink(missing_ok=True)
        if step == RESTART_TO:
            site.start_collector()
        if step == DOWN_FROM:
            https_server.stop()
        if step == DOWN_TO:
            https_server.start()
        if not RESTART_FROM <= step < RESTART_TO:
            if step < STEPS_A_DAY + 8:
                produce(producers, time_of(step)[:10])
            if step == KILLED_RUN:
                kill_in_the_middle(site)
            else:
                logs[step] = lib.parse_log(site.run().stderr)
    return logs


def steps_with(logs, event):
    return [step for step, events in logs.items() if event in [line["event"] for line in events]]


def totals(report):
    summaries = [policy["summary"] for policy in report["policies"]]
    return (sum(s["total-successful-session-count"] for s in summaries), sum(s["total-failure-session-count"] for s in summaries))


def test_what_arrives_is_what_was_sent(make_site, nsd, smtp_sink, https_server, authority):
    def record(domain):
        ruas = [f"mailto:tls@{domain}"] * (domain not in BY_HTTPS) + \
            [f"https://localhost:{https_server.port}/{domain}"] * (domain not in BY_MAIL)
        return f"v=TLSRPTv1; rua={','.join(ruas)}"
    nsd.txt = {f"_smtp._tls.{domain}": record(domain) for domain in DOMAINS}
    nsd.lines = ["localhost. A 127.0.0.1"]
    nsd.reload()
    site = make_site(now=f"{DAY}T00:00:00Z", resolver=nsd.address, relay=smtp_sink.address, https_ca_file=authority.ca_file,
                     https_allow=["127.0.0.0/8", f":{https_server.port}"], min_delay="10min", spread="4h")
    producers = [Producer(number, site.socket) for number in range(PRODUCERS)]
    site.start_collector()
    logs = live_through(site, producers, https_server)

    later = steps_with(logs, "delivery_later")
    assert later and all(DOWN_FROM <= step < DOWN_TO for step in later)
    assert max(steps_with(logs, "report_delivered")) >= DOWN_TO
    sent = sum((producer.sent for producer in producers), collections.Counter())
    want = {domain: (sent[DAY, domain, False], sent[DAY, domain, True]) for domain in DOMAINS}
    mails = [reports.from_mail(mail) for mail in smtp_sink.mails]
    posts = [reports.from_request(request) for request in https_server.requests]
    assert {report["policies"][0]["policy"]["policy-domain"]: totals(report) for report in (m.report for m in mails)} == \
        {domain: want[domain] for domain in BY_MAIL + BY_BOTH}
    assert {report["policies"][0]["policy"]["policy-domain"]: totals(report) for report in (p.report for p in posts)} == \
        {domain: want[domain] for domain in BY_HTTPS + BY_BOTH}
    assert all(report["date-range"]["start-datetime"] == f"{DAY}T00:00:00Z"
               for report in [got.report for got in [*mails, *posts]])
    # A delivery in doubt (the killed run's) may come twice, but then with the same id; nothing else does.
    for arrived in (mails, posts):
        ids = collections.Counter(got.report["report-id"] for got in arrived)
        assert sum(ids.values()) - len(ids) <= 1 and len(ids) == 5
