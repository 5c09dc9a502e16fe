# SPDX-License-Identifier: MIT
"""What the comparisons share: their arguments, and that nothing they found is lost.

COUNT and SEED stand on the command line; without SEED the clock gives one.  It is printed first, and again with the
command that repeats the run if something differed; everything that differed is then kept in
$BUILD/differential/NAME-SEED.txt, whatever the terminal showed.
"""
import os
import pathlib
import random
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()


class Run:
    """One comparison: .count, .seed, .dice."""

    def __init__(self, what, default_count, tests):
        self.count = int(sys.argv[1]) if len(sys.argv) > 1 else default_count
        self.seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
        self.dice = random.Random(self.seed)
        self.tests = tests
        self.failed = 0
        self.kept = BUILD / "differential" / f"{what.replace(' ', '-')}-{self.seed}.txt"
        print(f"1..{tests}\n# {self.count} {what}, seed {self.seed}", flush=True)

    def verdict(self, number, what, faults, shown=10):
        """Print the line of a test; faults are the words about what differs."""
        if faults:
            self.failed += 1
            self.keep(faults)
            print("\n".join("# " + fault for fault in faults[:shown]))
            print(f"# all of them: {self.kept}\n# again: {os.path.relpath(sys.argv[0])} {self.count} {self.seed}")
        print(f"{'not ' if faults else ''}ok {number} - {what} ({len(faults)} differences, seed {self.seed})", flush=True)

    def keep(self, faults):
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        with open(self.kept, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(fault + "\n" for fault in faults))
