# SPDX-License-Identifier: MIT
"""The recipes of tlsrpt-gen(7) and the examples of tlsrpt-gen.conf(5) are settings that the programs take."""
import re
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
