# SPDX-License-Identifier: MIT
"""What a person sees: run a command at a terminal's width, and compare with a golden file.

tests/data/golden/NAME.COLUMNS.txt; UPDATE_GOLDEN=1 writes them anew, and git diff shows what changed.
"""
import os
import pty
import re
import select
import subprocess
import fcntl
import struct
import termios

from programs import DATA, RUN_S

GOLDEN = DATA / "golden"
WIDTHS = (80, 140)

# What differs from run to run, made the same without changing any width.
MOVING = [
    (re.compile(r"(?<!\d)\d\d:\d\d:\d\d(?!\d)"), "HH:MM:SS"),
    (re.compile(r"127\.0\.0\.1:\d{4,5}\b"), "127.0.0.1:PORT"),
    (re.compile(r"\bin \d+ min( \d+ s)?"), "in N min"),
    (re.compile(r"\(\d+ (s|min)( \d+ s)?\)"), "(N s)"),
    (re.compile(r"last counted \d+ s ago"), "last counted N s ago"),
    (re.compile(r"at most \d+\.\d % so far"), "at most N.N % so far"),
    (re.compile(r"^warning +the sockets queue only.*?the\s+collector\n", re.M | re.S), ""),  # as this host is set
    (re.compile(r"^(oldest due  ).*$", re.M), r"\1DOMAIN to HOST, since 2026-03-15 HH:MM:SS UTC"),  # ties in a second
    (re.compile(r"report for (estuary|wharf)\.example: "), "report for buoy.example: "),  # likewise, of one host
]


def screen(site, *arguments, columns=80, check=True):
    """What the command prints on a screen of so many columns."""
    env = dict(site.environment, COLUMNS=str(columns))
    done = subprocess.run(site.command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env,
                          timeout=RUN_S, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def steady(text, *folders):
    for folder in folders:
        text = text.replace(str(folder), "FOLDER")
    for pattern, words in MOVING:
        text = pattern.sub(words, text)
    return text


def compare(name, columns, text):
    path = GOLDEN / f"{name}.{columns}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; UPDATE_GOLDEN=1 writes it anew"


def widest(text):
    return max(map(len, text.splitlines()))


def on_terminal(site, *arguments, columns=80, stderr_too=True, **environment):
    """Run on a pseudo terminal; (what was written to stdout's terminal, to stderr's terminal)."""
    env = {key: value for key, value in site.environment.items() if key not in ("NO_COLOR", "COLUMNS")}
    env.update({"TERM": "xterm-256color", **environment})
    pairs = [pty.openpty() for _ in range(2)]
    for _, slave in pairs:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(site.command(*arguments), stdin=subprocess.DEVNULL, stdout=pairs[0][1],
                               stderr=pairs[1][1] if stderr_too else subprocess.DEVNULL, env=env)
    for _, slave in pairs:
        os.close(slave)
    texts = drain([master for master, _ in pairs])
    process.wait(RUN_S)
    return [text.decode().replace("\r\n", "\n") for text in texts]


def drain(masters):
    texts = {master: b"" for master in masters}
    open_ends = set(masters)
    while open_ends:
        ready, _, _ = select.select(list(open_ends), [], [], RUN_S)
        assert ready, "the program says nothing and does not end"
        for master in ready:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # the other end is closed
                chunk = b""
            texts[master] += chunk
            if not chunk:
                open_ends.discard(master)
                os.close(master)
    return [texts[master] for master in masters]
