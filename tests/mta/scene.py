# SPDX-License-Identifier: MIT
"""What stands around the MTAs in check_mta: DNS with DNSSEC, receivers with TLS faults, and our own programs."""
import asyncio
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time

from aiosmtpd.smtp import SMTP

import mtas
import programs as lib
import servers
import trees

LAB = pathlib.Path("/mnt")  # a tmpfs of our own mount namespace: short paths, gone with us
RESOLVER, AUTHORITATIVE = "127.0.0.1", "127.0.0.2"
MAIL_HOST, MAIL_ADDRESS = "mx.reports.test", "127.0.25.9"
REPORT_SENDER = "tlsrpt@lab.test"  # nothing else sends from it

# Wants its reports at an address of its own, although its TLSA records are wrong: what TLS-Required: No is for.
HELD_DOMAIN, HELD_ADDRESS = "held.test", "127.0.25.8"


def record_of(domain):
    mailbox = "tlsrpt@" + (domain if domain == HELD_DOMAIN else "reports.test")
    return f"v=TLSRPTv1; rua=mailto:{mailbox},https://{MAIL_HOST}/tlsrpt"


# domain -> (address of its MX, TLSA: none, right or wrong)
VALID, EXPIRED, WRONG, SELF, PLAIN, BROKEN, REFUSE = (f"127.0.25.{n}" for n in range(1, 8))
DOMAINS = {
    "valid.test": (VALID, None), "strict.test": (VALID, None), "expired.test": (EXPIRED, None),
    "wrongname.test": (WRONG, None), "selfsigned.test": (SELF, None), "nostarttls.test": (PLAIN, None),
    "broken.test": (BROKEN, None), "dane-ok.test": (VALID, "right"), "dane-bad.test": (VALID, "wrong"),
    "dane-nostarttls.test": (PLAIN, "right"), "dane-broken.test": (BROKEN, "right"),
    HELD_DOMAIN: (HELD_ADDRESS, "wrong"),
}
# For the MTAs whose hook or lookup tells these apart: a refused STARTTLS, an IDN, MTA-STS policies.
FINE_DOMAINS = {
    "refuse.test": (REFUSE, None), "dane-refuse.test": (REFUSE, "right"), "xn--bcher-kva.test": (VALID, None),
    "sts-ok.test": (VALID, None), "sts-wrong.test": (WRONG, None), "sts-expired.test": (EXPIRED, None),
    "sts-outside.test": (VALID, None), "sts-plain.test": (PLAIN, None), "sts-dane.test": (VALID, "wrong"),
    "sts-bad.test": (WRONG, None),
    "sts-fetch.test": (VALID, None), "sts-webpki.test": (PLAIN, None), "sts-syntax.test": (WRONG, None),
}
# domain -> (mode, mx patterns); what a policy plug-in or Exim's store knows
POLICIES = {
    "sts-ok.test": ("enforce", ["*.sts-ok.test"]), "sts-wrong.test": ("testing", ["mx1.sts-wrong.test"]),
    "sts-expired.test": ("testing", ["mx1.sts-expired.test"]), "sts-outside.test": ("enforce", ["other.sts-outside.test"]),
    "sts-plain.test": ("testing", ["mx1.sts-plain.test"]), "sts-dane.test": ("enforce", ["mx1.sts-dane.test"]),
    "sts-bad.test": ("enforce", ["mx1.sts-bad.test"]),
}
# Where certificates are demanded without DANE: as MTA-STS in enforce mode would.
STRICT = ["strict.test", "expired.test", "wrongname.test", "selfsigned.test"]
# One mail to each, and a second one in a session of its own to valid.test.
MAILS = [*DOMAINS, "valid.test"]


# domain -> why its policy cannot be used; no plug-in of Postfix passes this on
POLICY_ERRORS = {"sts-fetch.test": "sts-policy-fetch-error", "sts-webpki.test": "sts-webpki-invalid",
                 "sts-syntax.test": "sts-policy-invalid"}


class Receiver:
    """An SMTP server on port 25 of one address.  kind: tls, plain (no STARTTLS), broken (hangs up after it) or refuse (454)."""

    def __init__(self, address, context=None, keep=None):
        self.address, self.context, self.keep = address, context, keep

    async def start(self, loop):
        if self.context in ("broken", "refuse"):
            answer = {"broken": None, "refuse": b"454 4.7.0 TLS not available\r\n"}[self.context]
            return await asyncio.start_server(lambda reader, writer: self.break_off(reader, writer, answer), self.address, 25)
        return await loop.create_server(
            lambda: SMTP(self, hostname=f"host{self.address.rpartition('.')[2]}.test", tls_context=self.context, loop=loop),
            self.address, 25)

    async def handle_DATA(self, server, session, envelope):
        if self.keep is not None:
            self.keep.append(envelope.content)
        return "250 OK"

    @staticmethod
    async def break_off(reader, writer, answer):
        """Offers STARTTLS and hangs up when it is used, or gives that answer; takes mail in clear."""
        writer.write(b"220 broken.test ESMTP\r\n")
        in_data = False
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                word = line.strip().upper()
                if in_data:
                    in_data = word != b"."
                    if not in_data:
                        writer.write(b"250 taken\r\n")
                elif word.startswith(b"EHLO"):
                    writer.write(b"250-broken.test\r\n250 STARTTLS\r\n")
                elif word == b"STARTTLS" and answer is None:
                    writer.write(b"220 go\r\n")
                    await writer.drain()
                    break
                elif word == b"STARTTLS":
                    writer.write(answer)
                elif word == b"DATA":
                    in_data = True
                    writer.write(b"354 go\r\n")
                else:
                    writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                await writer.drain()
        writer.close()


class Scene:
    """with Scene(trees) as scene: scene.run("exim", report)"""

    def __init__(self, tree_folders):
        self.trees = {name: pathlib.Path(folder) for name, folder in tree_folders.items()}
        self.mails, self.processes, self.loop = [], [], None
        self.https = None

    # ---- setting up ----

    def __enter__(self):
        trees.run(["ip", "link", "set", "lo", "up"])
        trees.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", LAB])
        for name, folder in self.trees.items():
            self.mount(name, folder)
        self.authority = servers.Authority(LAB / "ca")
        self.certificates()
        self.start_receivers()
        self.start_dns()
        return self

    def mount(self, name, folder):
        """A copy-on-write view of a tree, with its own /proc."""
        for part in ("upper", "work", "root"):
            (LAB / f"{name}.{part}").mkdir(parents=True)
        root = LAB / f"{name}.root"
        trees.run(["mount", "-t", "overlay", "overlay", "-o",
                   f"lowerdir={folder},upperdir={LAB}/{name}.upper,workdir={LAB}/{name}.work", root])
        trees.run(["mount", "-t", "proc", "proc", root / "proc"])
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        (root / "etc/resolv.conf").write_text(f"nameserver {RESOLVER}\noptions edns0 trust-ad\n")
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.0.1 mta.lab.test mta\n")
        self.root = {**getattr(self, "root", {}), name: root}

    def certificates(self):
        names = [f"mx1.{domain}" for domain, (address, _) in {**DOMAINS, **FINE_DOMAINS}.items() if address == VALID]
        make = self.authority.issue
        self.certificate = {VALID: make(*names), EXPIRED: make("mx1.expired.test", expired=True),
                            WRONG: make("elsewhere.test"), SELF: make("mx1.selfsigned.test", self_signed=True),
                            MAIL_ADDRESS: make(MAIL_HOST), HELD_ADDRESS: make(f"mx1.{HELD_DOMAIN}")}
        der = ssl.PEM_cert_to_DER_cert(self.certificate[VALID].certificate.read_text())
        done = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-pubkey"], input=der, capture_output=True,
                              check=True)
        spki = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=done.stdout, capture_output=True,
                              check=True).stdout
        self.tlsa = {"right": hashlib.sha256(spki).hexdigest(), "wrong": "00" * 32}

    def start_receivers(self):
        contexts = {address: made.server_context() for address, made in self.certificate.items()}
        contexts |= {PLAIN: None, BROKEN: "broken", REFUSE: "refuse"}
        self.loop = asyncio.new_event_loop()
        for address, context in contexts.items():
            keep = self.mails if address in (MAIL_ADDRESS, HELD_ADDRESS) else None
            self.loop.run_until_complete(Receiver(address, context, keep).start(self.loop))
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.https = HttpsAt(MAIL_ADDRESS, self.certificate[MAIL_ADDRESS]).start()

    def zone(self):
        rows = ["$ORIGIN test.", "$TTL 60", "@ SOA ns postmaster 1 3600 600 86400 60", "@ NS ns", f"ns A {AUTHORITATIVE}",
                "lab A 127.0.0.1", "lab MX 10 lab", "mta.lab A 127.0.0.1",
                "reports MX 10 mx.reports", f"mx.reports A {MAIL_ADDRESS}", f'_smtp._tls.reports TXT "{record_of("reports.test")}"']
        for domain, (address, tlsa) in {**DOMAINS, **FINE_DOMAINS}.items():
            rows += [f"{domain}. MX 10 mx1.{domain}.", f"mx1.{domain}. A {address}", f'_smtp._tls.{domain}. TXT "{record_of(domain)}"']
            if tlsa:
                rows.append(f"_25._tcp.mx1.{domain}. TLSA 3 1 1 {self.tlsa[tlsa]}")
        return "\n".join(rows) + "\n"

    def start_dns(self):
        """nsd serves the signed zone test., unbound validates it; no other name exists."""
        here = self.root["dns"] / "srv"
        (here / "test.zone").write_text(self.zone())
        def inside(*words):
            return trees.chroot(self.root["dns"], *words).stdout
        shell = "cd /srv && {}"
        key = inside("sh", "-c", shell.format("ldns-keygen -a ECDSAP256SHA256 -k test")).split()[-1]
        inside("sh", "-c", shell.format(f"ldns-signzone -n test.zone {key}"))
        (here / "nsd.conf").write_text(f"""server:
    ip-address: {AUTHORITATIVE}
    server-count: 1
    username: ""
    database: ""
    zonesdir: "/srv"
    pidfile: "/srv/nsd.pid"
    xfrdfile: "/srv/xfrd.state"
    zonelistfile: "/srv/zone.list"
remote-control:
    control-enable: no
zone:
    name: "test"
    zonefile: "test.zone.signed"
""")
        (here / "unbound.conf").write_text(f"""server:
    interface: {RESOLVER}
    directory: "/srv"
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    trust-anchor-file: "/srv/{key}.ds"
    local-zone: "test." nodefault
    cache-max-negative-ttl: 1
    qname-minimisation: no
remote-control:
    control-enable: no
stub-zone:
    name: "test"
    stub-addr: {AUTHORITATIVE}
""")
        self.spawn("dns", "nsd", "-d", "-c", "/srv/nsd.conf")
        self.spawn("dns", "unbound", "-d", "-c", "/srv/unbound.conf")
        servers.wait_until(self.validates, "the resolver to validate the zone", 30)

    @staticmethod
    def validates():
        done = subprocess.run(["chroot", str(LAB / "dns.root"), "drill", "-D", "mx1.dane-ok.test", "A", f"@{RESOLVER}"],
                              capture_output=True, text=True, check=False)
        return re.search(r"flags:[^;]*\bad\b", done.stdout) is not None

    def spawn(self, name, *words):
        log = open(LAB / f"{name}.{words[0]}.out", "ab")
        process = subprocess.Popen(["chroot", str(self.root[name]), *words], env=trees.ENVIRONMENT, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if self.https is not None:
            self.https.stop()
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self.loop.stop)

    # ---- one MTA ----

    def run(self, name, report):
        mta = mtas.MTAS[name](self, name)
        try:
            mta.check(report)
        finally:
            mta.stop()

    def site(self, name, **settings):
        """Our programs, with their state on the lab's tmpfs; the clock is the machine's."""
        directory = LAB / name
        shutil.rmtree(directory, ignore_errors=True)
        settings = {"contact_info": "people@lab.test", "envelope_from": REPORT_SENDER, "organization_name": "Lab",
                    "resolver": f"{RESOLVER}:53",
                    "relay": "127.0.0.1:25", "https_ca_file": self.authority.ca_file, "https_allow": "127.0.0.0/8",
                    "socket_mode": "0666", **settings}
        site = lib.Site(directory, **settings)
        site.clock.write_text("0\n")
        return site

    def collect_mails(self):
        mails, self.mails[:] = list(self.mails), []
        return mails


class HttpsAt(servers.HttpsServer):
    """On port 443 of an address of its own."""

    def __init__(self, address, certificate):
        super().__init__(certificate, port=443)
        self.address = address

    def start(self):
        servers.LOOPBACK, before = self.address, servers.LOOPBACK
        try:
            return super().start()
        finally:
            servers.LOOPBACK = before


# ---- reports ----

def reports_of_mails(mails):
    """domain -> report, from the attachments."""
    import email
    import email.policy
    found = {}
    for mail in mails:
        message = email.message_from_bytes(mail, policy=email.policy.default)
        for part in message.walk():
            if part.get_content_type() == "application/tlsrpt+gzip":
                found[message["TLS-Report-Domain"]] = json.loads(gzip.decompress(part.get_payload(decode=True)))
    return found


def reports_of_posts(requests):
    found = {}
    for request in requests:
        report = json.loads(gzip.decompress(request.body))
        found[report["report-id"].split("@")[0].split(".", 2)[-1]] = report
    return found


def summary(report):
    """{(policy type, policy domain): (successful, failed, {result type: sessions})}"""
    return {(entry["policy"]["policy-type"], entry["policy"]["policy-domain"]):
            (entry["summary"]["total-successful-session-count"], entry["summary"]["total-failure-session-count"],
             {detail["result-type"]: detail["failed-session-count"] for detail in entry.get("failure-details", [])})
            for entry in report["policies"]}


def tomorrow():
    """Seconds from now to an hour past the end of this UTC day."""
    return 86400 - int(time.time()) % 86400 + 3600
