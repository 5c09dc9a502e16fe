# SPDX-License-Identifier: MIT
"""The MTAs of check_mta: how each is set up, what it delivers, and what is expected of its reports."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import collecting
import scene as stage
import servers
import trees

ROOT = pathlib.Path(__file__).resolve().parents[2]
SENDER = "sender@lab.test"
READSOCKET_S = 1.0  # what one event may cost Exim while the collector stands still: its readsocket's timeout

NONE = "no-policy-found"


def none(domain, success=0, **failures):
    return {(NONE, domain): (success, sum(failures.values()), {k.replace("_", "-"): v for k, v in failures.items()})}


def tlsa(domain, success=0, **failures):
    counts = next(iter(none(domain, success, **failures).values()))
    return {("tlsa", f"mx1.{domain}"): counts}


# What each MTA knew about each domain; nostarttls.test asked for nothing and got nothing: no report.
LIVE_EXIM = {
    "valid.test": none("valid.test", 3),  # two mails, and one while the collector stood still
    "strict.test": none("strict.test", 1),
    "expired.test": none("expired.test", certificate_expired=1),
    "wrongname.test": none("wrongname.test", certificate_host_mismatch=1),
    "selfsigned.test": none("selfsigned.test", certificate_not_trusted=1),
    "broken.test": none("broken.test", validation_failure=1),
    "dane-ok.test": tlsa("dane-ok.test", 1),
    "dane-bad.test": tlsa("dane-bad.test", certificate_not_trusted=1),
    "dane-nostarttls.test": tlsa("dane-nostarttls.test", starttls_not_supported=1),
    "dane-broken.test": tlsa("dane-broken.test", validation_failure=1),
    "held.test": tlsa("held.test", certificate_not_trusted=1),
}


def sts(domain, success=0, **failures):
    counts = next(iter(none(domain, success, **failures).values()))
    return {("sts", domain): counts}


# What only Exim's hook tells: a refused STARTTLS, whether DANE wanted it, and MTA-STS in enforce and testing mode.
HOOKED_EXIM = LIVE_EXIM | {
    "refuse.test": none("refuse.test", starttls_not_supported=1),
    "dane-refuse.test": tlsa("dane-refuse.test", starttls_not_supported=1),
    "xn--bcher-kva.test": none("xn--bcher-kva.test", 1),
    "sts-ok.test": sts("sts-ok.test", 1),
    "sts-wrong.test": sts("sts-wrong.test", certificate_host_mismatch=1),
    "sts-expired.test": sts("sts-expired.test", certificate_expired=1),
    "sts-outside.test": sts("sts-outside.test", validation_failure=1),
    "sts-plain.test": sts("sts-plain.test", starttls_not_supported=1),
    "sts-dane.test": tlsa("sts-dane.test", certificate_not_trusted=1),
    "sts-bad.test": sts("sts-bad.test", certificate_host_mismatch=1),
    "sts-fetch.test": sts("sts-fetch.test", sts_policy_fetch_error=1),
    "sts-webpki.test": sts("sts-webpki.test", sts_webpki_invalid=1),
    "sts-syntax.test": sts("sts-syntax.test", sts_policy_invalid=1),
}
LOGGED_EXIM = LIVE_EXIM | {  # GnuTLS's words do not tell expired from untrusted
    "valid.test": none("valid.test", 7),  # and those whose events nobody took
    "expired.test": none("expired.test", validation_failure=1),
    "selfsigned.test": none("selfsigned.test", validation_failure=1),
}
LOGGED_POSTFIX = LIVE_EXIM | {"valid.test": none("valid.test", 2)}  # a TLSA lookup tells DANE from other required TLS
SENT_POSTFIX = LIVE_EXIM | {
    "valid.test": none("valid.test", 2),
    "selfsigned.test": none("selfsigned.test", validation_failure=1),  # with its reason: self-signed_certificate
}


# With a policy plug-in: first with TLSRPT attributes, then without.  It passes no policy in testing mode, and hides DANE.
PLUGGED_POSTFIX = {
    "sts-ok.test": sts("sts-ok.test", 1) | none("sts-ok.test", 1),
    "sts-bad.test": sts("sts-bad.test", certificate_host_mismatch=1) | none("sts-bad.test", certificate_host_mismatch=1),
    "sts-outside.test": sts("sts-outside.test", validation_failure=1) | none("sts-outside.test", certificate_host_mismatch=1),
    "sts-dane.test": sts("sts-dane.test", 1),
    "sts-wrong.test": none("sts-wrong.test", 1),
    "sts-expired.test": none("sts-expired.test", 1),
}


class Mta:
    """Common: deliver, let tlsrpt-gen report through this MTA, compare."""

    def __init__(self, scene, name):
        self.scene, self.name = scene, name
        self.root = scene.root[name]
        self.sites = []

    def inside(self, *words, **keywords):
        return trees.chroot(self.root, *words, **keywords)

    def site(self, name, **settings):
        site = self.scene.site(f"{self.name}.{name}", **settings)
        self.sites.append(site)
        return site

    def stop(self):
        for site in self.sites:
            with contextlib.suppress(Exception):
                site.close()
        self.stop_mta()

    def read_log(self, site, mta, log):
        """What an operator runs by hand on a finished log."""
        done = subprocess.run([site.programs.log, "-c", site.config, "--mta", mta, log], env=site.environment,
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def sessions_in(self, site, mta, log):
        """domains that a log tells sessions of."""
        done = subprocess.run([site.programs.log, "-c", site.config, "--mta", mta, "--summary", log],
                              env=site.environment, capture_output=True, text=True, timeout=60, check=True)
        return {row.split()[-1] for row in done.stdout.splitlines()[1:-1]}

    def report(self, report, site, what, expected):
        """A day later: reports go out by mail through this MTA and by HTTPS, and both say what the MTA knew."""
        self.scene.collect_mails()
        self.scene.https.requests.clear()
        before = site.counters()
        site.clock.write_text(f"{stage.tomorrow()}\n")
        site.restart_collector()
        done = site.run(check=False)
        report.check(f"{what}: tlsrpt-gen delivers everything", done.returncode == 0, done.stdout + done.stderr)
        with contextlib.suppress(TimeoutError):
            servers.wait_until(lambda: len(self.scene.mails) >= len(expected), "the mails", 60)
        mails = self.scene.collect_mails()
        by_mail = stage.reports_of_mails(mails)
        by_post = stage.reports_of_posts(self.scene.https.requests)
        self.compare(report, f"{what}, by mail", by_mail, expected)
        self.compare(report, f"{what}, by HTTPS", by_post, expected)
        report.check(f"{what}: both transports carried the same reports", by_mail == by_post,
                     (self.root / self.LOG).read_text()[-6000:])
        if stage.HELD_DOMAIN in expected:
            self.check_held(report, what, mails)
        site.stop_collector()
        after = site.counters()
        report.check(f"{what}: the delivery of reports was not reported",
                     after["received"] == before["received"], f"{before}\n{after}")

    def check_held(self, report, what, mails):
        """The report to the domain whose TLSA records are wrong arrived (compare); nothing else to it may."""
        report.check(f"{what}: other mail to {stage.HELD_DOMAIN} is held back",
                     not any(b"\nSubject: check\r\n" in mail for mail in mails) and f"user@{stage.HELD_DOMAIN}" in self.queue(),
                     self.queue())

    @staticmethod
    def compare(report, what, found, expected):
        report.check(f"{what}: one report for each domain that had sessions", sorted(found) == sorted(expected),
                     f"got    {sorted(found)}\nwanted {sorted(expected)}")
        for domain, wanted in expected.items():
            got = stage.summary(found[domain]) if domain in found else None
            report.check(f"{what}: {domain} is told what the MTA knew", got == wanted, f"got    {got}\nwanted {wanted}")


# ---- Exim ----

EXIM_CONFIG = """
.include /srv/tlsrpt-gen-main.conf
RECIPES_MAIN
primary_hostname = mta.lab.test
local_interfaces = 127.0.0.1
log_selector = +outgoing_interface +outgoing_port +tls_cipher +tls_certificate_verified +tls_peerdn +dnssec
tls_advertise_hosts =
dns_dnssec_ok = 1
smtp_accept_max = 0
domainlist local_domains =
smtputf8_advertise_hosts =
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = check_rcpt
keep_environment =
begin acl
check_rcpt:
  accept
.include /srv/tlsrpt-gen-acl.conf
begin routers
RECIPES_ROUTERS
dns:
  driver = dnslookup
  transport = ${if inlist{$domain}{STRICT}{strict_smtp}{remote_smtp}}
  dnssec_request_domains = *
  self = send
  no_more
begin transports
RECIPES_TRANSPORTS
remote_smtp:
  driver = smtp
.include /srv/tlsrpt-gen-transport.conf
  interface = 127.0.1.96
  hosts_try_dane = *
  dnssec_request_domains = *
  tls_verify_certificates = /srv/ca.pem
  tls_try_verify_hosts = *
strict_smtp:
  driver = smtp
  event_action = ${acl{tlsrpt_event}{no_dane}}
  multi_domain = false
  interface = 127.0.1.96
  hosts_try_dane =
  hosts_require_tls = *
  tls_verify_certificates = /srv/ca.pem
  tls_verify_hosts = *
begin retry
* * F,1h,10m
"""


def pieces(name):
    """A recipe of conf/exim, for the sections main, routers and transports; the lab has its own CA and loopback hosts."""
    text = (ROOT / f"conf/exim/tlsrpt-gen-{name}.conf").read_text().replace("tlsrpt@example.org", stage.REPORT_SENDER)
    main, routers, transports = (piece.split("\n", 1)[1] for piece in text.split("# ---- ")[1:])
    return main, routers.replace("  no_more", "  self = send\n  no_more"), transports.replace("= system", "= /srv/ca.pem")


class Exim(Mta):
    VERSION = "4.96"
    LOG = "var/log/exim4/mainlog"
    SOCKET = "run/tlsrpt-gen/exim.sock"

    def __init__(self, scene, name):
        super().__init__(scene, name)
        self.daemon = None
        self.version = re.search(r"version (\S+)", self.inside("exim4", "-bV").stdout)[1]

    def check_split_configuration(self, report):
        """The README's steps for Debian's split configuration."""
        conf = self.root / "etc/exim4/conf.d"
        shutil.copy(ROOT / "conf/exim/tlsrpt-gen-main.conf", conf / "main/01_tlsrpt-gen")
        shutil.copy(ROOT / "conf/exim/tlsrpt-gen-acl.conf", conf / "acl/45_tlsrpt-gen")
        transport = conf / "transport/30_exim4-config_remote_smtp"
        lines = (ROOT / "conf/exim/tlsrpt-gen-transport.conf").read_text()
        transport.write_text(transport.read_text().replace("  driver = smtp\n", "  driver = smtp\n" + lines, 1))
        settings = self.root / "etc/exim4/update-exim4.conf.conf"
        settings.write_text(settings.read_text().replace("dc_use_split_config='false'", "dc_use_split_config='true'"))
        self.inside("update-exim4.conf")
        shown = self.inside("exim4", "-bP", "transport", "remote_smtp", check=False).stdout
        report.check(f"{self.name}: Debian's split configuration takes the fragment as the README says",
                     "event_action = ${acl{tlsrpt_event}}" in shown and "no_multi_domain" in shown, shown)
        acl = (self.root / "var/lib/exim4/config.autogenerated").read_text()
        report.check(f"{self.name}: the ACL is in the ACL section of the split configuration",
                     acl.index("begin acl") < acl.index("tlsrpt_event:") < acl.index("begin routers"))

    def set_up(self):
        for name in ("main", "acl", "transport"):
            shutil.copy(ROOT / f"conf/exim/tlsrpt-gen-{name}.conf", self.root / "srv")
        shutil.copy(self.scene.authority.ca_file, self.root / "srv/ca.pem")
        text = EXIM_CONFIG.replace("STRICT", ":".join(stage.STRICT))
        for name, section in zip(("MAIN", "ROUTERS", "TRANSPORTS"), zip(pieces("reports"), pieces("mta-sts")), strict=True):
            text = text.replace(f"RECIPES_{name}", "".join(section))
        (self.root / "etc/exim4/exim4.conf").write_text(text)
        self.fill_policy_store()
        (self.root / self.SOCKET).parent.mkdir(parents=True, exist_ok=True)
        self.inside("sh", "-c", "install -d -o Debian-exim -g adm /var/log/exim4; rm -f /var/log/exim4/*")

    def fill_policy_store(self):
        import sqlite3
        with contextlib.closing(sqlite3.connect(self.root / "var/spool/exim4/mta-sts.db")) as store, store:
            store.execute("CREATE TABLE policy (domain TEXT PRIMARY KEY, mode TEXT, mx TEXT, lines TEXT, until INTEGER)")
            for domain, (mode, patterns) in stage.POLICIES.items():
                lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in patterns), "max_age: 604800"]
                store.execute("INSERT INTO policy VALUES (?, ?, ?, ?, 0)",
                              (domain, mode, ":".join(patterns), "|".join(lines)))
            for domain, error in stage.POLICY_ERRORS.items():
                store.execute("INSERT INTO policy VALUES (?, 'error', '', ?, 0)", (domain, f"error: {error}"))

    def forget_hang(self):
        """What Exim remembers of a collector that hung, for a minute."""
        for file in (self.root / "var/spool/exim4/db").glob("seen*"):
            file.unlink()

    def deliver(self, domain):
        """Seconds that it took."""
        begin = time.monotonic()
        done = subprocess.run(["chroot", self.root, "exim4", "-odi", "-f", SENDER, f"user@{domain}"],
                              input=f"From: {SENDER}\nTo: user@{domain}\nSubject: check\n\nx\n", text=True,
                              capture_output=True, env=trees.ENVIRONMENT, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return time.monotonic() - begin

    def queue(self):
        return self.inside("exim4", "-bp").stdout

    def start_mta(self):
        self.daemon = self.scene.spawn(self.name, "exim4", "-bdf")
        servers.wait_until(lambda: b":0019 " in pathlib.Path("/proc/net/tcp").read_bytes(), "Exim to listen")

    def stop_mta(self):
        if self.daemon is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.daemon.pid, signal.SIGKILL)
            self.daemon.wait()
            self.daemon = None

    def check_costs(self, report, live):
        """What a collector that is away, or stands still, costs a delivery; the best of three, on a machine that is busy."""
        without = min(self.deliver("valid.test") for _ in range(3))
        (self.root / self.LOG).unlink()  # these were not reported to anybody
        self.forget_hang()
        live.start_collector()
        with_it = min(self.deliver("nostarttls.test") for _ in range(3))
        live.freeze_collector()
        frozen = [self.deliver("valid.test") for _ in range(5)]
        live.collector.send_signal(signal.SIGCONT)
        self.forget_hang()
        print(f"# a delivery took {without:.2f} s without a socket, {with_it:.2f} s with a collector, "
              f"{' '.join(f'{s:.2f}' for s in frozen)} s with one that hangs")
        log = (self.root / self.LOG).read_text()
        report.check(f"{self.name}: a missing socket costs nothing", without < with_it + 0.3, (without, with_it))
        report.check(f"{self.name}: a collector that hangs costs five deliveries one second in all",
                     READSOCKET_S * 0.8 < sum(frozen) - 5 * with_it < READSOCKET_S + 1, (frozen, with_it))
        report.check(f"{self.name}: Exim's log has one line about it", log.count("nobody takes results on") == 1, log)

    def check(self, report):
        report.check(f"{self.name}: it is Debian's {self.VERSION}*", self.version.startswith(self.VERSION), self.version)
        self.check_split_configuration(report)
        self.set_up()
        live = self.site("live", exim_socket=self.root / self.SOCKET)
        self.check_costs(report, live)
        for domain in stage.MAILS:
            self.deliver(domain)
        log = self.root / self.LOG
        plain_log = log.read_text()
        for domain in stage.FINE_DOMAINS:
            self.deliver("b\u00fccher.test" if domain.startswith("xn--") else domain)
        live.stop_collector()
        log.write_text(plain_log)  # what the log tells of these is in tests/data
        logged = self.site("log")
        logged.start_collector()
        self.read_log(logged, "exim", log)
        logged.stop_collector()
        self.start_mta()
        self.report(report, live, f"{self.name}, live", HOOKED_EXIM)
        self.report(report, logged, f"{self.name}, from its log", LOGGED_EXIM)
        told = self.sessions_in(logged, "exim", log)
        report.check(f"{self.name}: its log, read again, does not tell of the reports' own delivery",
                     "valid.test" in told and "reports.test" not in told, told)


class Exim498(Exim):
    VERSION = "4.98"


class EximNewest(Exim):
    """Whatever sid has: the first to show a change of Exim's."""
    VERSION = "4."


# ---- Postfix ----

POSTFIX_MAIN = """
compatibility_level = 3.6
myhostname = mta.lab.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/postfix.log
smtp_bind_address = 127.0.1.37
smtp_dns_support_level = dnssec
smtp_host_lookup = dns
smtp_tls_security_level = dane
smtp_tls_policy_maps = texthash:/etc/postfix/policy
smtp_tls_CAfile = /srv/ca.pem
smtp_tls_loglevel = 1
"""


class Postfix(Mta):
    LOG = "var/log/postfix.log"
    SOCKET = "var/spool/postfix/run/tlsrpt/tlsrpt.sock"
    VERSION = "3.7."
    EXTRA = ""

    def set_up(self):
        shutil.copy(self.scene.authority.ca_file, self.root / "srv/ca.pem")
        (self.root / "etc/postfix/main.cf").write_text(POSTFIX_MAIN + self.EXTRA)
        (self.root / "etc/postfix/policy").write_text(
            "".join(f"{domain} secure match=mx1.{domain}\n" for domain in stage.STRICT))
        jail = self.root / "var/spool/postfix"
        (jail / "etc").mkdir(exist_ok=True)
        shutil.copy(self.root / "etc/resolv.conf", jail / "etc")  # smtp(8) is chrooted
        (self.root / self.SOCKET).parent.mkdir(parents=True, exist_ok=True)
        self.version = self.inside("postconf", "-hd", "mail_version").stdout.strip()

    def queue(self):
        return self.inside("postqueue", "-p").stdout

    def run_ours(self, site, *words):
        """tlsrpt-gen with Postfix's own postconf and postmap."""
        tools = stage.LAB / f"{self.name}.bin"
        tools.mkdir(exist_ok=True)
        for tool in ("postconf", "postmap"):
            (tools / tool).write_text(f'#!/bin/sh\nexec chroot {self.root} /usr/sbin/{tool} "$@"\n')
            (tools / tool).chmod(0o755)
        environment = dict(site.environment, PATH=f"{tools}:{os.environ['PATH']}", COLUMNS="999")
        done = subprocess.run([site.programs.generate, "-c", site.config, *words], env=environment, capture_output=True,
                              text=True, timeout=120, check=False)
        return done.stdout + done.stderr

    def start_mta(self):
        self.inside("postfix", "start")
        servers.wait_until(lambda: b":0019 " in pathlib.Path("/proc/net/tcp").read_bytes(), "Postfix to listen")

    def stop_mta(self):
        self.inside("postfix", "abort", check=False)

    def deliver(self, domain):
        done = subprocess.run(["chroot", self.root, "sendmail", "-f", SENDER, f"user@{domain}"],
                              input=f"From: {SENDER}\nTo: user@{domain}\nSubject: check\n\nx\n", text=True,
                              capture_output=True, env=trees.ENVIRONMENT, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def outcomes(self):
        with contextlib.suppress(FileNotFoundError):
            return len(re.findall(r"postfix/smtp\[\d+\]: \w+: to=<", (self.root / self.LOG).read_text()))
        return 0

    def deliver_all(self):
        self.deliver_each(stage.MAILS)

    def deliver_each(self, domains):
        """One after the other, so that each is a session of its own."""
        for domain in domains:
            before = self.outcomes()
            self.deliver(domain)
            servers.wait_until(lambda before=before: self.outcomes() > before, f"the delivery to {domain}", 60)

    def check_version(self, report):
        report.check(f"{self.name}: it is Debian's {self.VERSION}*", self.version.startswith(self.VERSION), self.version)

    def make_report_transport(self, report, site):
        """As setup-postfix makes it: this Postfix ignores TLS-Required: No."""
        missing = "ignores TLS-Required: No"
        report.check(f"{self.name}: check misses the transport for reports", missing in self.run_ours(site, "check"))
        said = self.run_ours(site, "setup-postfix", "--apply", "--unit-dir", stage.LAB)
        report.check(f"{self.name}: check is content when setup-postfix has made it",
                     missing not in self.run_ours(site, "check"), said)

    def check(self, report):
        self.set_up()
        self.check_version(report)
        site = self.site("log")
        self.make_report_transport(report, site)
        self.start_mta()
        self.deliver_all()
        log = self.root / self.LOG
        site.start_collector()
        self.read_log(site, "postfix", log)
        site.stop_collector()
        self.report(report, site, f"{self.name}, from its log", LOGGED_POSTFIX)
        told = self.sessions_in(site, "postfix", log)
        report.check(f"{self.name}: its log, read again, does not tell of the reports' own delivery",
                     "valid.test" in told and "reports.test" not in told, told)


class Postfix310(Postfix):
    VERSION = "3.10."
    EXTRA = """smtp_tlsrpt_enable = yes
smtp_tlsrpt_socket_name = run/tlsrpt/tlsrpt.sock
smtp_tlsrpt_skip_reused_handshakes = no
"""

    def check(self, report):
        self.set_up()
        self.check_version(report)
        live = self.site("live", socket=self.root / self.SOCKET)
        live.socket = self.root / self.SOCKET
        live.start_collector()
        self.start_mta()
        self.deliver_all()
        live.stop_collector()
        self.report(report, live, f"{self.name}, live", SENT_POSTFIX)
        logged = self.site("log")
        logged.start_collector()
        self.read_log(logged, "postfix", self.root / self.LOG)
        logged.stop_collector()
        report.check(f"{self.name}: its log tells the same sessions, policies and result types as its datagrams",
                     counted(live) == counted(logged), f"datagrams {counted(live)}\nlog       {counted(logged)}")


class PostfixNewest(Postfix310):
    """Whatever sid has: the first to show a change of Postfix's or libtlsrpt's."""
    VERSION = "3."


class PostfixWithResolver(Postfix310):
    """A policy plug-in applies MTA-STS; its cache has the policies, so that it asks nobody."""
    ZONES = "socketmap:inet:127.0.0.1:8461:{}"

    def set_up(self):
        super().set_up()
        folder = self.root / "srv/mta-sts"
        folder.mkdir()
        (folder / "mta-sts-daemon.yml").write_text("""host: 127.0.0.1
port: 8461
cache_grace: 86400
cache: {type: sqlite, options: {filename: /srv/mta-sts/cache.db}}
default_zone: {strict_testing: false, timeout: 4}
zones:
  reported: {strict_testing: false, timeout: 4, tlsrpt: true}
  plain: {strict_testing: false, timeout: 4}
""")
        self.fill_cache(folder / "cache.db")
        self.daemon = self.scene.spawn(self.name, "mta-sts-daemon", "-c", "/srv/mta-sts/mta-sts-daemon.yml")
        servers.wait_until(lambda: b":210D " in pathlib.Path("/proc/net/tcp").read_bytes(), "the resolver to listen")

    @staticmethod
    def fill_cache(path):
        import json
        import sqlite3
        with contextlib.closing(sqlite3.connect(path)) as cache, cache:
            cache.execute("CREATE TABLE sts_policy_cache (domain text, ts integer, pol_id text, pol_body text)")
            for domain, (mode, patterns) in stage.POLICIES.items():
                body = {"version": "STSv1", "mode": mode, "mx": patterns, "max_age": 604800}
                cache.execute("INSERT INTO sts_policy_cache VALUES (?, ?, ?, ?)", (domain, int(time.time()), "1", json.dumps(body)))

    def use_zone(self, zone):
        self.inside("postconf", "-e", f"smtp_tls_policy_maps = {self.ZONES.format(zone)}")
        self.inside("postfix", "reload")

    def look(self, report, site, sentence, words):
        said = self.run_ours(site, "check")
        report.check(f"{self.name}: {sentence}", words in said, said)

    def check(self, report):
        self.set_up()
        live = self.site("live", socket=self.root / self.SOCKET, mta_sts_domain="sts-ok.test")
        live.socket = self.root / self.SOCKET
        live.start_collector()
        self.start_mta()
        self.use_zone("reported")
        self.deliver_each(stage.POLICIES)
        self.look(report, live, "check is content with tlsrpt: true",
                  f"{self.ZONES.format('reported')} passes policies with TLSRPT attributes")
        self.look(report, live, "check says that the resolver hides DANE", "wins over DANE")
        self.read_log(live, "postfix-sts", self.root / self.LOG)
        self.use_zone("plain")
        self.deliver_each(["sts-ok.test", "sts-bad.test", "sts-outside.test"])
        self.look(report, live, "check finds the zone without tlsrpt: true",
                  f"{self.ZONES.format('plain')} passes policies without TLSRPT attributes")
        self.daemon.terminate()
        self.daemon.wait()
        self.look(report, live, "check finds it in the counts when the resolver cannot be asked",
                  "domains that publish MTA-STS (sts-bad.test, sts-outside.test) were counted as no-policy-found, 2 since yesterday")
        self.inside("postconf", "-e", "smtp_tls_policy_maps =")
        self.inside("postfix", "reload")
        live.stop_collector()
        self.report(report, live, f"{self.name}, live", PLUGGED_POSTFIX)


def counted(site):
    """Each policy's row: domain, type, policy domain, successes, failures, [(result type, sessions)]."""
    return [(*row[:1], *row[2:6], [(kind, sessions) for kind, _, sessions in row[6]]) for row in collecting.stored(site)]


MTAS = {"exim": Exim, "exim-4.98": Exim498, "exim-sid": EximNewest,
        "postfix-3.7": Postfix, "postfix-3.10": Postfix310, "postfix-3.10-resolver": PostfixWithResolver, "postfix-sid": PostfixNewest}
