# SPDX-License-Identifier: MIT
"""What a receiver does with what it got: take mail and HTTPS body apart."""
import dataclasses
import email
import email.policy
import gzip
import json

import receivers


@dataclasses.dataclass
class Received:
    """One report as it came in."""
    text: str      # the JSON
    report: dict   # parsed, key order kept
    filename: str  # "" for HTTPS
    message: object = None  # email.message.EmailMessage, or None


def refuse_duplicates(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a name stands twice in one object: {names}"
    return dict(pairs)


def parse_report(text):
    """The report, which every receiver must accept."""
    report = json.loads(text, object_pairs_hook=refuse_duplicates)
    receivers.accept_all(text)
    return report


def canonical(report):
    """Equal texts mean equal JSON in the same key order."""
    return json.dumps(report)


def from_mail(mail):
    message = email.message_from_bytes(mail.data, policy=email.policy.default)
    _, attached = message.iter_parts()
    text = gzip.decompress(attached.get_content()).decode()
    return Received(text, parse_report(text), attached.get_filename(), message)


def from_request(request):
    text = gzip.decompress(request.body).decode()
    return Received(text, parse_report(text), "")
