# SPDX-License-Identifier: MIT
"""tlsrpt-gen explain: the shared record cases, live look-ups, and words that name the slip."""
import json
import re

import pytest

from dns_stub import SILENT, DnsStub
from programs import DATA

CASES = json.loads((DATA / "tlsrpt-records.json").read_text())["cases"]
GOOD = "v=TLSRPTv1; rua=mailto:tls@north.example"
NAME = "_smtp._tls.north.example"


def records(*texts):
    return [word for text in texts for word in ("--record", text)]


@pytest.fixture
def explain(run_generator):
    def run(*arguments):
        return run_generator("explain", *arguments)
    return run


@pytest.fixture
def explain_json(explain):
    def run(*arguments):
        done = explain("--format", "json", *arguments)
        assert done.stdout.count("\n") == 1, done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout)
    return run


@pytest.mark.parametrize("case", CASES, ids=[str(case["id"]) for case in CASES])
def test_shared_case(explain_json, case):
    code, got = explain_json(*records(*("".join(strings) for strings in case["txt"])))
    assert (got["rua"], got["error"], len(got["warnings"])) == (case["rua"], case["error"], case["warnings"])
    assert code == (0 if case["rua"] else 1)


SLIPS = [
    ("letters swapped", ["v=TSLRPTv1; rua=mailto:a@n.example"], "misspelt"),
    ("wrong case", ["v=tlsrptv1; rua=mailto:a@n.example"], "upper and lower case"),
    ("backslash", ["v=TLSRPTv1\\; rua=mailto:a@n.example"], "backslash"),
    ("quotes", ['"v=TLSRPTv1; rua=mailto:a@n.example"'], "quotes"),
    ("no semicolon", ["v=TLSRPTv1 rua=mailto:a@n.example"], "';' is missing"),
    ("leading blank", [" v=TLSRPTv1; rua=mailto:a@n.example"], "blank stands in front"),
    ("version last", ["rua=mailto:a@n.example; v=TLSRPTv1"], "begin with v=TLSRPTv1"),
    ("no mailto", ["v=TLSRPTv1; rua=a@n.example"], 'without "mailto:"'),
    ("http", ["v=TLSRPTv1; rua=http://n.example/"], 'plain "http:"'),
    ("two records", [GOOD, GOOD], "more than one TLSRPT record"),
    ("RUA", ["v=TLSRPTv1; RUA=mailto:a@n.example"], "lower case"),
    ("no rua=", ["v=TLSRPTv1; mailto:a@n.example"], '"rua=" is missing'),
    ("colon", ["v=TLSRPTv1; rua:mailto:a@n.example"], "no blank or colon"),
    ("DMARC suffix", ["v=TLSRPTv1; rua=mailto:a@n.example!10m"], "%21"),
    ("backslash behind", ["v=TLSRPTv1; rua=mailto:a@n.example\\;"], "backslash"),
    ("DMARC record", ["v=DMARC1; p=none; rua=mailto:a@n.example"], "another kind"),
]


@pytest.mark.parametrize("what, texts, words", SLIPS, ids=[slip[0] for slip in SLIPS])
def test_slip_is_named(explain, what, texts, words):
    done = explain(*records(*texts))
    assert done.returncode == 1 and words in done.stdout, done.stdout


def test_kept_and_skipped_stand_side_by_side(explain):
    done = explain(*records(GOOD + ",ftp://n.example/ , https://in.n.example?x ;"))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "  kept    mailto:tls@north.example" in lines and "  kept    https://in.n.example/?x" in lines
    assert any(line.startswith('  skipped "ftp://n.example/" (byte 41): only') for line in lines), done.stdout


def test_a_refused_port_is_skipped(explain, explain_json):
    """Words of the delivery's address policy; https_allow is the operator's."""
    odd = "https://in.n.example:8443/x"
    code, got = explain_json(*records(GOOD + "," + odd))
    assert (code, got["rua"]) == (0, ["mailto:tls@north.example"])
    assert got["warnings"] == [f"skipped {odd}: its port 8443 is neither 443 nor in https_allow"]
    done = explain(*records(f"v=TLSRPTv1; rua={odd}"))
    assert done.returncode == 1 and f"  skipped {odd}: its port 8443 is neither" in done.stdout, done.stdout
    assert explain_json(*records(f"v=TLSRPTv1; rua={odd}"))[1]["error"] == "NO_USABLE_RUA"


def test_an_allowed_port_is_kept(run_generator):
    done = run_generator("-o", "https_allow=:8443", "explain", *records("v=TLSRPTv1; rua=https://in.n.example:8443/x"))
    assert done.returncode == 0 and "  kept    https://in.n.example:8443/x" in done.stdout, done.stdout


def test_hints_are_no_warnings(explain_json):
    code, got = explain_json(*records(GOOD + "?subject=x;ttl=1", "v=spf1 -all"))
    assert code == 0 and got["warnings"] == [] and len(got["hints"]) == 3


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_record_cannot_reach_the_terminal(explain, form):
    text = "v=TLSRPTv1; rua=mailto:\x1b]0;x\x07,\x9b31m\u2028,\r\nx=y;\x7f"
    done = explain("--format", form, *records(text, "\x1b[2J"))
    assert done.returncode == 1
    assert re.fullmatch(r"[\n -~]+", done.stdout)


def test_works_without_settings_and_refuses_wrong_words(explain):
    assert explain().returncode == 64
    assert explain("a.example", "b.example").returncode == 64
    assert explain("--format", "xml", "a.example").returncode == 64
    assert explain("--frobnicate").returncode == 64
    assert explain("a..example").returncode == 65
    done = explain("--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: tlsrpt-gen explain")


# ---- live --------------------------------------------------------------------------------------------------

@pytest.fixture
def live(run_generator):
    """live(server, *arguments): exit code and the JSON answer."""
    def run(server, *arguments):
        done = run_generator("-o", f"resolver={server.address}", "explain", "--format", "json", *arguments)
        return done.returncode, json.loads(done.stdout)
    return run


def test_live_record(nsd, live):
    nsd.txt.update({NAME: [["v=TLSRPTv1; rua=mail", "to:tls@north.example"], "v=spf1 -all"],
                    "_smtp._tls.xn--bcher-kva.example": GOOD})
    nsd.reload()
    assert live(nsd, "north.example")[1] == {"name": NAME, "rua": ["mailto:tls@north.example"], "error": None,
                                             "warnings": [], "hints": live(nsd, "north.example")[1]["hints"]}
    assert live(nsd, NAME)[0] == 0  # the record's own name is understood
    assert live(nsd, "bücher.example")[1]["name"] == "_smtp._tls.xn--bcher-kva.example"
    code, got = live(nsd, "south.example")
    assert (code, got["error"]) == (1, "NO_RECORD")


def test_live_asks_only_that_name(live):
    with DnsStub() as stub:
        assert live(stub, "mail.north.example")[0] == 1
    assert stub.queries == [("udp", "_smtp._tls.mail.north.example", "TXT")]


@pytest.mark.parametrize("answer", ["SERVFAIL", SILENT])
def test_live_no_answer_is_no_verdict(live, run_generator, answer):
    with DnsStub(default=answer) as stub:
        assert live(stub, "north.example")[0] == 75
        done = run_generator("-o", f"resolver={stub.address}", "explain", "north.example")
    assert done.returncode == 75 and "try again later" in done.stdout


def test_nearby_finds_a_record_at_a_wrong_name(live):
    answers = {("north.example", "TXT"): [f'north.example. TXT "{GOOD}"'],
               (NAME + ".north.example", "TXT"): [f'{NAME}.north.example. TXT "{GOOD}"']}
    with DnsStub(answers) as stub:
        assert live(stub, "north.example")[1]["hints"] == []
        code, got = live(stub, "--nearby", "north.example")
    assert code == 1 and len(got["hints"]) == 2
    assert all("must stand at " + NAME in hint for hint in got["hints"])
