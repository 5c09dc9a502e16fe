# SPDX-License-Identifier: MIT
"""Commands that were run in a tree, summed up as tests/run does."""
import re

import trees

SUM = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
SHOWN_LINES, SHOWN_WIDTH = 120, 250  # of a command that failed


class Tally:
    """Each command counts for as many tests as the last sum in its output, or for one."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, what, done, seconds, has_sum):
        sums = SUM.findall(done.stdout) if has_sum else []
        passed, failed, skipped = (int(number or 0) for number in sums[-1]) if sums else (0, 0, 0)
        if done.returncode == 0 and not has_sum:
            passed = 1
        elif failed == 0 and (done.returncode != 0 or passed == 0):
            failed = 1
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        trees.say(f"{what}: exit code {done.returncode} ({seconds:.0f} s)")
        if failed:
            lines = done.stdout.splitlines()[-SHOWN_LINES:]
            print("".join(f"#     {line[:SHOWN_WIDTH]}\n" for line in lines), end="", flush=True)

    def close(self, name):
        """Print the sum; the exit code."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"{name}: {self.passed} passed, {self.failed} failed{skipped}", flush=True)
        return 1 if self.failed or not self.passed else 0
