# SPDX-License-Identifier: MIT
"""Report mail is left out at each source of TLS sessions, so that no report is about reports (RFC 8460 section 3).

tests/mta/check_mta shows the same with real MTAs: after the delivery of reports the collector has received nothing new.
"""
import json
import re
import shutil
import socket
import subprocess

import pytest

import programs as lib

MTA, CONF = lib.DATA / "mta", lib.DATA.parents[1] / "conf"
SENDER = "tlsrpt@reports.test"


# ---- Postfix: libtlsrpt datagrams; our mail has the field TLS-Required: No (test_mail.py) ----

@pytest.mark.parametrize("scenario", ["tlsreqno-dane", "tlsreqno-daneok", "tlsreqno-notls", "tlsreqno-broken"])
def test_postfix_sends_no_datagram_for_tls_required_no(scenario):
    """Recorded with Postfix 3.10; each mail was tried, and nothing was sent to the collector's socket."""
    recorded = MTA / "postfix-3.10"
    assert f"to=<user@{scenario}.test>" in (recorded / f"{scenario}.log").read_text()
    assert (recorded / f"{scenario}.datagrams").read_bytes() == b""
    assert (recorded / "dane-ok.datagrams").read_bytes() != b""  # the same destination without the field


# ---- Exim: events, by the ACL in conf/exim; our mail has the field TLS-Report-Domain ----

def exim_acl():
    return (CONF / "exim" / "tlsrpt-gen-acl.conf").read_text()


def test_exim_acl_accepts_report_mail_before_anything_else():
    lines = [line.strip() for line in exim_acl().splitlines() if not line.lstrip().startswith("#")]
    assert lines[:2] == ["tlsrpt_event:", "accept  condition = ${if def:h_tls-report-domain:}"]


@pytest.mark.skipif(shutil.which("exim4") is None, reason="needs Exim")
@pytest.mark.parametrize("fields, is_sent", [("", True), ("TLS-Report-Domain: a.example\n", False),
                                             ("tls-report-domain: a.example\n", False)])
def test_exim_tells_nothing_of_report_mail(tmp_path, fields, is_sent):
    """The ACL as Exim evaluates it for a message; we put in what an event says of a session with TLS."""
    path = tmp_path / "exim.sock"
    text = (CONF / "exim" / "tlsrpt-gen-main.conf").read_text() + "begin acl\n" + exim_acl()
    text = text.replace("TLSRPT_SOCKET = /run/tlsrpt-gen/exim.sock", f"TLSRPT_SOCKET = {path}")
    for word, value in {"$event_name": "smtp:ehlo", "$event_data": "250 x", "!def:tls_out_cipher": "eq{a}{b}",
                        "def:tls_out_cipher": "eq{a}{a}"}.items():
        text = text.replace(word, value)
    (tmp_path / "exim.conf").write_text(text)
    (tmp_path / "mail").write_text(f"From: <a@b.example>\n{fields}Subject: x\n\nx\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)
        listener.settimeout(0)
        done = subprocess.run(["exim4", "-C", tmp_path / "exim.conf", "-bem", tmp_path / "mail", "${acl{tlsrpt_event}}"],
                              capture_output=True, text=True, timeout=60, check=False)
        try:
            with listener.accept()[0] as connection:
                got = connection.recv(65536).decode()
        except BlockingIOError:
            got = ""
    assert done.returncode == 0, done.stdout + done.stderr
    assert ('"what":"success"' in got) == is_sent, (got, done.stdout, done.stderr)


# ---- both log readers: by the envelope sender ----

OPTIONS = {"the default": ["-o", f"contact_info={SENDER}"],
           "from": ["-o", "contact_info=else@reports.test", "-o", f"from={SENDER}"],
           "envelope_from": ["-o", "contact_info=else@reports.test", "-o", f"envelope_from={SENDER}"],
           "--ignore-sender": ["-o", "contact_info=else@reports.test", "--ignore-sender", "x@y.test", "--ignore-sender", SENDER]}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("mta, folder, other", [("postfix", "postfix-3.7", "ABCDEF012345"), ("exim", "exim-4.96", "1xAAAA-0007di-2f")])
def test_log_readers_leave_report_mail_out(programs, tmp_path, mta, folder, other, options):
    """Of two deliveries at the same time, alike but for the sender, that of our own mail is not counted."""
    foreign = (MTA / folder / "dane-ok.log").read_text()
    queue_id = foreign.split("postfix/cleanup")[1].split()[1].strip(":") if mta == "postfix" else foreign.split()[2]
    own = foreign.replace("sender@lab.test", SENDER.upper().replace("REPORTS.TEST", "reports.test"))
    second = re.sub(r"postfix/smtp\[\d+\]", "postfix/smtp[99]", foreign.replace(queue_id, other))  # another process's
    lines = [line for pair in zip(own.splitlines(), second.splitlines()) for line in pair]
    def told(text):
        done = subprocess.run([programs.log, "-o", f"state_dir={tmp_path}/state", "--mta", mta, "--stdout", *options, "-"],
                              input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["d"] for line in done.stdout.splitlines()]
    assert told(own) == []
    assert told("\n".join(lines) + "\n") == ["dane-ok.test"]
    assert told(foreign) == ["dane-ok.test"]
