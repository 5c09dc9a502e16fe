#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Kill the collector under load, again and again, and hold its store against what the senders were told.

Each round starts a collector, lets senders run (as fast as they can, or a few thousand a second), and ends it at a
random moment: with SIGKILL (now and then again while it starts), or with SIGTERM.  What send() took must be in the
store, once:
  SIGTERM                   exactly
  SIGKILL, own socket       but for what the kernel's queue and one recvmmsg held
  SIGKILL, inherited socket but for what one recvmmsg held at each kill; senders have stopped before the second, so
                            later hands come from what the kernel's queue still holds
One line of JSON at the end; exit code 1 if a round broke the rule.
"""
import argparse
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "flow"))

import programs  # noqa: E402  (found through the line above)
from collecting import Inherited, total  # noqa: E402

HAND = 32  # LISTEN_BATCH: datagrams of one recvmmsg
LOAD = programs.BUILD / "tests" / "tools" / "load"


def queue_length():
    return int(pathlib.Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 1


class Load:
    """Senders that run until the socket is gone or they are told to stop."""

    def __init__(self, site, chance, seed):
        kind, senders = chance.choice(["zipf", "failures", "distinct", "one"]), chance.randint(1, 4)
        pace = chance.choice([[], ["--rate", str(chance.randint(1000, 10_000))]])
        self.process = subprocess.Popen([LOAD, "--socket", site.socket, "--case", kind, "--senders", str(senders),
                                         "--seed", str(seed), "--until-refused", *pace], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def stop(self):
        """How many sends succeeded."""
        while self.process.poll() is None:  # again and again: one may come just before a send begins to wait
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        return json.loads(self.process.stdout.readlines()[-1])["sent"]


def start(site, held):
    if held:
        held.start(site)
    else:
        site.start_collector()


def run_round(site, held, chance, number):
    """(sent, most that may be missing) of one round; the collector has ended when it returns."""
    site.set(ring_size=chance.choice(["1M", "4M", "16M"]))
    start(site, held)
    load = Load(site, chance, number * 1000)
    time.sleep(chance.uniform(0.0, 0.3))
    is_kill, starts_killed = number % 8 != 7, 0
    if is_kill:
        site.stop_collector(signal.SIGKILL)
        sent = load.stop()
        starts_killed = chance.choice([0, 0, 1, 2])
        for _ in range(starts_killed):  # killed while it takes up its work again
            start(site, held)
            time.sleep(chance.uniform(0.0, 0.02))
            site.stop_collector(signal.SIGKILL)
    elif held:
        sent = load.stop()
        site.stop_collector()
    else:
        site.stop_collector()
        sent = load.stop()
    start(site, held)
    site.stop_collector()
    if not is_kill:
        return sent, 0
    return sent, HAND + (min(HAND * starts_killed, queue_length()) if held else queue_length())


class Tally:
    """What happened to one kind of round."""

    def __init__(self):
        self.rounds = self.sent = self.missing = self.whole = self.most = self.broken = 0

    def add(self, number, sent, missing, allowed):
        self.rounds += 1
        self.sent += sent
        self.missing += missing
        self.whole += missing == 0
        self.most = max(self.most, missing)
        if not 0 <= missing <= allowed:
            self.broken += 1
            print(f"round {number}: sent {sent}, missing {missing}, allowed {allowed}", flush=True)

    def as_dict(self):
        return {"rounds": self.rounds, "sent": self.sent, "missing": self.missing, "rounds_without_loss": self.whole,
                "most_missing": self.most, "broken": self.broken}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    tallies = {name: Tally() for name in ("own_socket_killed", "inherited_socket_killed", "terminated")}
    with tempfile.TemporaryDirectory(prefix="tlsrpt-gen-crash.") as folder:
        sites = [programs.Site(pathlib.Path(folder) / name) for name in ("own", "inherited")]
        with Inherited(sites[1].socket) as held:
            for number in range(chosen.rounds):
                is_held = number // 8 % 2 == 1
                site = sites[is_held]
                before = total(site) if (site.state / "sessions.db").exists() else 0
                sent, allowed = run_round(site, held if is_held else None, chance, number)
                name = "terminated" if number % 8 == 7 else ("own", "inherited")[is_held] + "_socket_killed"
                tallies[name].add(number, sent, sent - (total(site) - before), allowed)
        stored = sum(total(site) for site in sites)
    is_sound = stored == sum(tally.sent - tally.missing for tally in tallies.values())
    print(json.dumps({**{name: tally.as_dict() for name, tally in tallies.items()}, "stored": stored,
                      "seed": chosen.seed}))
    return 0 if is_sound and not any(tally.broken for tally in tallies.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
