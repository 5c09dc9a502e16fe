# SPDX-License-Identifier: MIT
"""What receivers of reports insist on: models of five of them as types, and the rules of RFC 8460 that can be read off a
report alone.  accept_all(report) is called on every report that a flow test sees."""
import datetime
import ipaddress
import json
import re

RESULT_TYPES = """starttls-not-supported certificate-host-mismatch certificate-expired certificate-not-trusted
validation-failure tlsa-invalid dnssec-invalid dane-required sts-policy-fetch-error sts-policy-invalid
sts-webpki-invalid""".split()
POLICY_TYPES = ("tlsa", "sts", "no-policy-found")


class Rejected(Exception):
    pass


# ---- types: each takes a value and raises Rejected ---------------------------------------------------------

def anything(_value):
    pass


def text(value):
    if not isinstance(value, str):
        raise Rejected(f"not a text: {value!r}")


def whole(maximum):
    def check(value):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
            raise Rejected(f"not a number from 0 to {maximum}: {value!r}")
    return check


def word(*words):
    def check(value):
        text(value)
        if value not in words:
            raise Rejected(f"not one of the known words: {value!r}")
    return check


def moment(value):
    """RFC 3339 with a zone."""
    text(value)
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value):
        raise Rejected(f"not a time with a zone: {value!r}")
    loose_moment(value)


def loose_moment(value):
    text(value)
    try:
        datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError as error:
        raise Rejected(f"not a time: {value!r}") from error


def address(value):
    text(value)
    try:
        if "%" in value:
            raise ValueError
        ipaddress.ip_address(value)
    except ValueError as error:
        raise Rejected(f"not an IP address: {value!r}") from error


def array(item):
    def check(value):
        if not isinstance(value, list):
            raise Rejected(f"not an array: {value!r}")
        for element in value:
            item(element)
    return check


def nullable(inner):
    return lambda value: None if value is None else inner(value)


def either(*kinds):
    def check(value):
        reasons = []
        for kind in kinds:
            try:
                return kind(value)
            except Rejected as reason:
                reasons.append(str(reason))
        raise Rejected("; ".join(reasons))
    return check


def members(required, optional=()):
    """An object; unknown names are ignored."""
    optional = dict(optional)
    def check(value):
        if not isinstance(value, dict):
            raise Rejected(f"not an object: {value!r}")
        for name, kind in required.items():
            if name not in value:
                raise Rejected(f"{name} is missing")
            kind(value[name])
        for name, kind in optional.items():
            if name in value:
                kind(value[name])
    return check


# ---- the five ------------------------------------------------------------------------------------------------

def report_type(*, head_required, head_optional, date, policy_required, policy_optional, counts_required, count,
                details, detail_required, detail_optional):
    both = {"total-successful-session-count": count, "total-failure-session-count": count}
    detail = members(detail_required, detail_optional)
    entry = members({"policy": members(policy_required, policy_optional),
                     "summary": members(both if counts_required else {}, {} if counts_required else both)},
                    {"failure-details": details(detail)})
    dates = members({"start-datetime": date, "end-datetime": date})
    return members({**head_required, "date-range": dates, "policies": array(entry)}, head_optional)


I64, U32, I32 = 2**63 - 1, 2**32 - 1, 2**31 - 1
HEAD = {"organization-name": text, "contact-info": text, "report-id": text}
OTHER = {"receiving-mx-hostname": text, "receiving-mx-helo": text, "additional-information": text,
         "failure-reason-code": text}

MODELS = {
    # Go: types are strict, what is absent or null is the zero value, and what is vital is checked afterwards.
    "mox": report_type(
        head_required={}, head_optional={name: nullable(text) for name in HEAD}, date=loose_moment,
        policy_required={"policy-type": text, "policy-domain": text},
        policy_optional={"policy-string": nullable(array(text)), "mx-host": nullable(array(text))},
        counts_required=False, count=whole(I64), details=lambda d: nullable(array(d)), detail_required={},
        detail_optional={"result-type": text, "failed-session-count": whole(I64), "sending-mta-ip": text,
                         "receiving-ip": text, **OTHER}),
    # Rust: absent is a default, null is not; addresses are addresses.  A time without a zone becomes 1970.
    "Stalwart": report_type(
        head_required={}, head_optional={name: nullable(text) for name in HEAD}, date=moment,
        policy_required={"policy-type": text},
        policy_optional={"policy-domain": text, "policy-string": array(text), "mx-host": array(text)},
        counts_required=False, count=whole(U32), details=array,
        detail_required={"result-type": text},
        detail_optional={"failed-session-count": whole(U32), "sending-mta-ip": address, "receiving-ip": address,
                         **OTHER}),
    # Rust: strict enumerations, addresses and times.
    "cry-inc": report_type(
        head_required={"organization-name": text, "report-id": text}, head_optional={"contact-info": nullable(text)},
        date=moment, policy_required={"policy-type": word(*POLICY_TYPES), "policy-domain": text},
        policy_optional={"policy-string": nullable(array(text)), "mx-host": nullable(array(text))},
        counts_required=True, count=whole(U32), details=lambda d: nullable(array(d)),
        detail_required={"result-type": word(*RESULT_TYPES), "failed-session-count": whole(U32)},
        detail_optional={"sending-mta-ip": nullable(address), "receiving-ip": nullable(address), **OTHER}),
    # C#: 32-bit counts, strict enumerations.
    "MailCheck": report_type(
        head_required={"organization-name": text, "report-id": text}, head_optional={"contact-info": nullable(text)},
        date=loose_moment, policy_required={"policy-type": word(*POLICY_TYPES), "policy-domain": text},
        policy_optional={"policy-string": nullable(array(text)), "mx-host": nullable(either(text, array(text)))},
        counts_required=True, count=whole(I32), details=lambda d: nullable(array(d)),
        detail_required={"result-type": word(*RESULT_TYPES), "failed-session-count": whole(I32)},
        detail_optional={"sending-mta-ip": text, "receiving-ip": text, **OTHER}),
    # Python: what it looks up must be there.
    "parsedmarc": report_type(
        head_required=HEAD, head_optional={}, date=loose_moment,
        policy_required={"policy-type": text, "policy-domain": text},
        policy_optional={"policy-string": anything, "mx-host": anything},
        counts_required=True, count=whole(I64), details=array,
        detail_required={"result-type": text, "failed-session-count": whole(I64)},
        detail_optional={"sending-mta-ip": text, "receiving-ip": text, **OTHER}),
}


def verdict(receiver, report):
    """"" if that receiver takes the report, else why not."""
    try:
        MODELS[receiver](report)
    except Rejected as reason:
        return str(reason)
    return ""


# ---- our own promises ----------------------------------------------------------------------------------------

DOMAIN = r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*"
DETAIL_KEYS = ["result-type", "sending-mta-ip", "receiving-mx-hostname", "receiving-mx-helo", "receiving-ip",
               "failed-session-count", "additional-information", "failure-reason-code"]
POLICY_KEYS = ["policy-type", "policy-string", "policy-domain", "mx-host"]
HEAD_KEYS = ["organization-name", "date-range", "contact-info", "report-id", "policies"]


def require(condition, what):
    if not condition:
        raise Rejected(what)


def leaves(value):
    yield value
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if (key, inner) != ("policy-string", []):  # the only one that may be empty (R20)
            yield from leaves(inner)


def in_order(keys, order):
    return [key for key in order if key in keys] == list(keys)


def check_policy(entry):
    policy, kind = entry["policy"], entry["policy"]["policy-type"]
    require(in_order(entry, ["policy", "summary", "failure-details"]), f"keys of a policy entry: {list(entry)}")
    require(in_order(policy, POLICY_KEYS), f"keys of a policy: {list(policy)}")
    require(kind in POLICY_TYPES, f"policy-type {kind}")                                                     # R19
    require(re.fullmatch(DOMAIN, policy["policy-domain"]), f"policy-domain {policy['policy-domain']!r}")    # R21, R31
    require("mx-host" not in policy or kind == "sts", "mx-host without sts")                                # R22
    lines = policy["policy-string"]                                                                         # R20
    require(not lines or kind != "no-policy-found", "policy-string without a policy")
    if kind == "tlsa":
        require(all(re.fullmatch(r"[0-3] [01] [0-2] (?:[0-9A-F]{2})+", line) for line in lines), "TLSA form")  # R20
        require(lines == sorted(set(lines)), "TLSA order")                                                  # R33
    for host in policy.get("mx-host", ()):
        require(re.fullmatch(r"(?:\*\.)?" + DOMAIN, host), f"mx-host {host!r}")
    require(list(entry["summary"]) == ["total-successful-session-count", "total-failure-session-count"],
            "summary")                                                                                      # R34


def check_detail(detail):
    require(in_order(detail, DETAIL_KEYS), f"keys of a detail: {list(detail)}")
    require(detail["result-type"] in RESULT_TYPES, f"result-type {detail['result-type']}")                  # R23
    require(detail["failed-session-count"] >= 1, "a detail without sessions")
    for key in ("sending-mta-ip", "receiving-ip"):
        if key in detail:
            address = ipaddress.ip_address(detail[key])
            require(str(address) == detail[key], f"{key} {detail[key]}")                                   # R25
            require(address.version == 4 or address.ipv4_mapped is None, f"{key} {detail[key]} is mapped")
    if "receiving-mx-hostname" in detail:
        require(re.fullmatch(DOMAIN, detail["receiving-mx-hostname"]), "receiving-mx-hostname")
    if "additional-information" in detail:
        require(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!#-;=?-_a-z~]+", detail["additional-information"]), "URI")
    require(len(detail.get("failure-reason-code", "").encode()) <= 256, "failure-reason-code is too long")


def check_rules(report):
    """R14 to R35, as far as one report shows them."""
    require(list(report) == HEAD_KEYS, f"keys of the report: {list(report)}")
    start, end = report["date-range"]["start-datetime"], report["date-range"]["end-datetime"]
    require(re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", start), f"start {start}")                             # R16
    require(end == start.replace("00:00:00", "23:59:59"), f"end {end}")
    require(re.fullmatch(r"[^@\s]+@" + DOMAIN, report["contact-info"]), "contact-info")                     # R17
    left, _, right = report["report-id"].partition("@")
    require(re.fullmatch(r"\d+\.\d+\." + DOMAIN, left), f"report-id {report['report-id']}")                 # R18
    require(right == report["contact-info"].partition("@")[2], "the report-id is of another submitter")     # R42
    require(report["policies"], "no policy")                                                                # R15
    for value in leaves(report):
        require(value not in ("", None) and value != [] and value != {}, f"an empty value: {value!r}")      # R32
        require(not isinstance(value, float), f"not a whole number: {value}")                               # R26
        require(isinstance(value, (str, dict, list)) or 0 <= value <= I32, f"out of range: {value}")        # R34
        require(not isinstance(value, str) or not re.search("[\0-\x1f\x7f-\x9f\u2028\u2029\ufdd0-\ufdef\ufffe\uffff]",
                                                            value), f"control character in {value!r}")      # R71
    for entry in report["policies"]:
        check_policy(entry)
        for detail in entry.get("failure-details", ()):
            check_detail(detail)


def accept_all(report):
    """Every receiver takes it, and it keeps our own rules; report is a parsed report or its text."""
    if isinstance(report, str):
        require(report.isascii(), "not ASCII")                                                              # R14
        report = json.loads(report)
    faults = {name: verdict(name, report) for name in MODELS}
    faults = {name: why for name, why in faults.items() if why}
    assert not faults, f"rejected: {faults}"
    try:
        check_rules(report)
    except Rejected as reason:
        raise AssertionError(f"against our rules: {reason}") from reason
