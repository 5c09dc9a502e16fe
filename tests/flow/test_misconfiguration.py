# SPDX-License-Identifier: MIT
"""What is wrong in the settings is said at start, with file, line, name and mend; none of it waits for midnight.

Each row: what is wrong, the lines, the line that the message must name (None: the message is about something that is
not there), words of the message.  Every program refuses to start with it, exit code 78.
"""
import os
import re
import subprocess

import pytest

from programs import BUILD, RUN_S

GOOD = ["organization_name = Example Ltd", "contact_info = tls-reports@example.org"]

ROWS = [
    ("an unknown name", ["nonsense = 1"], 3, "nonsense: unknown setting; remove it"),
    ("a slip in a name", ["organisation_name = X"], 3, "organisation_name: unknown setting; did you mean organization_name?"),
    ("another slip", ["socket_goup = postfix"], 3, "socket_goup: unknown setting; did you mean socket_group?"),
    ("no equals sign", ["state_dir /var/lib/x"], 3, "="),
    ("nothing in front of the equals sign", ["= x"], 3, "name"),
    ("a name that stands twice", ["relay = localhost:25", "relay = localhost:26"], 4, "relay"),
    ("a control character", ["organization_name = a\x07b"], 3, "organization_name"),

    ("a contact without @", ["contact_info = example.org"], 3, "contact_info: "),
    ("a contact with a display name", ["contact_info = TLS <tls@example.org>"], 3, "contact_info: "),
    ("a contact in brackets", ["contact_info = <tls@example.org>"], 3, "contact_info: "),
    ("a contact without a full domain", ["contact_info = tls@localhost"], 3, "contact_info: "),
    ("a contact at an address literal", ["contact_info = tls@[192.0.2.1]"], 3, "contact_info: "),
    ("a from with two @", ["from = a@b@example.org"], 3, "from: "),
    ("a from that DMARC does not align", ["from = tls@other.example"], 3, "DMARC"),
    ("an envelope sender with a blank", ["envelope_from = tls reports@example.org"], 3, "envelope_from: "),

    ("a DKIM key without a selector", ["dkim_key = /etc/key.pem"], 3, "dkim_key: "),
    ("a DKIM key of an unknown algorithm", ["dkim_key = sel:rsa-sha1:/etc/key.pem"], 3, "dkim_key: "),
    ("a DKIM key with a relative path", ["dkim_key = sel:rsa-sha256:key.pem"], 3, "dkim_key: "),
    ("three DKIM keys", ["dkim_key = a:rsa-sha256:/a, b:rsa-sha256:/b, c:rsa-sha256:/c"], 3, "dkim_key: 3 keys, at most 2"),
    ("a DKIM domain that DMARC does not align", ["dkim_domain = other.example"], 3, "DMARC"),
    ("a DKIM domain that is none", ["dkim_domain = not a domain"], 3, "dkim_domain: "),

    ("a relative socket", ["socket = run/tlsrpt.sock"], 3, "socket: "),
    ("a socket path that is too long", ["socket = /" + "x" * 120], 3, "107 bytes"),
    ("a mode that is no octal number", ["socket_mode = rw-rw----"], 3, "socket_mode: "),
    ("a mode with an 8", ["socket_mode = 0680"], 3, "socket_mode: "),
    ("a mode that nobody can use", ["socket_mode = 0000"], 3, "socket_mode: "),
    ("a mode beyond permissions", ["socket_mode = 04777"], 3, "socket_mode: "),
    ("a relative state_dir", ["state_dir = var/lib"], 3, "state_dir: "),
    ("an empty state_dir", ["state_dir ="], 3, "state_dir: empty; remove it for the default"),
    ("a ring without a unit that is known", ["ring_size = 16X"], 3, "ring_size: "),
    ("a ring that is too small", ["ring_size = 1K"], 3, "ring_size: "),
    ("a ring that is too large", ["ring_size = 64G"], 3, "ring_size: "),
    ("no policies at all", ["max_policies = 0"], 3, "max_policies: "),
    ("details as a word", ["max_details = many"], 3, "max_details: "),

    ("a delay of an unknown unit", ["min_delay = 10 minutes"], 3, "min_delay: "),
    ("a negative delay", ["min_delay = -5min"], 3, "min_delay: "),
    ("a delay of more than a day", ["spread = 2d"], 3, "spread: "),
    ("no day back", ["max_age_days = 0"], 3, "max_age_days: "),
    ("too many days back", ["max_age_days = 365"], 3, "max_age_days: "),
    ("a report size below the least", ["max_report_size = 1K"], 3, "max_report_size: "),

    ("a resolver by name", ["resolver = dns.example.org"], 3, "resolver: "),
    ("a resolver with a bad port", ["resolver = 192.0.2.1:99999"], 3, "resolver: "),
    ("an IPv6 resolver with a port, without brackets", ["resolver = 2001:db8::1:53"], None, None),
    ("a relay with an IPv6 literal", ["relay = [2001:db8::1]:25"], 3, "use a host name"),
    ("a relay without a port number", ["relay = localhost:smtp"], 3, "relay: "),
    ("an empty relay", ["relay ="], 3, "relay: empty; remove it for the default, localhost:25"),
    ("a relay that is a URL", ["relay = smtp://localhost"], 3, "relay: "),
    ("a TLS mode that is none", ["relay_tls = yes"], 3, "opportunistic"),
    ("a password without verified TLS", ["relay_auth = /etc/secret"], 3, "relay_tls = require"),
    ("a greeting name with a blank", ["ehlo_name = my host"], 3, "ehlo_name: "),
    ("an SMTP mode that is none", ["smtp_mode = both"], 3, "smtp_mode: "),
    ("a port of 0", ["smtp_port = 0"], 3, "smtp_port: "),
    ("a network with host bits", ["smtp_allow = 192.0.2.1/24"], 3, "host bits zero"),
    ("a network that is none", ["https_allow = intranet"], 3, "https_allow: "),
    ("a port that is none", ["https_allow = :0"], 3, "https_allow: "),
    ("a way to verify that is none", ["https_verify = maybe"], 3, "fallback"),
    ("too many redirects", ["https_redirects = 20"], 3, "https_redirects: "),
    ("a relative file of authorities", ["https_ca_file = ca.pem"], 3, "https_ca_file: "),
    ("a run without time", ["run_limit = 0"], 3, "run_limit: "),
    ("a limit that is no number", ["max_per_destination = unlimited"], 3, "max_per_destination: "),
    ("a relative archive", ["archive_dir = reports"], 3, "archive_dir: "),
    ("a copy to nobody", ["bcc = me"], 3, "bcc: "),
    ("a kind of sending that is none", ["send = sometimes"], 3, "send: "),
    ("an exception without its kind", ["send_except = example.org"], 3, "send_except: "),
    ("a list of what is no domain", ["only = a b!"], 3, "only: "),
    ("a domain that is never to get one, and is none", ["never = @"], 3, "never: "),
    ("a list of addresses with a relative path", ["suppress = addresses"], 3, "suppress: "),
    ("an address that stands in for ours, and is none", ["sending_mta_ip = mail.example.org"], 3, "sending_mta_ip: "),
    ("a relative Exim socket", ["exim_socket = exim.sock"], 3, "exim_socket: "),
    ("a log that is none", ["log_to = file"], 3, "log_to: "),
]
MEND = re.compile(r"\b(use|remove|did you mean|write|keep|begin|set|correct|name|make)\b")  # what to do about it
WRONG = [row for row in ROWS if row[3] is not None]
PROGRAMS = {"tlsrpt-gen": [], "tlsrpt-gen-collect": [], "tlsrpt-gen --dry-run": ["--dry-run"]}


# What names something on this host: who refuses it.
HOST_ROWS = [
    ("a state_dir that is not there", ["state_dir = /no/such/folder"], "state_dir: ", ["tlsrpt-gen", "tlsrpt-gen-collect"]),
    ("a state_dir that is a file", ["state_dir = /etc/passwd"], "state_dir: ", ["tlsrpt-gen", "tlsrpt-gen-collect"]),
    ("a socket in a folder that is not there", ["socket = /no/such/x.sock"], "socket: ", ["tlsrpt-gen-collect"]),
    ("a group that is not there", ["socket = /tmp/x.sock", "socket_group = nosuchgroup"], "socket_group: ",
     ["tlsrpt-gen-collect"]),
    ("a user that is not there", ["allow_uid = postfix, nosuchuser"], "allow_uid: ", ["tlsrpt-gen-collect"]),
    ("a key that is not there", ["dkim_key = sel:rsa-sha256:/no/such/key.pem"], "dkim_key: ", ["tlsrpt-gen"]),
    ("a password that is not there", ["relay_auth = /no/such/secret", "relay_tls = require"], "relay_auth: ",
     ["tlsrpt-gen"]),
    ("authorities that are not there", ["https_ca_file = /no/such/ca.pem"], "https_ca_file: ", ["tlsrpt-gen"]),
    ("the relay's authorities that are not there", ["relay_ca_file = /no/such/ca.pem"], "relay_ca_file: ", ["tlsrpt-gen"]),
    ("a list that is not there", ["suppress = /no/such/list"], "suppress: ", ["tlsrpt-gen"]),
    ("an archive that is not there", ["archive_dir = /no/such/archive"], "archive_dir: ", ["tlsrpt-gen"]),
]


def start(tmp_path, name, lines):
    """Start the program with these settings; what it says."""
    config = tmp_path / "tlsrpt-gen.conf"
    first = [] if any(line.startswith(("organization_name =", "contact_info =")) for line in lines) else GOOD
    config.write_text("\n".join([*first, *([] if first else ["", ""]), *lines]) + "\n")
    program = name.split()[0]
    done = subprocess.run([BUILD / program, "-c", config, "-o", f"state_dir={tmp_path}", *PROGRAMS[name]]
                          if not any(line.startswith("state_dir") for line in lines)
                          else [BUILD / program, "-c", config, *PROGRAMS[name]],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_S, check=False)
    return config, done


def test_a_collector_wants_somewhere_to_listen(tmp_path):
    config, done = start(tmp_path, "tlsrpt-gen-collect", ["socket ="])
    assert done.returncode == 78
    assert f"{config}:3: socket: names no socket, and neither does exim_socket; remove it for the default" in done.stderr


# Files that are there and are not what they must be: (what, lines with FILE, contents, mode, words, mend).
FILE_ROWS = [
    ("a password without a user", ["relay_auth = FILE", "relay_tls = require"], "secret\n", 0o600,
     "does not begin with a line USER:PASSWORD", "write it so"),
    ("a password file with nothing in it", ["relay_auth = FILE", "relay_tls = require"], "", 0o600,
     "does not begin with a line USER:PASSWORD", "write it so"),
    ("a password for everybody", ["relay_auth = FILE", "relay_tls = require"], "u:p\n", 0o644,
     "may be read by everybody", "run chmod o= FILE"),
    ("a fleet's password for everybody", ["fleet_password_file = FILE"], "secret\n", 0o644,
     "may be read by everybody", "run chmod o= FILE"),
    ("a fleet's password that is not there", ["fleet_password_file = FILE"], "\nsecret\n", 0o600,
     "has nothing in its first line", "write the password there"),
    ("authorities that are no PEM", ["https_ca_file = FILE"], "garbage\n", 0o644, "holds no certificate in PEM form", "name a file"),
    ("the relay's authorities, empty", ["relay_ca_file = FILE"], "", 0o644, "holds no certificate in PEM form", "name a file"),
    ("a key that is none", ["dkim_key = sel:rsa-sha256:FILE"], "garbage\n", 0o600, "no private key in PEM form",
     "make one with openssl genpkey"),
    ("a key for everybody", ["dkim_key = sel:rsa-sha256:FILE"], "garbage\n", 0o644, "others may read it", "run: chmod o= FILE"),
    ("a list with nonsense", ["suppress = FILE"], "tls@example.com\n@@@\n", 0o644, "FILE:2: \"@@@\" is no address",
     "mend or remove the line"),
]


@pytest.mark.parametrize("what, lines, contents, mode, words, mend", FILE_ROWS, ids=[row[0] for row in FILE_ROWS])
def test_a_file_of_the_wrong_kind_is_refused_at_start(tmp_path, what, lines, contents, mode, words, mend):
    file = tmp_path / "named"
    file.write_text(contents)
    file.chmod(mode)
    config, done = start(tmp_path, "tlsrpt-gen", [line.replace("FILE", str(file)) for line in lines])
    assert done.returncode == 78, (what, done.stderr)
    assert f"{config}:3: {lines[0].split()[0]}: " in done.stderr, done.stderr
    assert words.replace("FILE", str(file)) in done.stderr and mend.replace("FILE", str(file)) in done.stderr
    assert not list(tmp_path.glob("*.db"))


def test_there_are_at_least_forty():
    assert len(WRONG) >= 40
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_a_setting_of_an_older_version_is_named_by_check(make_site):
    site = make_site(max_per_host=500)
    words = "".join(site.run("check", check=False).stdout.split())  # lines are wrapped, also within a path
    assert "max_per_hosthasnoeffect:nolongerused,seemax_per_destination" in words
    assert f"{site.config}:" in words


@pytest.mark.parametrize("what, lines, line, words", WRONG, ids=[row[0] for row in WRONG])
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_refused_at_start(tmp_path, name, what, lines, line, words):
    config, done = start(tmp_path, name, lines)
    assert done.returncode == 78, (what, done.stderr)
    assert done.stdout == ""
    message = done.stderr
    assert words in message, message
    assert str(config) in message or line is None, message
    if line is not None:
        assert f"{config}:{line}: " in message, message
        key = lines[-1].split(" ")[0]
        assert key == "=" or key in message, message
    assert MEND.search(message), message
    assert len(message.splitlines()) == 1
    assert not list(tmp_path.glob("*.db"))  # nothing was begun
    assert "\x07" not in message


@pytest.mark.parametrize("missing", ["organization_name", "contact_info"])
def test_who_we_are_must_be_said(tmp_path, missing):
    config = tmp_path / "tlsrpt-gen.conf"
    config.write_text("\n".join(line for line in GOOD if not line.startswith(missing)) + "\n")
    done = subprocess.run([BUILD / "tlsrpt-gen", "-c", config], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 78
    assert f"{config}: {missing} is not set; add a line such as: {missing} = " in done.stderr


@pytest.mark.parametrize("override, words", [("nonsense=1", "nonsense: unknown setting"), ("relay", "="),
                                             ("min_delay=never", "min_delay: ")])
def test_on_the_command_line_too(tmp_path, override, words):
    config = tmp_path / "tlsrpt-gen.conf"
    config.write_text("\n".join(GOOD) + "\n")
    done = subprocess.run([BUILD / "tlsrpt-gen", "-c", config, "-o", override], capture_output=True, text=True,
                          timeout=RUN_S, check=False)
    assert done.returncode == 78
    assert "-o" in done.stderr and words in done.stderr


@pytest.mark.parametrize("what, make, words", [
    ("is not there", lambda path: None, "no such file"),
    ("is a folder", lambda path: path.mkdir(), "Is a directory"),
    ("is too large", lambda path: path.write_bytes(b"#" * (2 << 20)), "larger than"),
    ("holds a NUL", lambda path: path.write_bytes(b"organization_name = a\0b\n"), "NUL"),
])
def test_a_settings_file_that_cannot_be_read(tmp_path, what, make, words):
    config = tmp_path / "tlsrpt-gen.conf"
    make(config)
    done = subprocess.run([BUILD / "tlsrpt-gen", "-c", config], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode in (65, 74, 78), what
    assert str(config) in done.stderr and words in done.stderr


def test_a_settings_file_that_we_may_not_read(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    config = tmp_path / "tlsrpt-gen.conf"
    config.write_text("\n".join(GOOD))
    config.chmod(0)
    done = subprocess.run([BUILD / "tlsrpt-gen", "-c", config], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 74 and "Permission denied" in done.stderr


@pytest.mark.parametrize("what, lines, words, names", HOST_ROWS, ids=[row[0] for row in HOST_ROWS])
def test_what_is_not_on_this_host_is_refused_at_start(tmp_path, what, lines, words, names):
    for name in names:
        config, done = start(tmp_path, name, lines)
        number = 3 + [line.split(" ")[0] for line in lines].index(words.rstrip(": "))
        assert done.returncode == 78, what
        assert f"{config}:{number}: {words}" in done.stderr and "; " in done.stderr
        assert not list(tmp_path.glob("*.db"))
