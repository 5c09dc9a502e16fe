# SPDX-License-Identifier: MIT
"""The mail that brings a report, as independent software sees it: Python's email package, python3-dkim and Mail::DKIM,
also behind a real relay."""
import contextlib
import email
import email.policy
import gzip
import json
import re
import smtplib
import subprocess

import pytest

import receivers
import report_tool
from dkim_keys import Keys

SUBMITTER = report_tool.SUBMITTER
DOMAIN = "harbour.example"
FILE_NAME = f"{SUBMITTER}!{DOMAIN}!1773446400!1773532799.json.gz"
REPORT_ID = f"1773446400.1.{DOMAIN}@{SUBMITTER}"
FAILED = [{"type": "tlsa", "domain": "mx1.harbour.example", "success": 4, "failure": 3, "details": [
    {"result_type": "certificate-expired", "sessions": 2, "receiving_mx_hostname": "mx1.harbour.example"},
    {"result_type": "validation-failure", "sessions": 1, "failure_reason_code": "self-signed_certificate"}]}]


def parse(mail):
    return email.message_from_bytes(mail, policy=email.policy.SMTP)


@pytest.fixture(scope="module")
def mail():
    answer = report_tool.run_one(policies=FAILED)
    assert answer["status"] == "ok", answer
    return answer["mail"]


@pytest.fixture(scope="module")
def message(mail):
    return parse(mail)


def test_headers_stand_once_and_in_order(message):
    assert message.keys() == ["Date", "Message-ID", "MIME-Version", "From", "To", "Subject", "TLS-Report-Domain",
                              "TLS-Report-Submitter", "TLS-Required", "Auto-Submitted", "Content-Type"]
    assert message.defects == []


def test_multipart_report_of_two_parts(message):                                                        # R39
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "tlsrpt"
    first, second = message.iter_parts()
    assert first.get_content_type() == "text/plain" and first["Content-Transfer-Encoding"] == "7bit"
    assert second.get_content_type() == "application/tlsrpt+gzip"                                       # R40
    assert second["Content-Transfer-Encoding"] == "base64"
    assert [part.defects for part in (first, second)] == [[], []]


def test_attachment_is_the_report(message):
    _, second = message.iter_parts()
    report = gzip.decompress(second.get_content()).decode()
    receivers.accept_all(report)
    assert json.loads(report)["report-id"] == REPORT_ID


def test_names_of_the_file_are_plain(mail, message):                                                    # R36, R37, R54
    _, second = message.iter_parts()
    assert second.get_filename() == second["Content-Type"].params["name"] == FILE_NAME
    assert f'filename="{FILE_NAME}"'.encode() in mail and f'name="{FILE_NAME}"'.encode() in mail
    assert b"filename*" not in mail and b"name*" not in mail
    assert second.get_content()[:2] == b"\x1f\x8b"


def test_subject_grammar(mail, message):                                                                # R43
    found = re.fullmatch(r"Report Domain: (\S+) Submitter: (\S+) Report-ID: <([^<>@\s]+)@([^<>@\s]+)>",
                         message["Subject"])
    assert found.groups() == (DOMAIN, SUBMITTER, *REPORT_ID.split("@"))
    assert re.search(rb"\r\nSubject: Report Domain: \S+\r\n Submitter: \S+\r\n Report-ID: <\S+>\r\n", mail)


def test_tls_report_fields(message):                                                                    # R41, R42
    assert message.get_all("TLS-Report-Domain") == [DOMAIN]
    assert message.get_all("TLS-Report-Submitter") == [SUBMITTER]
    assert message["From"].addresses[0].domain == SUBMITTER


def test_subject_file_and_json_agree(message):                                                          # R53
    _, second = message.iter_parts()
    report = json.loads(gzip.decompress(second.get_content()))
    submitter, domain, begin, end = second.get_filename().removesuffix(".json.gz").split("!")
    assert (submitter, domain) == (message["TLS-Report-Submitter"], message["TLS-Report-Domain"])
    assert report["contact-info"].endswith("@" + submitter) and report["report-id"].endswith("@" + submitter)
    assert (int(begin), int(end)) == (report_tool.BEGIN, report_tool.END)
    assert f"<{report['report-id']}>" in message["Subject"]


def test_tls_required_no_stands_once(message):                                                          # R51
    assert message.get_all("TLS-Required") == ["No"]


def test_other_fields(message):                                                                         # R52
    assert message["Date"].datetime.isoformat() == "2026-03-15T00:11:39+00:00"
    assert message["Message-ID"] == f"<1773446400.1.{DOMAIN}.rua1@{SUBMITTER}>"
    assert message["MIME-Version"] == "1.0" and message["Auto-Submitted"] == "auto-generated"


def test_lines_are_short_ascii_and_end_in_crlf(mail):                                                   # R52
    assert mail.isascii() and mail.endswith(b"\r\n")
    assert max(map(len, mail.split(b"\r\n"))) <= 998
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", mail)


def test_one_address(message):                                                                          # R55
    assert [str(address) for address in message["To"].addresses] == [f"tls@{DOMAIN}"]
    assert "Cc" not in message and "Bcc" not in message


def test_text_tells_a_person_what_it_is(message):
    first, _ = message.iter_parts()
    words = first.get_content()
    for piece in (DOMAIN, "2026-03-14", "Seaport Mail Operations", "tlsrpt-team@reports.seaport.example", "4  succeeded",
                  "3  failed", "2  the certificate has expired", "(validation-failure)", f"_smtp._tls.{DOMAIN} TXT",
                  "To stop them", "RFC 8460"):
        assert piece in words
    assert max(map(len, words.splitlines())) <= 78


def test_an_organisation_that_is_not_ascii():
    answer = report_tool.run_one(organization_name="Häfen & Söhne €".encode())
    first, second = parse(answer["mail"]).iter_parts()
    assert "Sent by:   Häfen & Söhne €" in first.get_content()
    assert answer["mail"].isascii() and second.get_content() == answer["gzip"]
    assert json.loads(answer["report"])["organization-name"] == "Häfen & Söhne €"


def test_a_folded_report_says_so():                                                                     # issue: size
    details = [{"result_type": "certificate-expired", "sessions": 1, "repeat": 3000}]
    answer = report_tool.run_one(max_bytes=65536, policies=[
        {"type": "tlsa", "domain": "mx.harbour.example", "failure": 3000, "details": details}])
    first, second = parse(answer["mail"]).iter_parts()
    assert re.search(r"the (\d+) rarest of its 3000\s+failure details", first.get_content())[1] == str(answer["folded"])
    report = gzip.decompress(second.get_content()).decode()
    receivers.accept_all(report)
    assert 32768 < len(report) <= 65536
    counts = [d["failed-session-count"] for d in json.loads(report)["policies"][0]["failure-details"]]
    assert sum(counts) == 3000 and counts[-1] == answer["folded"]


def test_the_same_values_give_the_same_bytes(keys):                                                     # R66
    first, second = (report_tool.run_one(policies=FAILED, **keys.settings("rsa", "ed")) for _ in range(2))
    assert first["mail"] == second["mail"] and first["gzip"] == second["gzip"]


# ---- DKIM ------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def signed(keys):
    answer = report_tool.run_one(policies=FAILED, **keys.settings("rsa", "ed"))
    assert answer["status"] == "ok", answer
    return answer["mail"]


def tags(mail, index):
    field = parse(mail).get_all("DKIM-Signature")[index]
    pairs = (part.partition("=") for part in re.sub(r"\s", "", field).strip(";").split(";"))
    return {name: value for name, _, value in pairs}


def test_both_signatures_verify_with_python(keys, signed):                                              # R44
    assert [tags(signed, i)["a"] for i in (0, 1)] == ["rsa-sha256", "ed25519-sha256"]
    assert keys.python_verifies(signed, 0) and keys.python_verifies(signed, 1)


def test_rsa_verifies_with_perl(keys, signed):                                                          # R44
    assert keys.perl_verifies(signed)[0] == "pass"
    assert keys.perl_verifies(signed.replace(b"4  succeeded", b"5  succeeded"))[0] == "fail"


# RFC 5322 and RFC 2045 allow each once; the signature lists each twice, so that nobody can add another one.
SINGLE_FIELDS = {"From": b"<x@other.example>", "To": b"<x@other.example>", "Subject": b"x",
                 "Date": b"Sun, 15 Mar 2026 01:00:00 +0000", "Message-ID": b"<x@other.example>", "MIME-Version": b"1.0",
                 "Content-Type": b"text/html"}


def test_signature_covers_what_it_should(signed):                                                       # R45, R46
    for index in (0, 1):
        found = tags(signed, index)
        names = found["h"].lower().split(":")
        assert set(names) == {"from", "to", "subject", "date", "message-id", "mime-version", "content-type",
                              "tls-report-domain", "tls-report-submitter"}
        for name in SINGLE_FIELDS:
            assert names.count(name.lower()) == 2, name
        assert "l" not in found
        assert found["d"] == SUBMITTER and found["c"] == "relaxed/relaxed" and found["t"] == "1773533499"


CHANGES = [
    ("TLS-Required taken away", lambda m: m.replace(b"TLS-Required: No\r\n", b""), True),
    ("a field added on top", lambda m: b"Received: from a by b\r\n" + m, True),
    ("blanks in a header", lambda m: m.replace(b"To: <", b"To:   <"), True),
    ("the domain changed", lambda m: m.replace(b"TLS-Report-Domain: h", b"TLS-Report-Domain: x"), False),
    ("the submitter changed", lambda m: m.replace(b"TLS-Report-Submitter: r", b"TLS-Report-Submitter: x"), False),
    *((f"a second {name}", lambda m, field=b"%s: %s\r\n" % (name.encode(), value): field + m, False)
      for name, value in SINGLE_FIELDS.items()),
    ("a text in front of the parts", lambda m: m.replace(b"\r\n\r\n--=_", b"\r\n\r\nx\r\n--=_"), False),
    ("a text behind the end", lambda m: m + b"x\r\n", False),
]


@pytest.mark.parametrize("change, want", [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_change_on_the_way(keys, signed, change, want):
    changed = change(signed)
    assert changed != signed
    for index in (0, 1):
        assert keys.python_verifies(changed, index) == want


def test_second_selector_for_strict_receivers(keys, signed):                                            # R47
    """One key record says s=tlsrpt, as the RFC would have it; the other is for everybody."""
    strict = Keys.__new__(Keys)
    strict.records = dict(keys.records, ed=keys.records["ed"].replace("v=DKIM1;", "v=DKIM1; s=tlsrpt;"))
    assert strict.python_verifies(signed, 0)
    assert strict.python_verifies(signed, 1, tlsrpt="strict")
    assert not strict.python_verifies(signed, 0, tlsrpt="strict")


@pytest.mark.parametrize("name, why", [("short", "1024 bits are too few; use 2048 or more")])
def test_weak_keys_are_refused(keys, name, why):
    answer = report_tool.run_one(policies=FAILED, **keys.settings(name))
    assert answer["status"] == "config" and why in answer["error"]


def test_keys_that_others_may_read_are_refused(keys, tmp_path):
    file = tmp_path / "open.pem"
    file.write_bytes((keys.folder / "ed.pem").read_bytes())
    file.chmod(0o644)
    answer = report_tool.run_one(dkim_domain=SUBMITTER, dkim_keys=[f"a:ed25519-sha256:{file}"])
    assert answer["status"] == "config" and f"run: chmod o= {file}" in answer["error"]


def test_encrypted_keys_are_refused_without_asking(keys, tmp_path):
    file = tmp_path / "locked.pem"
    subprocess.run(["openssl", "pkey", "-in", keys.folder / "rsa.pem", "-aes256", "-passout", "pass:x", "-out", file],
                   check=True, capture_output=True)
    file.chmod(0o600)
    answer = report_tool.run_one(dkim_domain=SUBMITTER, dkim_keys=[f"a:rsa-sha256:{file}"])
    assert answer["status"] == "config" and "without passphrase" in answer["error"]


# ---- behind a relay --------------------------------------------------------------------------------------------

def test_signature_verifies_behind_a_relay(keys, signed, smtp_sink):
    """A real SMTP dialogue: dots are stuffed and taken away again, every byte arrives."""
    with contextlib.closing(smtplib.SMTP("127.0.0.1", smtp_sink.port, timeout=20)) as client:
        client.sendmail("tlsrpt-team@reports.seaport.example", [f"tls@{DOMAIN}"], signed)
    received = smtp_sink.mails[0].data
    assert keys.python_verifies(received, 0) and keys.python_verifies(received, 1)
    assert keys.perl_verifies(received)[0] == "pass"
