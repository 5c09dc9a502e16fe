# SPDX-License-Identifier: MIT
"""The recipes of tlsrpt-gen(7) and the examples of tlsrpt-gen.conf(5) are settings that the programs take."""
import contextlib
import os
import re
import sqlite3
import subprocess

import pytest

from programs import BUILD, ROOT, RUN_S

BLOCK = re.compile(r"^\.Bd -literal -offset indent\n(.*?)^\.Ed", re.M | re.S)


def blocks(page):
    """(heading, settings) of each literal block that holds settings."""
    text = (ROOT / "man" / page).read_text()
    for found in BLOCK.finditer(text):
        heading = re.findall(r"^\.S[sh] (.*)", text[:found.start()], re.M)[-1]
        lines = found[1].replace("\\e", "\\")
        if re.match(r"[a-z_]+ = ", lines):
            yield heading, lines


CASES = [(page, heading, lines) for page in ("tlsrpt-gen.7", "tlsrpt-gen.conf.5") for heading, lines in blocks(page)]


def test_the_recipes_are_there():
    headings = [heading for page, heading, _ in CASES if page == "tlsrpt-gen.7"]
    for wanted in ("One host", "Many queues", "Behind NAT", "Reports through a smarthost", "Only failures",
                   "A domain that must not get reports"):
        assert wanted in headings


@pytest.mark.parametrize("page, heading, lines", CASES, ids=[f"{page}: {heading}" for page, heading, _ in CASES])
def test_a_recipe_is_taken(tmp_path, page, heading, lines):
    config = tmp_path / "tlsrpt-gen.conf"
    who = "" if "organization_name" in lines else "organization_name = X\ncontact_info = tls@example.org\n"
    config.write_text(who + lines)
    done = subprocess.run([BUILD / "tlsrpt-gen", "-c", config, "--show-config"], capture_output=True, text=True,
                          timeout=RUN_S, check=False)
    assert done.returncode == 0, (page, heading, done.stderr)
    for name in re.findall(r"^([a-z_]+) =", lines, re.M):
        assert re.search(rf"^{name} = .*# {re.escape(str(config))}:\d+$", done.stdout, re.M)


def commands():
    """Each `tlsrpt-gen ...` that tlsrpt-gen(7) and the README tell people to type; setup-* change the host's Postfix."""
    page = (ROOT / "man" / "tlsrpt-gen.7").read_text()
    readme = (ROOT / "README.md").read_text()
    found = re.findall(r"^\.Ql (tlsrpt-gen [^\n]*?)(?: ,)?$", page, re.M)
    found += re.findall(r"`(tlsrpt-gen [^`\n]*)`", readme)
    found += re.findall(r"^ *(?:sudo |\$ )?(tlsrpt-gen (?:-|[a-z])[^\n#]*)$", readme, re.M)
    return sorted({command.strip() for command in found if "setup-" not in command})


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documents_is_understood(tmp_path, command):
    """It may find nothing to show, but no word of it is wrong."""
    config = tmp_path / "tlsrpt-gen.conf"
    config.write_text(f"organization_name = X\ncontact_info = tls@example.org\nstate_dir = {tmp_path}\n"
                      f"relay = 127.0.0.1:9\nresolver = 127.0.0.1:9\nsocket = {tmp_path}/x.sock\n")
    words = command.replace("google.eml", str(ROOT / "tests/data/foreign_reports/google.eml")).split()[1:]
    done = subprocess.run([BUILD / "tlsrpt-gen", "-c", config, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=RUN_S, check=False)
    assert done.returncode != 64, done.stderr
    assert done.returncode in (0, 1, 66, 69, 75), done.stderr


def test_the_line_for_cron_runs(collector, tmp_path):
    """cron takes no line that is broken, and looks for programs in /usr/bin and /bin only."""
    page = (ROOT / "man" / "tlsrpt-gen.7").read_text()
    (line,) = re.findall(r"^\* \* \* \* \* root (.*)$", page, re.M)
    program, *words = line.split()
    assert program == "/usr/sbin/tlsrpt-gen" and words[-2] == "--output"
    output = tmp_path / "tlsrpt.prom"
    collector.run(*words[:-1], output)
    assert output.read_text().startswith("# HELP tlsrpt_gen_")


# ---- the job of conf/exim/README that fetches MTA-STS policies ------------------------------------------------

POLICY = "version: STSv1\r\nmode: {mode}\r\nmx: mx1.a.example\r\nmx: *.a.example\r\nmax_age: 604800\r\n"
# domain -> (curl's exit code, HTTP status, what it prints)
PAGES = {
    "enforce.example": (0, 200, POLICY.format(mode="enforce")), "testing.example": (0, 200, POLICY.format(mode="testing")),
    "none.example": (0, 200, "version: STSv1\nmode: none\nmax_age: 60"), "404.example": (22, 404, ""),
    "redirect.example": (0, 302, POLICY.format(mode="enforce")), "timeout.example": (28, 0, ""),
    "certificate.example": (60, 0, ""), "syntax.example": (0, 200, "mode enforce\n"),
    "quote.example": (0, 200, POLICY.format(mode="enforce').x")), "nothing.example": (0, 200, ""),
}
LINES = "version: STSv1|mode: {}|mx: mx1.a.example|mx: *.a.example|max_age: 604800"


class PolicyJob:
    def __init__(self, folder):
        self.folder, self.store = folder, folder / "mta-sts.db"
        readme = (ROOT / "conf/exim/README").read_text()
        block = re.search(r"^    #!/bin/sh\n(?:    .*\n)+", readme, re.M)[0]
        self.script = re.sub("^    ", "", block, flags=re.M).replace("/var/spool/exim4/mta-sts.db", str(self.store))
        (folder / "dig").write_text("#!/bin/sh\necho '\"v=STSv1; id=1\"'\n")
        (folder / "curl").write_text('#!/bin/sh\nfor url; do :; done\ndomain=${url#https://mta-sts.}\n'
                                     f'cd {folder}/${{domain%%/*}} && cat page && exit "$(cat code)"\n')
        for name in ("dig", "curl"):
            (folder / name).chmod(0o755)

    def serve(self, domain, code, status, page):
        (self.folder / domain).mkdir(exist_ok=True)
        (self.folder / domain / "code").write_text(str(code))
        (self.folder / domain / "page").write_bytes(f"{page}\nstatus: {status:03}".encode())

    def run(self, *domains):
        """domain -> (mode, mx, lines)"""
        subprocess.run(["sh", "-c", self.script, "job", *domains], check=True, timeout=RUN_S, capture_output=True,
                       env=dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}"))
        with contextlib.closing(sqlite3.connect(self.store)) as store:
            return {row[0]: row[1:] for row in store.execute("SELECT domain, mode, mx, lines FROM policy")}


@pytest.fixture
def job(tmp_path):
    return PolicyJob(tmp_path)


def test_the_policy_job_stores_policies_and_errors(job):
    for domain, page in PAGES.items():
        job.serve(domain, *page)
    fetch, invalid = (("error", "", f"error: sts-policy-{what}") for what in ("fetch-error", "invalid"))
    assert job.run(*PAGES, "x';DROP") == {
        "enforce.example": ("enforce", "mx1.a.example:*.a.example", LINES.format("enforce")),
        "testing.example": ("testing", "mx1.a.example:*.a.example", LINES.format("testing")),
        "none.example": ("none", "", "version: STSv1|mode: none|max_age: 60"),
        "404.example": fetch, "redirect.example": fetch, "timeout.example": fetch,
        "certificate.example": ("error", "", "error: sts-webpki-invalid"),
        "syntax.example": invalid, "quote.example": invalid, "nothing.example": invalid}


def test_a_known_policy_outlives_errors_and_replaces_them(job):
    good, gone = PAGES["enforce.example"], PAGES["404.example"]
    modes = []
    for page in (gone, PAGES["certificate.example"], good, gone):
        job.serve("a.example", *page)
        modes.append(job.run("a.example")["a.example"][0::2])
    assert modes == [("error", "error: sts-policy-fetch-error"), ("error", "error: sts-webpki-invalid"),
                     ("enforce", LINES.format("enforce")), ("enforce", LINES.format("enforce"))]
