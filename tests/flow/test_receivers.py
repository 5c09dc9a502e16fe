# SPDX-License-Identifier: MIT
"""The models of receivers say what the receivers themselves were seen to do, and our reports pass all of them."""
import copy
import json

import pytest

import receivers
from programs import DATA

OK, NO = "", "rejected"
ORDER = ("mox", "Stalwart", "cry-inc", "MailCheck", "parsedmarc")


def edit(path, value):
    """A change of one place of a report; value None with delete=True takes it away."""
    def change(report):
        *way, last = path
        for step in way:
            report = report[step]
        if value is KeyError:
            del report[last]
        else:
            report[last] = value
    return change


POLICY, DETAIL = ("policies", 0, "policy"), ("policies", 0, "failure-details", 0)
VARIANTS = [
    # what is changed, how, and what mox, Stalwart, cry-inc, MailCheck and parsedmarc do
    ("mx-host array", edit((*POLICY, "mx-host"), ["mx.a.example"]), (OK, OK, OK, OK, OK)),
    ("mx-host text", edit((*POLICY, "mx-host"), "mx.a.example"), (NO, NO, NO, OK, OK)),
    ("mx-host absent", edit((*POLICY, "mx-host"), KeyError), (OK, OK, OK, OK, OK)),
    ("mx-host null", edit((*POLICY, "mx-host"), None), (OK, NO, OK, OK, OK)),
    ("policy-string text", edit((*POLICY, "policy-string"), "version: STSv1"), (NO, NO, NO, NO, OK)),
    ("policy-domain absent", edit((*POLICY, "policy-domain"), KeyError), (NO, OK, NO, NO, NO)),
    ("failure-details absent", edit(("policies", 0, "failure-details"), KeyError), (OK, OK, OK, OK, OK)),
    ("failure-details empty", edit(("policies", 0, "failure-details"), []), (OK, OK, OK, OK, OK)),
    ("failure-details null", edit(("policies", 0, "failure-details"), None), (OK, NO, OK, OK, NO)),
    ("IP empty", edit((*DETAIL, "receiving-ip"), ""), (OK, NO, NO, OK, OK)),
    ("IP absent", edit((*DETAIL, "receiving-ip"), KeyError), (OK, OK, OK, OK, OK)),
    ("IP in brackets", edit((*DETAIL, "receiving-ip"), "[1.2.3.4]"), (OK, NO, NO, OK, OK)),
    ("IP with a zone", edit((*DETAIL, "receiving-ip"), "fe80::1%eth0"), (OK, NO, NO, OK, OK)),
    ("unknown result-type", edit((*DETAIL, "result-type"), "sky-fell"), (OK, OK, NO, NO, OK)),
    ("result-type absent", edit((*DETAIL, "result-type"), KeyError), (OK, NO, NO, NO, NO)),
    ("one count only", edit(("policies", 0, "summary", "total-failure-session-count"), KeyError),
     (OK, OK, NO, NO, NO)),
    ("a time without a zone", edit(("date-range", "end-datetime"), "2026-03-14T23:59:59"), (OK, NO, NO, OK, OK)),
    ("contact-info absent", edit(("contact-info",), KeyError), (OK, OK, OK, OK, NO)),
    ("a count of 2^31", edit(("policies", 0, "summary", "total-failure-session-count"), 2**31), (OK, OK, OK, NO, OK)),
]


@pytest.fixture
def report():
    worked = json.loads((DATA / "worked" / "3.report.json").read_text())
    del worked["policies"][0]  # begin with the sts policy, which has a detail
    return worked


@pytest.mark.parametrize("change, want", [row[1:] for row in VARIANTS], ids=[row[0] for row in VARIANTS])
def test_models_decide_as_the_receivers_do(report, change, want):
    change(report)
    got = {name: bool(receivers.verdict(name, report)) for name in ORDER}
    assert got == {name: bool(no) for name, no in zip(ORDER, want)}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_worked_examples_are_accepted(number):
    receivers.accept_all((DATA / "worked" / f"{number}.report.json").read_text())


FAULTS = [
    ("an empty text", edit((*DETAIL, "receiving-mx-helo"), "")),
    ("an unknown result type", edit((*DETAIL, "result-type"), "sky-fell")),
    ("an address that is not in RFC 5952 form", edit((*DETAIL, "receiving-ip"), "2001:DB8::1")),
    ("a mapped address", edit((*DETAIL, "receiving-ip"), "::ffff:192.0.2.7")),
    ("a control character", edit((*DETAIL, "failure-reason-code"), "a\rb")),
    ("a policy-domain in capital letters", edit((*POLICY, "policy-domain"), "QUAY.example")),
    ("an end of another day", edit(("date-range", "end-datetime"), "2026-03-15T23:59:59Z")),
    ("no policies", edit(("policies",), [])),
    ("a count that is too large", edit((*DETAIL, "failed-session-count"), 2**31)),
    ("a fraction", edit((*DETAIL, "failed-session-count"), 1.5)),
    ("a report-id of another submitter", edit(("report-id",), "1773446400.1.quay.example@other.example")),
    ("mx-host where there is no sts", edit(("policies", 1, "policy", "mx-host"), ["a.example"])),
]


@pytest.mark.parametrize("change", [row[1] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_accept_all_finds_faults(report, change):
    receivers.accept_all(copy.deepcopy(report))
    change(report)
    with pytest.raises(AssertionError):
        receivers.accept_all(report)
