# SPDX-License-Identifier: MIT
"""RFC 8460 section 3, rule by rule: what `tlsrpt-gen explain` makes of a domain's TXT records."""
import json

import pytest

from dns_stub import SILENT, DnsStub

V = "v=TLSRPTv1"
A, B = "mailto:a@north.example", "https://in.north.example/tlsrpt"
NAME = "_smtp._tls.north.example"


@pytest.fixture
def explain(run_generator):
    """explain(record, …): (rua, error, number of warnings)."""
    def run(*texts):
        done = run_generator("explain", "--format", "json", *(word for text in texts for word in ("--record", text)))
        got = json.loads(done.stdout)
        return got["rua"], got["error"], len(got["warnings"])
    return run


@pytest.fixture
def ask(run_generator):
    """ask(stub, domain): (exit code, answer) of a live look-up."""
    def run(stub, domain="north.example"):
        done = run_generator("-o", f"resolver={stub.address}", "explain", "--format", "json", domain)
        return done.returncode, json.loads(done.stdout)
    return run


def txt(*strings, name=NAME):
    return f"{name}. TXT " + " ".join(f'"{string}"' for string in strings)


def test_exactly_one_name_is_asked(ask):                                                             # R1
    with DnsStub({(NAME, "TXT"): [txt(f"{V}; rua={A}")]}) as stub:
        assert ask(stub)[1]["rua"] == [A]
        ask(stub, "NORTH.example.")
        ask(stub, "bücher.example")
    assert stub.queries == [("udp", NAME, "TXT")] * 2 + [("udp", "_smtp._tls.xn--bcher-kva.example", "TXT")]


def test_strings_are_joined_and_records_are_not(ask):                                                # R2
    with DnsStub({(NAME, "TXT"): [txt(f"{V}; rua=mail", "to:a@", "north.example"), txt(",mailto:b@north.example")]}) as stub:
        assert ask(stub)[1]["rua"] == [A]


def test_other_records_are_thrown_away(explain):                                                     # R3
    assert explain("v=spf1 -all", f"{V}; rua={A}", f"{V}0; rua={B}", f"{V} rua={B}") == ([A], None, 0)
    assert explain(f"{V} ; rua={B}", f"{V}; rua={A}") == ([A], None, 0)


@pytest.mark.parametrize("second", [f"{V}; rua={B}", f"{V}; rua={A}", f"{V};", f"{V};rua=nonsense"])
def test_two_records_are_none(explain, second):                                                      # R4
    assert explain(f"{V}; rua={A}", second) == ([], "MULTIPLE", 0)


@pytest.mark.parametrize("text", ["v=TSLRPTv1;", "v=tlsrptv1;", "V=TLSRPTv1;", "v=TLSRPTv10;", "v=TLSRPTv2;", "v=TLSRPTv1",
                                  " v=TLSRPTv1;", "v=TLSRPTv1\\;", "v =TLSRPTv1;", '"v=TLSRPTv1;', "v=TLSRPTv1,", ""])
def test_version_is_exact(explain, text):                                                            # R5
    assert explain(f"{text} rua={A}" if text else "") == ([], "NO_RECORD", 0)


def test_unknown_fields_are_ignored_in_any_order(explain):                                           # R6
    assert explain(f"{V};a=1;x-y.z_0=!%~;rua={A};rua2=mailto:b@north.example;z=9;") == ([A], None, 0)


@pytest.mark.parametrize("rest", ["", " ", "ttl=1", f"RUA={A}", f"Rua={A}", f"ruf={A}"])
def test_a_record_needs_rua(explain, rest):                                                          # R7
    assert explain(f"{V};{rest}") == ([], "NO_RUA", 0)


def test_lists_and_repeated_fields_are_one_list(explain):                                            # R8
    assert explain(f"{V}; rua={A} \t,\t {B}") == ([A, B], None, 0)
    assert explain(f"{V}; rua={B};rua={A},{B} ; rua=mailto:c@north.example") == ([B, A, "mailto:c@north.example"], None, 0)


def test_delimiters_must_be_encoded(explain):                                                        # R9
    assert explain(f"{V}; rua={A}!10m,{B}!") == ([], "NO_USABLE_RUA", 2)
    assert explain(f"{V}; rua={B}/a%21b%2Cc%3Bd") == ([B + "/a%21b%2Cc%3Bd"], None, 0)
    assert explain(f"{V}; rua=mailto:a%21b@north.example") == (["mailto:a%21b@north.example"], None, 0)


def test_only_the_bad_uri_is_skipped(explain):                                                       # R10
    bad = ["a@north.example", "http://north.example/", "", "mailto:", "https://u@north.example/", "mailto:a%0D%0A@x.example",
           "https://north.example/[1-9]", "https://north.example/%4", "mailto:m%C3%BCller@north.example"]
    assert explain(f"{V}; rua={A}," + ",".join(bad) + f",{B}") == ([A, B], None, len(bad))


def test_scheme_has_no_case(explain):                                                                # R11
    assert explain(f"{V}; rua=MAILTO:a@North.Example,hTTpS://IN.north.example/tlsrpt") == ([A, B], None, 0)
    assert explain(f"{V}; rua=HTTP://x.example/,ftp://x.example/,file:///etc/passwd,data:x,mailtos:a@b.example")[2] == 5


@pytest.mark.parametrize("answer", ["SERVFAIL", "REFUSED", SILENT], ids=["servfail", "refused", "silent"])
def test_no_answer_is_temporary(ask, answer):                                                        # R12
    with DnsStub(default=answer) as stub:
        code, got = ask(stub)
    assert (code, got["error"], got["rua"]) == (75, "TEMPORARY", [])


def test_the_parent_domain_is_never_asked(ask):                                                      # R13
    with DnsStub({(NAME, "TXT"): [txt(f"{V}; rua={A}")]}) as stub:
        assert ask(stub, "mail.north.example")[1]["error"] == "NO_RECORD"
    assert stub.names() == ["_smtp._tls.mail.north.example"]
