# SPDX-License-Identifier: MIT
"""Each finding of `tlsrpt-gen check`, provoked once (see check_world.py)."""
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading

import check_world
import collecting
from check_world import CRON, QLEN, SUBMITTER, scenario

KEY = f"sel._domainkey.{SUBMITTER}"


def tmpfs(world, size):
    """Let state_dir lie on a small file system of its own."""
    world.site.stop_collector()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(world.site.state)], check=True)
    world.undo.callback(lambda: (world.site.stop_collector(signal.SIGKILL),
                                 subprocess.run(["umount", str(world.site.state)], check=True)))
    world.site.start_collector()


def service_user(world):
    """The account that the package makes."""
    passwd = "/etc/passwd"
    text = open(passwd).read()
    world.undo.callback(lambda: open(passwd, "w").write(text))
    with open(passwd, "a") as file:
        file.write("tlsrpt-gen:x:61235:61235::/nonexistent:/usr/sbin/nologin\n")


class Talker:
    """A server that says what it is told, line by line, whatever it hears."""

    def __init__(self, world, *lines):
        self.lines = [line.encode() + b"\r\n" for line in lines]
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()
        world.undo.callback(self.server.close)

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as heard:
                try:
                    for line in self.lines:
                        connection.sendall(line)
                        if not heard.readline():
                            break
                except OSError:
                    pass


# ---- settings ----------------------------------------------------------------------------------------------

def remove_setting(name):
    def remove(world):
        world.site.settings.pop(name)
        world.site.set()
    return remove


@scenario("FAIL", "settings", "nonsense_setting: unknown setting; remove it", remove_setting("nonsense_setting"))
def a_line_that_is_wrong(world):
    world.site.set(nonsense_setting="1")


@scenario("warn", "settings", "max_per_host has no effect", remove_setting("max_per_host"))
def a_setting_of_an_older_version(world):
    world.site.set(max_per_host="500")


@scenario("FAIL", "settings", "organization_name is not set")
def no_organization(world):
    world.site.set(organization_name=None)


@scenario("FAIL", "settings", "contact_info is not set")
def no_contact(world):
    world.site.set(contact_info=None)


def remove_lines(world):
    """"... or remove the line": of every setting that names a file."""
    for key in ("https_ca_file", "relay_ca_file", "relay_auth"):
        world.site.settings.pop(key, None)
    world.site.set()


@scenario("FAIL", "settings", "https_ca_file = /no/such/file: No such file", remove_lines)
def no_https_ca_file(world):
    world.site.set(https_ca_file="/no/such/file")


@scenario("FAIL", "settings", "relay_ca_file = /no/such/file: No such file", remove_lines)
def no_relay_ca_file(world):
    world.site.set(relay_ca_file="/no/such/file")


@scenario("FAIL", "settings", "relay_auth = /no/such/file: No such file", remove_lines)
def no_relay_auth(world):
    world.site.set(relay_auth="/no/such/file", relay_tls="require")


def write_the_secret(world):
    """"write it so": USER:PASSWORD."""
    (world.folder / "secret").write_text("user:password\n")


@scenario("FAIL", "settings", "relay_auth: /srv/secret does not begin with a line USER:PASSWORD", write_the_secret)
def a_password_without_a_user(world):
    (world.folder / "secret").write_text("password\n")
    (world.folder / "secret").chmod(0o600)
    world.site.set(relay_auth=world.folder / "secret", relay_tls="require")


@scenario("FAIL", "settings", "relay_auth: /srv/secret may be read by everybody")
def a_password_for_everybody(world):
    write_the_secret(world)
    (world.folder / "secret").chmod(0o644)
    world.site.set(relay_auth=world.folder / "secret", relay_tls="require")


@scenario("FAIL", "settings", "https_ca_file: /srv/ca.pem holds no certificate in PEM form", remove_lines)
def authorities_that_are_none(world):
    (world.folder / "ca.pem").write_text("nothing\n")
    world.site.set(https_ca_file=world.folder / "ca.pem")


@scenario("FAIL", "settings", "relay_tls: \"sometimes\" is no choice here; use one of: opportunistic, require, off",
          lambda world: world.site.set(relay_tls="require"))
def a_value_that_is_none(world):
    """The first of the values that the message names may not suit, but it is one."""
    world.site.set(relay_tls="sometimes")


# ---- folders -----------------------------------------------------------------------------------------------

@scenario("FAIL", "state_dir", "does not exist")
def no_state_dir(world):
    world.site.stop_collector()
    shutil.rmtree(world.site.state)


def use_good_folder(world):
    """"set state_dir = a folder": one that is there."""
    good = world.folder / "good"
    good.mkdir(exist_ok=True, mode=0o700)
    world.site.set(state_dir=good)


@scenario("FAIL", "state_dir", "is not a folder", use_good_folder)
def state_dir_is_a_file(world):
    world.site.stop_collector()
    shutil.rmtree(world.site.state)
    world.site.state.write_text("")
    world.undo.callback(world.site.state.unlink)


@scenario("FAIL", "state_dir", "belongs to root, but tlsrpt-gen writes there", needs_root=True)
def state_dir_of_root(world):
    service_user(world)


@scenario("FAIL", "state_dir", "has mode 0777: others may write there")
def state_dir_for_all(world):
    world.site.state.chmod(0o777)


@scenario("warn", "state_dir", "has mode 0755: everybody may read")
def state_dir_readable(world):
    world.site.state.chmod(0o755)


@scenario("FAIL", "state_dir", "reports.db belongs to 61239, not to root", needs_root=True)
def a_file_of_somebody_else(world):
    (world.site.state / "reports.db").touch()
    os.chown(world.site.state / "reports.db", 61239, -1)


@scenario("warn", "state_dir", "lies on tmpfs: a reboot empties it", use_good_folder)
def state_dir_in_memory(world):
    tmpfs(world, "700m")


def without_shim(world):
    use_good_folder(world)
    world.extra = {}


@scenario("FAIL", "state_dir", "lies on NFS: databases break there", without_shim)
def state_dir_on_nfs(world):
    source, library = world.folder / "statfs.c", world.folder / "statfs.so"
    source.write_text("#include <sys/vfs.h>\n#include <string.h>\n"
                      "int statfs(const char *path, struct statfs *out)\n"
                      "{ (void)path; memset(out, 0, sizeof *out); out->f_type = 0x6969; return 0; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    world.extra = {"LD_PRELOAD": str(library), "ASAN_OPTIONS": options}


def more_room(world):
    subprocess.run(["mount", "-o", "remount,size=900m", str(world.site.state)], check=True)


@scenario("FAIL", "state_dir", "MiB free", more_room, needs_root=True)
def state_dir_full(world):
    tmpfs(world, "60m")


@scenario("warn", "state_dir", "MiB free", more_room, needs_root=True)
def state_dir_nearly_full(world):
    tmpfs(world, "200m")


@scenario("FAIL", "archive", "is no folder")
def no_archive(world):
    world.site.set(archive_dir=world.folder / "archive")
    world.undo.callback(lambda: shutil.rmtree(world.folder / "archive", ignore_errors=True))


@scenario("FAIL", "archive", "does not belong to root, who owns state_dir", needs_root=True)
def archive_of_somebody_else(world):
    no_archive(world)
    (world.folder / "archive").mkdir()
    os.chown(world.folder / "archive", 61239, -1)


# ---- sockets and the collector -----------------------------------------------------------------------------

@scenario("FAIL", "socket", "tlsrpt.sock does not exist")
def no_socket(world):
    world.site.stop_collector()


@scenario("FAIL", "socket", "nobody listens on")
def a_dead_socket(world):
    world.site.stop_collector(signal.SIGKILL)


@scenario("FAIL", "socket", "is not a datagram socket")
def a_file_for_a_socket(world):
    world.site.stop_collector()
    world.site.socket.write_text("")


@scenario("FAIL", "socket", "has mode 0600, socket_mode says 0660")
def socket_of_another_mode(world):
    world.site.socket.chmod(0o600)


def as_root(world):
    world.wrapper = []


@scenario("warn", "socket", "cannot be tried: Permission denied", as_root, needs_root=True)
def a_check_by_a_stranger(world):
    world.wrapper = ["setpriv", "--reuid=61240", "--regid=61240", "--clear-groups"]
    world.site.config.chmod(0o644)


@scenario("FAIL", "socket", "exim.sock does not exist")
def no_exim_socket(world):
    world.site.set(exim_socket=world.folder / "site" / "run" / "exim.sock")


@scenario("FAIL", "socket", "nobody listens on /srv/site/run/exim.sock")
def a_dead_exim_socket(world):
    path = world.folder / "site" / "run" / "exim.sock"
    world.site.set(exim_socket=path)
    world.site.restart_collector()
    world.site.stop_collector(signal.SIGKILL)
    world.undo.callback(lambda: path.unlink(missing_ok=True))


@scenario("FAIL", "socket", "is not a stream socket")
def a_datagram_socket_for_exim(world):
    world.site.set(exim_socket=world.folder / "site" / "run" / "exim.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(world.folder / "site" / "run" / "exim.sock"))
        world.undo.callback(other.dup().close)  # it stays bound


@scenario("warn", "socket", "net.unix.max_dgram_qlen is 10")
def a_short_queue(world):
    QLEN.write_text("10")


@scenario("FAIL", "collector", "it listens on none of its sockets", lambda world: world.restore())
def a_collector_whose_sockets_were_removed(world):
    for path in (world.site.socket, world.queue_socket):
        path.unlink(missing_ok=True)


@scenario("FAIL", "collector", "it is not running; it last counted")
def a_collector_that_was_just_killed(world):
    world.site.stop_collector(signal.SIGKILL)


@scenario("FAIL", "collector", "it has never run here")
def no_collector_ever(world):
    world.site.stop_collector()
    shutil.rmtree(world.site.state)
    world.site.state.mkdir(mode=0o700)


def wake_the_collector(world):
    """Its log would say that the store is out of reach; here it was only stopped."""
    world.site.collector.send_signal(signal.SIGCONT)
    world.site.restart_collector()


@scenario("FAIL", "collector", "it runs, but has counted nothing for 1 h", wake_the_collector)
def a_collector_that_hangs(world):
    world.site.freeze_collector()
    world.undo.callback(lambda: world.site.collector.send_signal(signal.SIGCONT))
    world.site.set_time("2026-03-14T13:00:40Z")


@scenario("FAIL", "collector", "it is not running; it last counted 1 h")
def no_collector_now(world):
    world.site.stop_collector()
    world.site.set_time("2026-03-14T13:00:40Z")


def larger_ring(world):
    """The setting, a restart, and a count that begins anew with a new store."""
    world.site.settings["ring_size"] = "64M"
    world.restore()


@scenario("warn", "collector", "7 outcomes were lost because the ring was full", larger_ring)
def outcomes_were_lost(world):
    world.site.stop_collector()
    store = sqlite3.connect(world.site.state / "sessions.db")
    store.execute("INSERT OR REPLACE INTO counter VALUES ('dropped', 7)")
    store.commit()
    store.close()
    world.site.start_collector()


@scenario("FAIL", "collector", "sessions.db", lambda world: world.restore())
def a_store_that_is_none(world):
    world.site.stop_collector()
    (world.site.state / "sessions.db").write_text("this is no database, only a text of some length\n" * 100)


@scenario("FAIL", "ledger", "reports.db", lambda world: world.restore())
def a_ledger_that_is_none(world):
    (world.site.state / "reports.db").write_text("this is no database, only a text of some length\n" * 100)


# ---- Postfix -----------------------------------------------------------------------------------------------

def upgrade(world):
    world.set_postfix(mail_version="3.11.0", smtp_tlsrpt_enable="yes")


@scenario("warn", "postfix", "version 3.7.11 cannot report TLS sessions by itself, and nobody follows its log")
def an_old_postfix(world):
    world.set_postfix(mail_version="3.7.11", smtp_tlsrpt_enable="")


@scenario("warn", "postfix", "version 3.10.6 was built without libtlsrpt, and nobody follows its log", upgrade)
def a_postfix_without_the_library(world):
    world.set_postfix(smtp_tlsrpt_enable="")


def let_syslog_write(world):
    (world.folder / "mail.log").touch()


@scenario("FAIL", "postfix", "tlsrpt-gen-log waits for /srv/mail.log, which is not there", let_syslog_write)
def a_log_that_is_not_there(world):
    """A host that logs to the journal only, as Debian 12 does without rsyslog."""
    world.set_postfix(mail_version="3.7.11", smtp_tlsrpt_enable="")
    world.follow_log()
    (world.folder / "mail.log").unlink()


@scenario("warn", "postfix", "and tlsrpt-gen-log does not follow its log any more", lambda world: world.follow_log())
def a_log_that_is_not_followed_any_more(world):
    world.set_postfix(mail_version="3.7.11", smtp_tlsrpt_enable="")
    world.follow_log().kill()
    world.readers.pop().wait()


@scenario("FAIL", "postfix", "version 3.10.2 reports about the delivery of reports", upgrade)
def a_postfix_that_loops(world):
    world.set_postfix(mail_version="3.10.2")


@scenario("warn", "postfix", "version 3.10.5 leaves out facts", upgrade)
def a_postfix_before_the_advice(world):
    world.set_postfix(mail_version="3.10.5")


@scenario("FAIL", "postfix", "smtp_tlsrpt_enable = no")
def reporting_is_off(world):
    world.set_postfix(smtp_tlsrpt_enable="no")


@scenario("FAIL", "postfix", "smtp_tlsrpt_socket_name is empty")
def postfix_knows_no_socket(world):
    world.set_postfix(smtp_tlsrpt_socket_name="")


def listen_there_too(world):
    """"... or set socket = PATH and restart the collector"."""
    other = world.queue / "run" / "other.sock"
    world.site.set(socket=[world.site.socket, world.queue_socket, other])
    world.site.restart_collector()


@scenario("FAIL", "postfix", "run/other.sock, where nobody listens", listen_there_too)
def postfix_reports_elsewhere(world):
    world.set_postfix(smtp_tlsrpt_socket_name="run/other.sock")


@scenario("FAIL", "postfix", "nobody listens on")
def the_queue_socket_is_gone(world):
    world.site.stop_collector()


@scenario("FAIL", "postfix", "postfix may not write to", needs_root=True)
def postfix_is_kept_out(world):
    passwd = "/etc/passwd"
    text = open(passwd).read()
    world.undo.callback(lambda: open(passwd, "w").write(text))
    open(passwd, "w").write(text.replace("postfix:x:0:", "postfix:x:61234:"))
    os.chown(world.queue_socket, 0, 0)


@scenario("warn", "postfix", "smtp_tlsrpt_skip_reused_handshakes = yes")
def resumed_sessions_are_left_out(world):
    world.set_postfix(smtp_tlsrpt_skip_reused_handshakes="yes")


@scenario("warn", "postfix", "postconf -h failed", lambda world: (world.postfix / "broken").unlink())
def postconf_is_broken(world):
    (world.postfix / "broken").write_text("")


TLSPOL, RESOLVER = "socketmap:inet:127.0.0.1:8642", "socketmap:inet:127.0.0.1:8461"


@scenario("warn", "mta-sts", f"{TLSPOL}:QUERY passes policies without TLSRPT attributes")
def a_plugin_without_attributes(world):
    world.set_postfix(smtp_tls_policy_maps=f"texthash:/etc/postfix/policy:down, {TLSPOL}:hangs, {TLSPOL}:QUERY",
                      smtp_tls_security_level="dane")


def take_them_away(world):
    world.set_postfix(smtp_tls_policy_maps=f"{RESOLVER}:postfix")


@scenario("FAIL", "mta-sts", f"{RESOLVER}:rpt passes TLSRPT attributes, which need Postfix 3.10", take_them_away)
def a_plugin_with_attributes_for_an_old_postfix(world):
    world.set_postfix(smtp_tls_policy_maps=f"{RESOLVER}:rpt", mail_version="3.7.11", smtp_tlsrpt_enable="",
                      smtp_tls_security_level="may")


def use_tlspol(world):
    world.set_postfix(smtp_tls_policy_maps=f"{TLSPOL}:QUERYwithTLSRPT")


@scenario("warn", "mta-sts", f"{RESOLVER}:rpt wins over DANE", use_tlspol)
def a_plugin_that_hides_dane(world):
    world.set_postfix(smtp_tls_policy_maps=f"{RESOLVER}:rpt", smtp_tls_security_level="dane")


STS = '{"policy-type":2,"policy-string":["version: STSv1","mode: enforce"],"t":0,"f":0}'


def let_a_plugin_pass_attributes(world):
    world.set_postfix(smtp_tls_policy_maps=f"{RESOLVER}:rpt", smtp_tls_security_level="may")


@scenario("warn", "mta-sts", "MTA-STS (harbour.example) were counted as no-policy-found, 3 since", let_a_plugin_pass_attributes)
def a_plugin_that_cannot_be_asked(world):
    """What it did is in the counts: some MTA applied the policy, another took the domain for one without."""
    expired = collecting.failed('{"c":202}')
    world.site.send(collecting.datagram("harbour.example", STS), *[collecting.datagram("harbour.example", expired)] * 3,
                    collecting.datagram("other.example", expired))


def give_reports_a_transport(world):
    sender = "tlsrpt-team@reports.seaport.example"
    world.set_postfix(sender_dependent_default_transport_maps=f"inline:{{ {{ {sender} = tlsrpt-smtp: }} }}")


@scenario("warn", "postfix", "version 3.7.11 ignores TLS-Required: No", give_reports_a_transport)
def an_old_postfix_with_dane(world):
    world.set_postfix(mail_version="3.7.11", smtp_tlsrpt_enable="", smtp_tls_security_level="dane")


def give_postmap_back(world):
    world.make_programs()


@scenario("warn", "mta-sts", "Postfix's policy tables cannot be asked", give_postmap_back)
def no_postmap(world):
    world.set_postfix(smtp_tls_policy_maps=f"{TLSPOL}:QUERYwithTLSRPT")
    (world.bin / "postmap").unlink()


# ---- DNS ---------------------------------------------------------------------------------------------------

def a_resolver_that_answers(world):
    """"set resolver = ADDRESS of a resolver that answers"."""
    world.site.set(resolver=world.nsd.address)


@scenario("FAIL", "resolver", "cannot be looked up", a_resolver_that_answers)
def no_resolver(world):
    world.site.set(resolver="127.0.0.1:9")


@scenario("FAIL", "mailboxes", f"{SUBMITTER} has no mail host")
def no_mail_host(world):
    world.dns[SUBMITTER].pop("MX")
    world.publish()


@scenario("FAIL", "mailboxes", "from: other.reports.seaport.example says that it takes no mail")
def a_null_mx(world):
    world.site.set(**{"from": f"tls@other.{SUBMITTER}", "envelope_from": f"tls@{SUBMITTER}"})
    world.dns[f"other.{SUBMITTER}"] = {"MX": ["0 ."]}
    world.publish()


def wait_for_dns(world):
    """"try again later": when the zone is there again."""
    world.broken_zones()


@scenario("warn", "mailboxes", f"from: other.{SUBMITTER} cannot be looked up", wait_for_dns)
def mailboxes_in_a_broken_zone(world):
    world.site.set(**{"from": f"tls@other.{SUBMITTER}", "envelope_from": f"tls@{SUBMITTER}"})
    world.broken_zones(f"other.{SUBMITTER}")
    world.dns[f"other.{SUBMITTER}"] = {"MX": ["10 mx.seaport.example."]}
    world.publish()


# ---- the relay ---------------------------------------------------------------------------------------------

def use_the_sink(world):
    """"... set relay = HOST:PORT of one that runs"."""
    world.site.set(relay=world.sink.address)


@scenario("FAIL", "relay", "cannot be reached: Connection refused", use_the_sink)
def no_relay(world):
    world.site.set(relay="127.0.0.1:9")


@scenario("FAIL", "relay", "does not greet as a mail server does: 554 go away", use_the_sink)
def a_relay_that_refuses(world):
    world.site.set(relay=Talker(world, "554 go away").address)


@scenario("FAIL", "relay", "does not offer STARTTLS, which relay_tls = require wants")
def a_relay_without_tls(world):
    world.site.set(relay_tls="require")


@scenario("warn", "relay", "takes mails of up to 3000000 bytes")
def a_relay_for_small_mails(world):
    world.site.set(relay=Talker(world, "220 hi", "250-hi\r\n250 SIZE 3000000", "250 ok", "221 bye").address)


def let_it_accept(world):
    """"let the relay accept that sender"."""
    world.sink.answers = {}


@scenario("FAIL", "relay", "refuses mail from tlsrpt-team@reports.seaport.example: 550 5.7.1 not you", let_it_accept)
def a_relay_that_refuses_us(world):
    world.sink.answers = {"MAIL": "550 5.7.1 not you"}


@scenario("warn", "relay", "refuses mail from tlsrpt-team@reports.seaport.example: 451 4.7.1 not now", let_it_accept)
def a_relay_that_wants_us_later(world):
    world.sink.answers = {"MAIL": "451 4.7.1 not now"}


# ---- DKIM --------------------------------------------------------------------------------------------------

def set_the_key(world):
    """"set dkim_key = SELECTOR:rsa-sha256:/FILE"."""
    world.site.set(dkim_key=world.settings["dkim_key"])


@scenario("warn", "dkim", "mails are not signed here", set_the_key)
def no_key(world):
    world.site.set(dkim_key=None)


@scenario("FAIL", "dkim", "nobody signs the mails on their way to the mail hosts", set_the_key)
def no_key_and_no_relay(world):
    world.site.set(dkim_key=None, smtp_mode="direct")


@scenario("warn", "dkim", f"{KEY} cannot be looked up", wait_for_dns)
def a_key_in_a_broken_zone(world):
    world.broken_zones(f"_domainkey.{SUBMITTER}")
    world.publish()


def close_the_key(world):
    """The message names the command: "run: chmod o= FILE"."""
    subprocess.run(["sh", "-c", f"chmod o= {world.folder}/dkim.pem"], check=True)


@scenario("FAIL", "dkim", "others may read it; run: chmod o= ", close_the_key)
def an_open_key(world):
    (world.folder / "dkim.pem").chmod(0o644)
    world.undo.callback(lambda: (world.folder / "dkim.pem").chmod(0o600))


@scenario("FAIL", "dkim", f"{KEY} has no key record")
def no_key_record(world):
    world.dns.pop(KEY)
    world.publish()


@scenario("FAIL", "dkim", "it holds another key: a signed sample does not verify")
def another_key_record(world):
    other = world.folder / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", other],
                   check=True, capture_output=True)
    world.dns[KEY]["TXT"] = [f"v=DKIM1; k=rsa; p={world.public_key(other)}"]
    world.publish()


@scenario("FAIL", "dkim", "p= holds no RSA key")
def a_broken_key_record(world):
    world.dns[KEY]["TXT"] = ["v=DKIM1; k=rsa; p=AAAA"]
    world.publish()


@scenario("FAIL", "dkim", "the key is revoked: p= is empty")
def a_revoked_key(world):
    world.dns[KEY]["TXT"] = ["v=DKIM1; k=rsa; p="]
    world.publish()


@scenario("FAIL", "dkim", "has more than one TXT record")
def two_key_records(world):
    world.dns[KEY]["TXT"].append("v=DKIM1; p=")
    world.publish()


@scenario("warn", "dkim", "has s=tlsrpt: ordinary verifiers")
def a_key_for_tlsrpt_only(world):
    world.dns[KEY]["TXT"] = [f"v=DKIM1; k=rsa; s=tlsrpt; p={world.public}"]
    world.publish()


@scenario("warn", "dkim", "has s=tlsrpt:email, which some verifiers refuse in every case")
def a_key_for_both(world):
    world.dns[KEY]["TXT"] = [f"v=DKIM1; k=rsa; s=tlsrpt:email; p={world.public}"]
    world.publish()


@scenario("warn", "dkim", "has s=email, which leaves out tlsrpt: a receiver that follows RFC 8460 section 3 drops the report")
def a_key_for_email_only(world):
    world.dns[KEY]["TXT"] = [f"v=DKIM1; k=rsa; s=email; p={world.public}"]
    world.publish()


@scenario("FAIL", "dkim", "has s=voip: it is for another service")
def a_key_for_something_else(world):
    world.dns[KEY]["TXT"] = [f"v=DKIM1; k=rsa; s=voip; p={world.public}"]
    world.publish()


@scenario("warn", "dkim", "has t=y")
def a_key_in_testing(world):
    world.dns[KEY]["TXT"] = [f"v=DKIM1; k=rsa; t=y; p={world.public}"]
    world.publish()


@scenario("FAIL", "dkim", f"ed._domainkey.{SUBMITTER} has no key record")
def a_second_key_without_record(world):
    key = world.folder / "ed.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    key.chmod(0o600)
    world.site.set(dkim_key=[world.settings["dkim_key"], f"ed:ed25519-sha256:{key}"])


# ---- the timer ---------------------------------------------------------------------------------------------

@scenario("FAIL", "timer", "nothing starts tlsrpt-gen")
def nothing_starts_it(world):
    CRON.write_text("# */15 * * * * root /usr/sbin/tlsrpt-gen\n*/15 * * * * root /usr/sbin/tlsrpt-gen-log\n"
                    "* * * * * root /usr/sbin/tlsrpt-gen status --format prometheus --output /srv/tlsrpt.prom\n"
                    "* * * * * root /usr/sbin/tlsrpt-gen -c /etc/tlsrpt-gen/tlsrpt-gen.conf push\n")


@scenario("FAIL", "timer", "nothing starts tlsrpt-gen")
def the_timer_is_off(world):
    """On a host with systemd; systemctl stands in for systemd's, and enables by making the link."""
    CRON.unlink()
    os.makedirs("/run/systemd/system", exist_ok=True)
    wants = "/etc/systemd/system/timers.target.wants"
    (world.bin / "systemctl").write_text(f"#!/bin/sh\n[ \"$*\" = 'enable --now tlsrpt-gen.timer' ] || exit 1\n"
                                         f"mkdir -p {wants} && ln -sf /usr/lib/systemd/system/tlsrpt-gen.timer {wants}/\n")
    (world.bin / "systemctl").chmod(0o755)
    world.undo.callback(lambda: (shutil.rmtree(wants, ignore_errors=True), os.rmdir("/run/systemd/system")))


assert check_world.SCENARIOS
