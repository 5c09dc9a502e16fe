# SPDX-License-Identifier: MIT
"""Reports as the whole programs make them: datagrams into the collector's socket, --dry-run out."""
import collections
import contextlib
import json
import random
import re
import sqlite3

import pytest

import receivers
import reports
import servers
from programs import DATA, read_datagrams

DAY, NEXT_DAY = "2026-03-14", "2026-03-15T06:00:00Z"
DOMAINS = {1: "harbour.example", 2: "lantern.example", 3: "quay.example"}
RECORD = "v=TLSRPTv1; rua=mailto:tls@{}"


def worked(number):
    return (read_datagrams(DATA / "worked" / f"{number}.datagrams.ndjson"),
            (DATA / "worked" / f"{number}.report.json").read_text())


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    with servers.Nsd(tmp_path_factory.mktemp("nsd"), txt={f"_smtp._tls.{d}": RECORD.format(d) for d in (
            *DOMAINS.values(), "a.example", "xn--bcher-kva.example")}) as server:
        yield server


@pytest.fixture
def preview(make_site, dns):
    """preview(datagrams, **settings): what --dry-run shows of them the next morning, by domain."""
    def show(datagrams, *arguments, **settings):
        site = make_site(resolver=dns.address, **settings)
        site.collect(datagrams)
        site.pass_day(NEXT_DAY)
        return site.preview(*arguments)
    return show


def one_policy(datagram_domain="a.example", **policy):
    return {"dpv": "1", "d": datagram_domain, "pr": RECORD.format(datagram_domain),
            "policies": [{"policy-type": 9, "t": len(policy.get("failure-details", ())), "f": 0, **policy}]}


def detail(**fields):
    return one_policy(f=1, **{"failure-details": [{"c": 205, **fields}]})


def only_entry(rows, domain="a.example"):
    entry, = rows[domain]["report"]["policies"]
    return entry


def only_detail(rows):
    found, = only_entry(rows)["failure-details"]
    return found


# ---- the worked examples ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", DOMAINS)
def test_worked_examples(preview, number):                                                      # R14, R15, R27, R30
    datagrams, want = worked(number)
    rows = preview(datagrams)
    assert list(rows) == [DOMAINS[number]]
    assert reports.canonical(rows[DOMAINS[number]]["report"]) == reports.canonical(json.loads(want))
    assert all(ruas == ["mailto:tls@" + domain] for domain, row in rows.items() for ruas in [row["rua"]])


def test_the_order_of_arrival_changes_no_byte(preview):                                         # R33, R35
    datagrams = [datagram for number in DOMAINS for datagram in worked(number)[0]]
    shuffled = random.Random(7).sample(datagrams, len(datagrams))
    first, second = preview(datagrams), preview(shuffled)
    assert reports.canonical(first) == reports.canonical(second)


def test_the_time_zone_of_the_host_does_not_matter(preview, monkeypatch):                       # R16
    datagrams, want = worked(1)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    report = preview(datagrams)["harbour.example"]["report"]
    assert reports.canonical(report) == reports.canonical(json.loads(want))


def test_the_identity_of_the_configuration(preview):                                            # R17, R42
    row = preview(worked(1)[0], organization_name="Häfen & Söhne", contact_info="Tls@Reports.HARBOUR.example")
    report = row["harbour.example"]["report"]
    assert report["organization-name"] == "Häfen & Söhne"
    assert report["contact-info"] == "Tls@reports.harbour.example"
    assert report["report-id"] == "1773446400.1.harbour.example@reports.harbour.example"


def test_report_ids_are_unique(make_site, dns):                                                 # R18
    site = make_site(resolver=dns.address)
    ids = []
    for day in ("2026-03-14", "2026-03-15", "2026-03-16"):
        site.set_time(day + "T12:00:00Z")
        site.collect([datagram for number in DOMAINS for datagram in worked(number)[0]])
    site.pass_day("2026-03-17T06:00:00Z")
    for line in site.run("--dry-run", "--format", "json").stdout.splitlines():
        ids.append(json.loads(line)["report"]["report-id"])
    assert len(ids) == len(set(ids)) == 9


# ---- one rule at a time ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("code, want", [(1, "tlsa"), (2, "sts"), (9, "no-policy-found")])
def test_policy_types(preview, code, want):                                                     # R19
    entry = only_entry(preview([one_policy(**{"policy-type": code, "policy-domain": "a.example"})]))
    assert entry["policy"]["policy-type"] == want


def test_policy_strings(preview):                                                               # R20, R33
    lower = "3 1 1 " + "ab" * 32
    rows = preview([one_policy(**{"policy-type": 1, "policy-domain": "mx.a.example", "policy-string": strings})
                    for strings in ([lower, "2 0 1 " + "CD" * 32], ["2  0 1   " + "cd" * 32, lower.upper(), lower])])
    entry = only_entry(rows)
    assert entry["policy"]["policy-string"] == ["2 0 1 " + "CD" * 32, "3 1 1 " + "AB" * 32]
    assert entry["summary"]["total-successful-session-count"] == 2
    lines = ["version: STSv1", "mode: enforce", "mx: a.example", "mx: *.a.example", "max_age: 1"]
    rows = preview([one_policy(**{"policy-type": 2, "policy-string": lines})])
    assert only_entry(rows)["policy"]["policy-string"] == lines


def test_international_names_become_a_labels(preview):                                          # R21
    rows = preview([one_policy("Bücher.example", **{"policy-type": 2, "policy-domain": "BÜCHER.example.",
                                                    "mx-host": ["*.bücher.example", "MX1.bücher.example"]})])
    entry = only_entry(rows, "xn--bcher-kva.example")
    assert entry["policy"]["policy-domain"] == "xn--bcher-kva.example"
    assert entry["policy"]["mx-host"] == ["*.xn--bcher-kva.example", "mx1.xn--bcher-kva.example"]
    assert ".1.xn--bcher-kva.example@" in rows["xn--bcher-kva.example"]["report"]["report-id"]


@pytest.mark.parametrize("code, keys", [(1, {"policy-type", "policy-domain", "policy-string"}),
                                        (2, {"policy-type", "policy-domain", "policy-string", "mx-host"}),
                                        (9, {"policy-type", "policy-domain", "policy-string"})])
def test_mx_host_stands_for_sts_only(preview, code, keys):                                      # R20, R22
    strings = ["3 1 1 " + "AB" * 32] if code == 1 else ["version: STSv1"]
    entry = only_entry(preview([one_policy(**{"policy-type": code, "policy-string": strings, "mx-host": ["*.a.example"]})]))
    assert set(entry["policy"]) == keys
    assert code != 2 or entry["policy"]["mx-host"] == ["*.a.example"]
    assert code != 9 or entry["policy"]["policy-string"] == []


CODES = {201: "starttls-not-supported", 202: "certificate-host-mismatch", 203: "certificate-not-trusted",
         204: "certificate-expired", 205: "validation-failure", 301: "sts-policy-fetch-error", 302: "sts-policy-invalid",
         303: "sts-webpki-invalid", 304: "tlsa-invalid", 305: "dnssec-invalid", 306: "dane-required"}


def test_result_types(preview):                                                                 # R23, R69
    assert set(CODES.values()) == set(receivers.RESULT_TYPES)
    rows = preview([detail(c=code) for code in (*CODES, 999)])
    found = [(row["result-type"], row.get("failure-reason-code")) for row in only_entry(rows)["failure-details"]]
    assert collections.Counter(found) == collections.Counter(
        [*((word, None) for word in CODES.values()), ("validation-failure", "libtlsrpt-code-999")])


@pytest.mark.parametrize("code", [203, 205])
def test_reasons_are_kept(preview, code):                                                       # R24
    assert only_detail(preview([detail(c=code, f="unable_to_get_issuer")]))["failure-reason-code"] == "unable_to_get_issuer"


ADDRESSES = [("2001:DB8:0:0::10", "2001:db8::10"), ("::ffff:192.0.2.7", "192.0.2.7"), ("192.0.2.7", "192.0.2.7"),
             ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("[192.0.2.7]", None), ("fe80::1%eth0", None), ("", None),
             ("192.0.2.007", None)]


@pytest.mark.parametrize("text, want", ADDRESSES)
def test_addresses(preview, text, want):                                                        # R25
    found = only_detail(preview([detail(s=text, r=text)]))
    assert (found.get("sending-mta-ip"), found.get("receiving-ip")) == (want, want)


def test_counts_are_whole_numbers(preview):                                                     # R26, R34
    rows = preview([detail(c=204)] * 3 + [one_policy()] * 2)
    text = json.dumps(only_entry(rows))
    assert only_entry(rows)["summary"] == {"total-successful-session-count": 2, "total-failure-session-count": 3}
    assert '"failed-session-count": 3' in text and "." not in text.replace("a.example", "")


def test_a_day_of_successes_is_reported(preview):                                               # R27
    entry = only_entry(preview([one_policy()]))
    assert entry["summary"]["total-successful-session-count"] == 1 and "failure-details" not in entry


def test_several_policies_in_one_report(preview):                                               # R30
    kinds = [entry["policy"]["policy-type"] for entry in preview(worked(3)[0])["quay.example"]["report"]["policies"]]
    assert kinds == ["tlsa", "sts", "no-policy-found"]


def test_policy_domain_is_always_there(preview):                                                # R31
    rows = preview([one_policy(), one_policy(**{"policy-domain": "a.example"}), one_policy(**{"policy-domain": ""})])
    entry = only_entry(rows)
    assert entry["policy"] == {"policy-type": "no-policy-found", "policy-string": [], "policy-domain": "a.example"}
    assert entry["summary"]["total-successful-session-count"] == 3


def test_unknown_is_left_out(preview):                                                          # R20, R32
    rows = preview([one_policy(f=1, **{"policy-type": 2, "policy-string": [], "mx-host": [], "failure-details": [
        {"c": 204, "s": "", "n": "", "h": "", "r": "", "a": "", "f": ""}]})])
    assert only_entry(rows) == {
        "policy": {"policy-type": "sts", "policy-string": [], "policy-domain": "a.example"},
        "summary": {"total-successful-session-count": 0, "total-failure-session-count": 1},
        "failure-details": [{"result-type": "certificate-expired", "failed-session-count": 1}]}


def test_greeting_is_reduced_to_its_host(preview):
    found = only_detail(preview([detail(h="250-MX1.a.example Hello [192.0.2.10]\r\n250-PIPELINING\r\n250 STARTTLS")]))
    assert found["receiving-mx-helo"] == "mx1.a.example"


def test_additional_information_must_be_a_uri(preview):
    assert only_detail(preview([detail(a="https://a.example/x?y=%20z")]))["additional-information"].startswith("https:")
    assert "additional-information" not in only_detail(preview([detail(a="see the log")]))


def test_control_characters_do_not_come_through(preview):                                       # R71
    reason = only_detail(preview([detail(f="a\r\n\x00b\x7f\u2028c" + "é" * 300)]))["failure-reason-code"]
    assert re.match("a b +c", reason) and len(reason.encode()) <= 256


def test_several_records_of_one_day_make_one_report(preview):
    first, second = one_policy(), one_policy()
    second["pr"] = "v=TLSRPTv1; rua=mailto:other@a.example"
    rows = preview([first, second])
    assert only_entry(rows)["summary"]["total-successful-session-count"] == 2


# ---- the mail, signed --------------------------------------------------------------------------------------------

def test_nothing_but_ascii_leaves(make_site, dns):                                              # R14
    site = make_site(resolver=dns.address, organization_name="Häfen & Söhne")
    site.collect([detail(f="naïve")])
    site.pass_day(NEXT_DAY)
    line = site.run("--dry-run", "--format", "json").stdout
    assert line.isascii()
    reports.parse_report(line[line.index('"report":') + 9:-2])


def test_dry_run_shows_the_signed_mail(make_site, dns, keys):                                   # R44
    site = make_site(resolver=dns.address, **keys.config("rsa", "ed"))
    site.collect(worked(1)[0])
    site.pass_day(NEXT_DAY)
    mail = site.run("--dry-run", "--format", "mail", text=False).stdout
    assert keys.python_verifies(mail, 0) and keys.python_verifies(mail, 1) and keys.perl_verifies(mail)[0] == "pass"


def test_delivered_mail_verifies_and_a_retry_is_the_same(make_site, dns, keys, smtp_sink):      # R44, R66
    """The real way: program, worker, relay.  The first attempt is refused for now; the second brings the same bytes."""
    site = make_site(resolver=dns.address, relay=smtp_sink.address, **keys.config("rsa", "ed"))
    site.collect(worked(3)[0])
    site.pass_day(NEXT_DAY)
    smtp_sink.answers["DATA"] = ["451 later", None]
    site.run()
    site.set_time("2026-03-15T07:00:00Z")
    site.run()
    refused, received = smtp_sink.refused[0].data, smtp_sink.mails[0].data
    assert refused == received
    assert keys.python_verifies(received, 0) and keys.python_verifies(received, 1)
    assert keys.perl_verifies(received)[0] == "pass"
    got = reports.from_mail(smtp_sink.mails[0])
    assert reports.canonical(got.report) == reports.canonical(json.loads(worked(3)[1]))
    assert got.message["TLS-Report-Domain"] == "quay.example" and got.message["TLS-Required"] == "No"


def test_a_bad_key_is_found_at_once(make_site, dns, keys):
    site = make_site(resolver=dns.address, **keys.config("short"))
    done = site.run(check=False)
    assert done.returncode == 78 and "1024 bits are too few; use 2048 or more" in done.stderr


def test_the_first_run_says_once_that_the_relay_must_sign(make_site, dns, keys):
    site = make_site(resolver=dns.address)
    site.collect(worked(1)[0])
    assert site.run().stderr.count("event=relay_must_sign") == 1
    assert "event=relay_must_sign" not in site.run().stderr
    signing = make_site(resolver=dns.address, **keys.config("ed"))
    assert "event=relay_must_sign" not in signing.run().stderr


@pytest.mark.parametrize("code, want", [(301, "sts-policy-fetch-error"), (302, "sts-policy-invalid"), (303, "sts-webpki-invalid")])
def test_failures_of_the_sts_policy_itself_are_reported(preview, code, want):                   # R29
    lines = ["version: STSv1", "mode: enforce", "mx: *.a.example", "max_age: 86400"]
    rows = preview([one_policy(f=1, **{"policy-type": 2, "policy-string": lines, "failure-details": [{"c": code}]})])
    assert only_detail(rows) == {"result-type": want, "failed-session-count": 1}
    assert only_entry(rows)["policy"]["policy-string"] == lines


def test_counts_above_what_receivers_read_are_clamped_and_logged(make_site, dns, smtp_sink):     # R34
    """Two thousand million sessions are not played in: the counter is set."""
    site = make_site(resolver=dns.address, relay=smtp_sink.address)
    site.collect([one_policy(), detail(c=204)])
    with contextlib.closing(sqlite3.connect(site.state / "sessions.db")) as store, store:
        store.execute("UPDATE tally SET success = 5000000000")
    site.pass_day(NEXT_DAY)
    log = site.run().stderr
    assert "event=count_clamped" in log and "domain=a.example counts=1" in log
    got = reports.from_mail(smtp_sink.mails[0])
    entry, = got.report["policies"]
    assert entry["summary"] == {"total-successful-session-count": 2147483647, "total-failure-session-count": 1}
    assert "stand at 2147483647" in got.message.get_body().get_content()


def test_domains_that_dmarc_would_not_align_are_refused(make_site):                             # R42
    site = make_site()
    site.set(**{"from": "tls@news.seaport.example"})
    done = site.run(check=False)
    assert done.returncode == 78
    assert "news.seaport.example" in done.stderr and "reports.seaport.example" in done.stderr


def test_the_sending_address_can_be_another(preview):                                           # R73
    rows = preview([detail(s="10.0.0.1"), detail(s="10.0.0.2"), detail()], sending_mta_ip="2001:DB8::1")
    found = only_detail(rows)
    assert found["sending-mta-ip"] == "2001:db8::1" and found["failed-session-count"] == 3
