#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compare our JSON with Python's.

compare_json.py [COUNT [SEED]]   (20000 texts and a twentieth of it reports; see rounds.py).  Prints TAP.

1. Reading: random JSON texts, good and damaged, are read and written again by report_format_pretty; Python reads the
   same text and what was written, and must find the same values.  `show` forgives what follows a JSON text and bad UTF-8;
   beyond that (and Jansson's blindness for a NUL behind a number) we take nothing that Python refuses.
2. Writing: reports built from random texts; Python's strict reader must find in each exactly what went in.
"""
import json
import math
import pathlib
import re
import subprocess
import sys

import rounds

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flow"))
import report_tool  # noqa: E402  (found by the line above)

TOOLS = rounds.BUILD / "tests" / "tools"
LETTERS = "aZ09 _-.:/\"\\\t\n\r\b\f\u00e9\u20ac\u2028\ufffd\U0001f600\u007f\u0080\u202e{}[],"
DAMAGE = [b"", b",", b"}", b"]", b"\"", b"\\", b"\\u12", b"\\ud800", b"\x00", b"\x1f", b"01", b"1.", b".5", b"+1", b"1e", b"NaN",
          b"-", b"nul", b"/**/", b"'a'"]
DEPTH_MAX = 6


def make_text(dice):
    return "".join(dice.choice(LETTERS) for _ in range(dice.choice([0, 1, 3, 12])))


def make_value(dice, depth=0):
    kind = dice.randrange(8 if depth < DEPTH_MAX else 6)
    if kind == 0:
        return dice.choice([True, False, None])
    if kind == 1:
        return dice.choice([0, -1, 7, 2**31 - 1, 2**53, -2**63, 2**63 - 1, dice.randrange(10**6)])
    if kind == 2:
        return dice.choice([0.5, -2.25, 1e300, 1.5e-7, 3.0])
    if kind <= 5:
        return make_text(dice)
    if kind == 6:
        return [make_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {make_text(dice) or "k": make_value(dice, depth + 1) for _ in range(dice.randrange(4))}


def escape(dice, text):
    """The same JSON text with some of its ASCII letters written as \\uXXXX (only inside strings, by way of a marker)."""
    return "".join(f"\\u{ord(c):04x}" if c in "aZ" and dice.random() < 0.3 else c for c in text)


def make_json(dice):
    value = make_value(dice)
    text = json.dumps(value, ensure_ascii=dice.random() < 0.5, indent=dice.choice([None, 1, "\t"]))
    if "a" not in text.replace("false", "").replace("NaN", "") or dice.random() < 0.5:
        return text.encode()
    kept = text.replace("false", "\0")
    return escape(dice, kept).replace("\0", "false").encode()


def damage(dice, text):
    at = dice.randrange(len(text) + 1)
    return text[:at] + dice.choice(DAMAGE) + text[at + dice.randrange(2):]


def no_constant(name):
    raise ValueError(name)


def whole_number(text):
    number = int(text)
    if not -2**63 <= number < 2**63:
        raise ValueError("beyond 64 bits")
    return number


def real_number(text):
    number = float(text)
    if math.isinf(number):
        raise ValueError("beyond a double")
    return number


def read_python(text, is_whole):
    """(is it JSON, value); not is_whole: what follows a JSON text, and bytes that are no UTF-8, are forgiven."""
    if not is_whole:
        text = re.sub(rb"(?<=[0-9a-z])\0", b"", text)  # Jansson 2.14 does not see a NUL behind a number or word
    reader = json.JSONDecoder(parse_int=whole_number, parse_float=real_number, parse_constant=no_constant)
    try:
        decoded = text.decode(errors="strict" if is_whole else "replace").strip(" \t\r\n")
        value = reader.decode(decoded) if is_whole else reader.raw_decode(decoded)[0]
        return not has_lone_surrogate(value), value
    except (ValueError, RecursionError):
        return False, None


def has_lone_surrogate(value):
    return any(0xD800 <= ord(c) < 0xE000 for c in json.dumps(value, ensure_ascii=False))


def same(a, b):
    if isinstance(a, float) or isinstance(b, float):  # 3.0 is written as 3
        return not isinstance(a, bool) and not isinstance(b, bool) and math.isclose(a, b, rel_tol=1e-15)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def compare_reading(dice, count):
    texts = [make_json(dice) for _ in range(count)]
    texts = [damage(dice, text) if dice.random() < 0.4 else text for text in texts]
    done = subprocess.run([TOOLS / "json_text"], input="".join(text.hex() + "\n" for text in texts), capture_output=True, text=True,
                          check=True, timeout=600)
    faults, accepted, pardoned = [], 0, 0
    answers = done.stdout.splitlines()
    for text, answer in zip(texts, answers):
        is_json, want = read_python(text, True)
        is_ours = answer.startswith("ok ")
        accepted += is_json
        pardoned += is_ours and not is_json
        if is_json and not is_ours:
            faults.append(f"{text[:200]}: Python takes it, we say {answer[:40]}")
        elif is_json and not same(want, json.loads(bytes.fromhex(answer[3:]))):
            faults.append(f"{text[:200]}: written again as {bytes.fromhex(answer[3:])[:200]}")
        elif is_ours and not is_json and not read_python(text, False)[0]:
            faults.append(f"{text[:200]}: we take it, Python refuses even its begin")
    if len(answers) != count:
        faults.append(f"{len(answers)} answers to {count} texts")
    print(f"# {accepted} of {count} texts are JSON; of {pardoned} more we take what can be read")
    return faults


def clean_text(dice):
    """A text that a report holds as it is: nothing that is cleaned away, no blank at its ends."""
    letters = "aZ09_-.:/\"\\\u00e9\u20ac\U0001f600{}[],"
    return "".join(dice.choice(letters) for _ in range(dice.randrange(1, 20)))


def make_report(dice):
    details = [{"result_type": "validation-failure", "sessions": dice.randrange(1, 50),
                "failure_reason_code": f"{n:02} {clean_text(dice)}"} for n in range(dice.randrange(3))]
    details.sort(key=lambda detail: (-detail["sessions"], detail["failure_reason_code"]))
    return {"organization_name": clean_text(dice), "contact_info": "tls@lantern.example", "submitter": "lantern.example",
            "domain": "north.example", "report_id": "1@lantern.example", "utc_day": 20526,
            "policies": [{"type": "sts", "domain": "north.example", "strings": ["version: STSv1", "x: " + clean_text(dice)],
                          "mx_hosts": ["*.north.example"], "success": dice.randrange(2**31), "failure": sum(d["sessions"] for d in details),
                          "details": details}]}


def as_python(request):
    policy = request["policies"][0]
    counts = {"total-successful-session-count": policy["success"], "total-failure-session-count": policy["failure"]}
    row = {"policy": {"policy-type": "sts", "policy-string": policy["strings"], "policy-domain": policy["domain"],
                      "mx-host": policy["mx_hosts"]}, "summary": counts}
    if policy["details"]:
        row["failure-details"] = [{"result-type": d["result_type"], "failed-session-count": d["sessions"],
                                   "failure-reason-code": d["failure_reason_code"]} for d in policy["details"]]
    return {"organization-name": request["organization_name"],
            "date-range": {"start-datetime": "2026-03-14T00:00:00Z", "end-datetime": "2026-03-14T23:59:59Z"},
            "contact-info": request["contact_info"], "report-id": request["report_id"], "policies": [row]}


def as_bytes(value):
    """The tool takes bytes, as they come from a store."""
    if isinstance(value, dict):
        return {key: as_bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_bytes(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def compare_writing(dice, count):
    requests = [make_report(dice) for _ in range(count)]
    faults, answers = [], report_tool.run(as_bytes(requests))
    for request, answer in zip(requests, answers):
        got = json.loads(answer["report"], parse_constant=no_constant)
        if answer["status"] != "ok" or got != as_python(request):
            faults.append(f"{as_python(request)}: written as {answer['status']} {got}")
    if len(answers) != count:
        faults.append(f"{len(answers)} answers to {count} reports")
    return faults


def main():
    run = rounds.Run("JSON texts", 20000, tests=2)
    run.verdict(1, "the reader agrees with Python's json", compare_reading(run.dice, run.count))
    run.verdict(2, "Python's json reads what was written", compare_writing(run.dice, run.count // 20))
    return int(run.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
