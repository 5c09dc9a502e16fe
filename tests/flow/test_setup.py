# SPDX-License-Identifier: MIT
"""tlsrpt-gen setup-postfix: shows what is to be done, does it on demand, and does nothing twice."""
import os
import subprocess

import pytest

from programs import Site

POSTCONF = r"""#!/bin/sh
# A postconf with the parts that setup-postfix uses; main.cf is beside it.
main_cf=${0%/*}/main.cf
echo "$*" >>"${0%/*}/calls"
case $1 in
-h) sed -n "s,^$2 = ,,p" "$main_cf" ;;
-e) sed -i "s,^${2%% = *} = .*,$2," "$main_cf" ;;
*) exit 1 ;;
esac
"""
QUEUE = "/var/spool/postfix"
WANTED = ["smtp_tlsrpt_enable = yes", "smtp_tlsrpt_socket_name = run/tlsrpt/tlsrpt.sock",
          "smtp_tlsrpt_skip_reused_handshakes = no"]


class FakePostfix:
    def __init__(self, directory, programs, version, knows_tlsrpt=True):
        self.directory = directory
        self.programs = programs
        self.units = directory / "units"
        self.main_cf = directory / "main.cf"
        self.units.mkdir()
        lines = [f"mail_version = {version}", f"queue_directory = {QUEUE}", "mail_owner = nobody"]
        if knows_tlsrpt:
            lines += ["smtp_tlsrpt_enable = no", "smtp_tlsrpt_socket_name = ", "smtp_tlsrpt_skip_reused_handshakes = yes"]
        self.main_cf.write_text("\n".join(lines) + "\n")
        postconf = directory / "postconf"
        postconf.write_text(POSTCONF)
        postconf.chmod(0o755)

    @property
    def drop_in(self):
        return self.units / "tlsrpt-gen-collect.socket.d" / "postfix.conf"

    def run(self, *arguments):
        environment = dict(os.environ, PATH=f"{self.directory}:/usr/bin:/bin")
        return subprocess.run([self.programs.generate, "setup-postfix", "--unit-dir", self.units, *arguments],
                              env=environment, capture_output=True, text=True, timeout=20, check=False)

    def writes(self):
        return [line for line in (self.directory / "calls").read_text().splitlines() if line.startswith("-e")]

    def add_policy_table(self, name, answer, key="gmail.com"):
        """A policy plug-in, and a postmap that asks it."""
        with open(self.main_cf, "a", encoding="ascii") as main_cf:
            main_cf.write(f"smtp_tls_policy_maps = {name}\nsmtp_tls_security_level = dane\n")
        postmap = self.directory / "postmap"
        postmap.write_text(f"#!/bin/sh\n[ \"$*\" = '-q {key} {name}' ] && echo '{answer}'\n")
        postmap.chmod(0o755)


@pytest.fixture
def fake_postfix(tmp_path, programs):
    return lambda version, **keywords: FakePostfix(tmp_path, programs, version, **keywords)


def test_shows_and_changes_nothing(fake_postfix):
    postfix = fake_postfix("3.10.13")
    before = postfix.main_cf.read_text()
    done = postfix.run()
    assert done.returncode == 0, done.stderr
    for line in [*WANTED, f"ListenDatagram={QUEUE}/run/tlsrpt/tlsrpt.sock", "SocketGroup=nogroup",
                 "tlsrpt-gen setup-postfix --apply"]:
        assert line in done.stdout
    assert postfix.main_cf.read_text() == before
    assert not postfix.drop_in.exists()
    assert postfix.writes() == []


def test_applies_once(fake_postfix):
    postfix = fake_postfix("3.11.0")
    done = postfix.run("--apply")
    assert done.returncode == 0, done.stderr
    assert "postfix reload" in done.stdout and "systemctl daemon-reload" in done.stdout
    assert set(WANTED) <= set(postfix.main_cf.read_text().splitlines())
    assert f"ListenDatagram={QUEUE}/run/tlsrpt/tlsrpt.sock\nSocketGroup=nogroup\n" in postfix.drop_in.read_text()
    assert len(postfix.writes()) == 3

    again = postfix.run("--apply")
    assert again.returncode == 0, again.stderr
    assert "Nothing is left to do." in again.stdout
    assert len(postfix.writes()) == 3


def test_applies_only_what_is_missing(fake_postfix):
    postfix = fake_postfix("3.10.7")
    postfix.run("--apply")
    postfix.main_cf.write_text(postfix.main_cf.read_text().replace("handshakes = no", "handshakes = yes"))
    done = postfix.run("--apply")
    assert done.returncode == 0, done.stderr
    assert postfix.writes()[3:] == [f"-e {WANTED[2]}"]


def test_without_systemd_names_the_settings(fake_postfix):
    postfix = fake_postfix("3.10.7")
    postfix.units.rmdir()
    done = postfix.run("--apply")
    assert done.returncode == 0, done.stderr
    assert f"socket = {QUEUE}/run/tlsrpt/tlsrpt.sock" in done.stdout and "socket_group = nogroup" in done.stdout
    assert "systemctl" not in done.stdout
    assert not postfix.units.exists()


@pytest.mark.parametrize("version, knows_tlsrpt", [
    ("3.7.11", False), ("3.9.1", False), ("2.11.3", False), ("3.10.2", False)])
def test_refuses_with_the_alternative(fake_postfix, version, knows_tlsrpt):
    postfix = fake_postfix(version, knows_tlsrpt=knows_tlsrpt)
    done = postfix.run("--apply")
    assert done.returncode == 69
    assert version in done.stderr and "tlsrpt-gen-log@postfix" in done.stderr and "smtp_tls_loglevel" in done.stderr
    assert postfix.writes() == [] and not postfix.drop_in.exists()


@pytest.mark.parametrize("version, is_told", [("3.10.0", True), ("3.10.5", True), ("3.10.6", False), ("3.11.0", False),
                                              ("3.12-20260101", False)])
def test_says_which_versions_to_leave_behind(fake_postfix, version, is_told):
    done = fake_postfix(version).run()
    assert done.returncode == 0, done.stderr
    assert ("upgrade to 3.10.6" in done.stdout) == is_told


def test_no_postfix(fake_postfix, tmp_path):
    if os.path.exists("/usr/sbin/postconf"):
        pytest.skip("Postfix is installed here")
    postfix = fake_postfix("3.10.7")
    (tmp_path / "postconf").unlink()
    done = postfix.run()
    assert done.returncode == 69 and "Postfix is not installed" in done.stderr


@pytest.mark.parametrize("answer", ["", "three", "99999999999999999999.1", "3"])
def test_a_version_that_is_none(fake_postfix, answer):
    done = fake_postfix(answer).run("--apply")
    assert done.returncode == 65 and "is not a number" in done.stderr


@pytest.mark.parametrize("words", [["--aply"], ["now"], ["--apply", "--unit-dir"]])
def test_wrong_words(fake_postfix, words):
    postfix = fake_postfix("3.10.7")
    assert postfix.run(*words).returncode == 64
    assert not (postfix.directory / "calls").exists()


def test_setup_exim_names_its_socket_and_takes_no_words(run_generator):
    done = run_generator("setup-exim")
    assert "tlsrpt-gen-exim.socket" in done.stdout and "exim_socket = /run/tlsrpt-gen/exim.sock" in done.stdout
    assert done.returncode in (0, 66)  # 66: it was not installed on this machine, so there is no fragment to show
    assert done.returncode == 0 or "No such file" in done.stderr
    assert run_generator("setup-exim", "--apply").returncode == 64


SECURE = "secure match=mx.gmail.com servername=hostname"
TLSPOL, RESOLVER = "socketmap:inet:127.0.0.1:8642", "socketmap:inet:127.0.0.1:8461"


@pytest.mark.parametrize(("version", "table", "answer", "wanted", "unwanted"), [
    ("3.10.13", f"{TLSPOL}:QUERY", SECURE, [f"fix: run postconf -e 'smtp_tls_policy_maps = {TLSPOL}:QUERYwithTLSRPT'",
                                            "tlsrpt-gen-log@postfix-sts.service"], ["wins over DANE"]),
    ("3.10.13", f"{RESOLVER}:postfix", SECURE, ["tlsrpt: true", "wins over DANE"], ["QUERYwithTLSRPT"]),
    ("3.10.13", f"{TLSPOL}:QUERYwithTLSRPT", f"{SECURE} policy_type=sts", ["with TLSRPT attributes", "postfix-sts.service"],
     ["fix:", "wins over DANE"]),
    ("3.10.13", "texthash:/etc/postfix/policy", "may", [], ["Policy table", "postfix-sts"]),
    ("3.7.11", f"{TLSPOL}:QUERYwithTLSRPT", f"{SECURE} policy_type=sts", ["is deferred", f"{TLSPOL}:QUERY'"],
     ["postfix-sts"]),
    ("3.7.11", f"{TLSPOL}:QUERY", SECURE, [], ["Policy table", "postfix-sts"]),
])
def test_policy_plugins_are_judged(fake_postfix, version, table, answer, wanted, unwanted):  # noqa: PLR0913, PLR0917
    postfix = fake_postfix(version, knows_tlsrpt=version.startswith("3.10"))
    postfix.add_policy_table(table, answer)
    done = postfix.run()
    for words in wanted:
        assert words in done.stdout
    for words in unwanted:
        assert words not in done.stdout
    assert postfix.writes() == []


def test_policy_tables_are_asked_about_a_counted_domain(fake_postfix, programs, tmp_path):
    with Site(tmp_path / "site", programs) as site:
        site.collect(['{"d":"harbour.example","policies":[{"policy-type":2,"policy-string":["version: STSv1","mode: enforce"],'
                      '"t":0,"f":0}]}'])
        postfix = fake_postfix("3.10.13")
        postfix.add_policy_table(f"{TLSPOL}:QUERY", SECURE, key="harbour.example")
        done = subprocess.run([programs.generate, "-c", site.config, "setup-postfix"], capture_output=True, text=True,
                              env=dict(site.environment, PATH=f"{postfix.directory}:/usr/bin:/bin"), timeout=20, check=False)
    assert "without TLSRPT attributes" in done.stdout, done.stdout + done.stderr


REPORT_TRANSPORT = ["-M tlsrpt-smtp/unix=tlsrpt-smtp unix - - y - - smtp", "-P tlsrpt-smtp/unix/syslog_name=postfix/tlsrpt",
                    "-P tlsrpt-smtp/unix/smtp_tls_security_level=may", "-P tlsrpt-smtp/unix/smtp_tls_policy_maps="]


def run_with(postfix, tmp_path, envelope_from, *arguments):
    config = tmp_path / "tlsrpt-gen.conf"
    config.write_text("organization_name = Lab\ncontact_info = people@lab.test\n"
                      + (f"envelope_from = {envelope_from}\n" if envelope_from else ""))
    environment = dict(os.environ, PATH=f"{postfix.directory}:/usr/bin:/bin")
    return subprocess.run([postfix.programs.generate, "-c", config, "setup-postfix", *arguments], env=environment,
                          capture_output=True, text=True, timeout=20, check=False)


def edits(postfix):
    return [line for line in (postfix.directory / "calls").read_text().splitlines() if line[:2] in ("-M", "-P", "-e")]


def test_an_old_postfix_gets_a_transport_for_reports(fake_postfix, tmp_path):
    postfix = fake_postfix("3.7.11", knows_tlsrpt=False)
    postconf = postfix.directory / "postconf"
    postconf.write_text(postconf.read_text().replace("*) exit 1", "-M | -P) ;;\n*) exit 1"))
    shown = run_with(postfix, tmp_path, "tlsrpt@lab.test")
    assert "postconf -e 'sender_dependent_default_transport_maps = inline:{ { tlsrpt@lab.test = tlsrpt-smtp: } }'" in shown.stdout
    assert edits(postfix) == []
    done = run_with(postfix, tmp_path, "tlsrpt@lab.test", "--apply")
    assert edits(postfix) == [*REPORT_TRANSPORT, "-e sender_dependent_default_transport_maps = "
                              "inline:{ { tlsrpt@lab.test = tlsrpt-smtp: } }"], done.stderr
    assert done.returncode == 69  # this Postfix cannot report by itself


def test_an_address_that_people_use_is_not_sent_without_tls_policy(fake_postfix, tmp_path):
    postfix = fake_postfix("3.7.11", knows_tlsrpt=False)
    done = run_with(postfix, tmp_path, None, "--apply")
    assert "an address that nothing else sends from" in done.stdout
    assert edits(postfix) == []


@pytest.mark.parametrize("line", ["relayhost = [mx.lab.test]", "sender_dependent_default_transport_maps = "
                                  "inline:{ { tlsrpt@lab.test = tlsrpt-smtp: } }"])
def test_with_a_relayhost_or_the_transport_nothing_is_missing(fake_postfix, tmp_path, line):
    postfix = fake_postfix("3.7.11", knows_tlsrpt=False)
    with open(postfix.main_cf, "a", encoding="ascii") as main_cf:
        main_cf.write(line + "\n")
    assert "TLS-Required" not in run_with(postfix, tmp_path, "tlsrpt@lab.test").stdout
