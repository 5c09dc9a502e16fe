# SPDX-License-Identifier: MIT
"""DKIM keys for tests, and two verifiers that are not ours: python3-dkim and Mail::DKIM, with DNS stubbed."""
import base64
import re
import subprocess

import dkim

from report_tool import SUBMITTER


class Keys:
    """Key files made with openssl, and the DNS records that belong to them."""

    def __init__(self, folder):
        self.folder = folder
        self.records = {}
        for name, algorithm in (("rsa", ("-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048")),
                                ("short", ("-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024")),
                                ("ed", ("-algorithm", "ed25519"))):
            file = folder / f"{name}.pem"
            subprocess.run(["openssl", "genpkey", *algorithm, "-out", file], check=True, capture_output=True)
            file.chmod(0o640)
            der = subprocess.run(["openssl", "pkey", "-in", file, "-pubout", "-outform", "der"], check=True,
                                 capture_output=True).stdout
            self.records[name] = (f"v=DKIM1; k={'ed25519' if name == 'ed' else 'rsa'}; p="
                                  + base64.b64encode(der[-32:] if name == "ed" else der).decode())

    def settings(self, *names):
        algorithm = {"ed": "ed25519-sha256"}
        return {"dkim_domain": SUBMITTER, "dkim_keys": [
            f"{name}:{algorithm.get(name, 'rsa-sha256')}:{self.folder}/{name}.pem" for name in names]}

    def config(self, *names):
        """The same as a program's settings."""
        return {"dkim_key": self.settings(*names)["dkim_keys"]}

    def dns(self, name, timeout=5):  # pylint: disable=unused-argument
        selector, _, domain = name.decode().partition("._domainkey.")
        return self.records[selector].encode() if domain == SUBMITTER + "." else None

    def python_verifies(self, mail, index, **options):
        try:
            return dkim.DKIM(mail, **options).verify(index, dnsfunc=self.dns)
        except dkim.ValidationError:
            return False

    def perl_verifies(self, mail):
        """The results of Mail::DKIM, one for each signature, in order."""
        script = """
            use strict; use Mail::DKIM::Verifier; use Net::DNS;
            my %records = @ARGV; @ARGV = ();
            no warnings 'redefine';
            *Mail::DKIM::DNS::query = sub {
                my ($name) = @_;
                my ($selector) = $name =~ /^([^.]+)\\._domainkey\\.DOMAIN$/ or return;
                my @parts = unpack '(a250)*', $records{$selector};
                return Net::DNS::RR->new(owner => $name, type => 'TXT', txtdata => \\@parts);
            };
            my $verifier = Mail::DKIM::Verifier->new();
            local $/; my $mail = <STDIN>;
            $verifier->PRINT($mail); $verifier->CLOSE;
            print join(' ', map { $_->result } $verifier->signatures), "\n";
        """.replace("DOMAIN", re.escape(SUBMITTER))
        pairs = [item for pair in self.records.items() for item in pair]
        done = subprocess.run(["perl", "-e", script, *pairs], input=mail, capture_output=True, timeout=60, check=True)
        return done.stdout.decode().split()
