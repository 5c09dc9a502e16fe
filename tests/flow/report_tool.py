# SPDX-License-Identifier: MIT
"""Drive build/tests/tools/report_tool: report, gzip and mail from rows, without store or network."""
import base64
import json
import subprocess

from programs import BUILD, IDENTITY

TOOL = BUILD / "tests" / "tools" / "report_tool"
DAY = 20526  # 2026-03-14
BEGIN, END = DAY * 86400, DAY * 86400 + 86399
SUBMITTER = "reports.seaport.example"


def request(domain="harbour.example", **more):
    """What the tool needs for one report and its mail; policies and other values come with more."""
    report_id = f"{BEGIN}.1.{domain}@{SUBMITTER}"
    return {**IDENTITY, "submitter": SUBMITTER, "domain": domain, "report_id": report_id, "utc_day": DAY,
            "from": IDENTITY["contact_info"], "to": f"tls@{domain}",
            "message_id": f"{BEGIN}.1.{domain}.rua1@{SUBMITTER}", "date_s": END + 700,
            "file_name": f"{SUBMITTER}!{domain}!{BEGIN}!{END}.json.gz",
            "policies": [{"type": "no-policy-found", "domain": domain, "success": 1}], **more}


def as_text(value):
    """Bytes become text with one character for each byte, which the tool turns back."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    return [as_text(item) for item in value] if isinstance(value, list) else value


def run(requests):
    """The answers, in order: status, report (JSON text), gzip and mail (bytes)."""
    lines = "".join(json.dumps(as_text(row)) + "\n" for row in requests)
    done = subprocess.run([TOOL], input=lines.encode(), capture_output=True, timeout=300, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for answer in answers:
        for key in ("gzip", "mail"):
            answer[key] = base64.b64decode(answer.get(key, ""))
    return answers


def run_one(**values):
    return run([request(**values)])[0]
