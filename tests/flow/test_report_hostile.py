# SPDX-License-Identifier: MIT
"""Whatever stands in the texts, the JSON stays valid and no header can be injected (R71)."""
import json
import re

import pytest

import receivers
import report_tool
from hostile import Hostile

CASES, BATCH = 10000, 1000
HEADERS = ["Date", "Message-ID", "MIME-Version", "From", "To", "Subject", "TLS-Report-Domain", "TLS-Report-Submitter",
           "TLS-Required", "Auto-Submitted", "Content-Type"]
RESULTS = receivers.RESULT_TYPES


def hostile_case(hostile, number):
    """One report whose every text may be hostile."""
    def detail():
        row = {"result_type": hostile.random.choice(RESULTS), "sessions": hostile.random.choice([1, 7, 2**40])}
        for key, good in (("sending_mta_ip", b"192.0.2.10"), ("receiving_mx_hostname", b"mx1.quay.example"),
                          ("receiving_mx_helo", b"mx1.quay.example"), ("receiving_ip", b"2001:db8::1"),
                          ("additional_information", b"https://a.example/x"),
                          ("failure_reason_code", b"self-signed_certificate")):
            if hostile.chance(0.8):
                row[key] = hostile.maybe(good)
        return row
    kind = hostile.random.choice(receivers.POLICY_TYPES)
    policy = {"type": kind, "domain": hostile.maybe(b"quay.example").replace(b"\0", b"") or b"quay.example", "success": 1, "failure": 2,
              "strings": [hostile.maybe(b"version: STSv1") for _ in range(hostile.random.randint(0, 3))],
              "mx_hosts": [hostile.maybe(b"*.quay.example") for _ in range(hostile.random.randint(0, 3))],
              "details": [detail() for _ in range(hostile.random.randint(0, 3))]}
    more = {"organization_name": hostile.maybe(b"Seaport").replace(b"\0", b"") or b"Seaport"}
    if number % 2:  # in every second case the mail's own values are hostile too
        good = report_tool.request()
        more |= {key: hostile.maybe(good[key].encode()) for key in
                 ("contact_info", "domain", "submitter", "from", "to", "message_id", "file_name", "report_id")
                 if hostile.chance(0.3)}
    return report_tool.request(policies=[policy], **more)


def check_report(text):
    assert text.isascii() and text.isprintable()
    report = json.loads(text)
    assert list(report) == [key for key in receivers.HEAD_KEYS if key in report]
    for entry in report["policies"]:
        assert set(entry) <= {"policy", "summary", "failure-details"}
        assert set(entry["policy"]) <= set(receivers.POLICY_KEYS)
        for detail in entry.get("failure-details", ()):
            receivers.check_detail({**detail, "receiving-mx-hostname": "mx.example"} if "receiving-mx-hostname" in detail
                                   else detail)
    for value in receivers.leaves(report):
        assert value not in ("", None, [], {})
        if isinstance(value, str):
            assert not re.search("[\0-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]", value)
    return report


def check_mail(mail):
    """The header block is ours, field by field, and the rest is two parts."""
    assert re.fullmatch(rb"(?:[\x20-\x7e]{0,998}\r\n)+", mail)
    head, _, body = mail.partition(b"\r\n\r\n")
    fields = re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")
    assert [field.partition(b": ")[0].decode() for field in fields] == HEADERS
    boundary = re.search(rb'boundary="([^"]+)"', head)[1]
    assert [line for line in body.split(b"\r\n") if line.startswith(b"--")] == [
        b"--" + boundary, b"--" + boundary, b"--" + boundary + b"--"]
    return dict(field.decode().split(": ", 1) for field in fields)


@pytest.mark.parametrize("batch", range(CASES // BATCH))
def test_rows_of_any_bytes(batch):
    hostile = Hostile(batch)
    cases = [hostile_case(hostile, number) for number in range(BATCH)]
    composed = 0
    for case, answer in zip(cases, report_tool.run(cases), strict=True):
        report = check_report(answer["report"])
        faults = {name: why for name in receivers.MODELS if (why := receivers.verdict(name, report))}
        assert not faults or isinstance(case["contact_info"], bytes) or isinstance(case["report_id"], bytes), faults
        assert answer["status"] in ("ok", "syntax"), answer
        if answer["status"] == "ok":
            composed += 1
            fields = check_mail(answer["mail"])
            assert re.fullmatch(r"Report Domain: (\S+) Submitter: (\S+) Report-ID: <([^<>@\s]+)@([^<>@\s]+)>",
                                fields["Subject"])
            assert re.fullmatch(r"<(?:[^<>\s\"@]+|\"[^\r\n]+\")@[a-zA-Z0-9._-]+>", fields["To"])
        else:
            assert "cannot stand in a header" in answer["error"] and answer["mail"] == b""
    assert BATCH / 2 <= composed < BATCH
