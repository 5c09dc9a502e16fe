# SPDX-License-Identifier: MIT
"""A day on which everybody is hostile, through the real programs: 10,000 datagrams and as many TXT records with something
evil in any of their strings.  Nothing is lost without being counted, every report is valid, no header is injected (R71)."""
import json
import mailbox
import re

import receivers
import servers
from hostile import Hostile
from test_report_hostile import check_mail

CASES = 10000
NEXT_DAY = "2026-03-15T06:00:00Z"


def datagram(hostile, number):
    """Bytes of a JSON object; each of its strings may be hostile, invalid UTF-8 included."""
    def text(good):
        return hostile.maybe(good).decode("latin-1")
    def keep(fields):
        return {key: value for key, value in fields.items() if hostile.chance(0.8)}
    def detail():
        return {"c": hostile.random.choice([201, 202, 203, 204, 205, 301, 304, 306, 901]), **keep({
            "s": text(b"192.0.2.10"), "n": text(b"mx1.quay.example"), "h": text(b"250-mx1.quay.example\r\n250 STARTTLS"),
            "r": text(b"2001:db8::1"), "a": text(b"https://a.example/x"), "f": text(b"self-signed_certificate")})}
    policy = {"policy-type": hostile.random.choice([1, 2, 9]), **keep({
        "policy-domain": text(b"quay.example"), "policy-string": [text(b"version: STSv1"), text(b"3 1 1 " + b"AB" * 32)],
        "mx-host": [text(b"*.quay.example")], "failure-details": [detail() for _ in range(hostile.random.randint(0, 2))]}),
        "t": 0, "f": hostile.random.randint(0, 1)}
    domain = f"c{number}.example" if hostile.chance(0.95) else text(b"quay.example")
    whole = {"dpv": "1", "d": domain, **keep({"pr": text(b"v=TLSRPTv1; rua=mailto:tls@quay.example")}), "policies": [policy]}
    return json.dumps(whole, ensure_ascii=False).encode("latin-1")


def record(hostile):
    """One TXT record; mostly with a destination that can be used."""
    good = hostile.random.choice([b"mailto:tls@quay.example", b"https://quay.example/in", b"mailto:%22a%20b%22@quay.example"])
    text = b"v=TLSRPTv1; rua=" + hostile.maybe(good) + (b",mailto:tls@quay.example" if hostile.chance(0.7) else b"")
    return [text[:2000][at:at + 255] for at in range(0, len(text[:2000]), 255)]


def test_a_hostile_day(make_site, tmp_path):
    hostile = Hostile(71)
    datagrams = [datagram(hostile, number) for number in range(CASES)]
    records = {f"_smtp._tls.c{number}.example": [record(hostile)] for number in range(CASES)}
    with servers.Nsd(tmp_path / "nsd", txt=records) as dns:
        site = make_site(resolver=dns.address)
        site.collect(datagrams)
        site.pass_day(NEXT_DAY)
        stopped = site.collector_events("collector_stopped")[0]
        assert int(stopped["received"]) == CASES
        assert int(stopped["stored"]) + int(stopped["malformed"]) == CASES and int(stopped["stored"]) > CASES * 0.9
        check_reports(site.run("--dry-run", "--format", "json", timeout=120).stdout, stopped)
        check_mails(site.run("--dry-run", "--format", "mail", timeout=120, text=False).stdout, tmp_path)


def check_reports(output, stopped):
    assert output.isascii()
    rows = [json.loads(line) for line in output.splitlines()]
    sessions = 0
    for row in rows:
        assert set(row) in ({"day", "domain", "rua", "report"}, {"day", "domain", "rua", "skipped"})
        assert re.fullmatch(receivers.DOMAIN, row["domain"])
        assert all(re.fullmatch(r"(?:mailto|https):[!-~]+", rua) for rua in row["rua"])
        if "report" in row:
            receivers.accept_all(row["report"])
            sessions += sum(sum(entry["summary"].values()) for entry in row["report"]["policies"])
    assert len(rows) > CASES * 0.9
    assert sum("report" in row for row in rows) > CASES / 2
    assert sessions <= int(stopped["stored"])


def check_mails(output, tmp_path):
    (tmp_path / "mbox").write_bytes(output)
    assert max(map(len, output.split(b"\r\n"))) <= 998
    mails = re.split(rb"^From MAILER-DAEMON [^\r]*\r\n", output, flags=re.M)[1:]
    assert len(mails) > CASES / 2 and len(mails) == len(mailbox.mbox(tmp_path / "mbox"))
    for number, mail in enumerate(mails, 1):
        fields = check_mail(mail if number == len(mails) else mail.removesuffix(b"\r\n"))
        assert re.fullmatch(r"<(?:[^<>\s\"@]+|\"[^\r\n]+\")@[a-z0-9._-]+>", fields["To"])
        assert fields["TLS-Report-Submitter"] == "reports.seaport.example"
