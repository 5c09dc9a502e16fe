# SPDX-License-Identifier: MIT
"""One UTC day of a small mail host: sessions with thirty domains, and what those domains publish in DNS."""

DAY = "2026-03-14"
TLSA = "3 1 1 0F1E2D3C4B5A69788796A5B4C3D2E1F00112233445566778899AABBCCDDEEFF0"
STS, DANE, NONE = 2, 1, 9

# libtlsrpt's numbers
NO_STARTTLS, MISMATCH, UNTRUSTED, EXPIRED, INVALID = 201, 202, 203, 204, 205
TLSA_INVALID, FETCH_ERROR = 304, 301

MAIL = "v=TLSRPTv1; rua=mailto:tls@{domain}"
BOTH = "v=TLSRPTv1; rua=mailto:tls@{domain},https://tlsrpt.{domain}/v1/report"
URL = "v=TLSRPTv1; rua=https://reports.collector.example/in/{domain}"
OUTSIDE = "v=TLSRPTv1; rua=mailto:{domain}@reports.collector.example"

# domain, policy, sessions that succeeded, {(failure code, MX host, address): sessions}, record (None: there is none)
DOMAINS = [
    ("anchor.example", STS, 1204, {}, BOTH),
    ("bay.example", DANE, 871, {}, MAIL),
    ("beacon.example", STS, 640, {(EXPIRED, "mx1.beacon.example", "198.51.100.11"): 23}, MAIL),
    ("boatyard.example", NONE, 52, {}, MAIL),
    ("bosun.example", STS, 411, {}, OUTSIDE),
    ("breakwater.example", DANE, 97, {(TLSA_INVALID, "mx.breakwater.example", "198.51.100.14"): 97}, MAIL),
    ("buoy.example", STS, 18, {}, URL),
    ("capstan.example", NONE, 7, {}, None),
    ("cove.example", STS, 233, {(MISMATCH, "backup.cove.example", "198.51.100.18"): 4}, BOTH),
    ("dock.example", STS, 1530, {}, MAIL),
    ("dredger.example", NONE, 3, {}, None),
    ("estuary.example", DANE, 64, {}, URL),
    ("ferry.example", STS, 702, {(UNTRUSTED, "mx2.ferry.example", "198.51.100.22"): 11,
                                 (EXPIRED, "mx1.ferry.example", "198.51.100.21"): 2}, OUTSIDE),
    ("fjord.example", NONE, 29, {}, MAIL),
    ("gangway.example", STS, 5, {}, "v=TLSRPTv1; rua=ftp://gangway.example/in"),
    ("harbour.example", STS, 2875, {}, BOTH),
    ("jetty.example", NONE, 0, {(NO_STARTTLS, "mx.jetty.example", "198.51.100.31"): 14}, MAIL),
    ("keel.example", DANE, 320, {}, MAIL),
    ("lagoon.example", NONE, 16, {}, ["v=TLSRPTv1; rua=mailto:a@lagoon.example", "v=TLSRPTv1; rua=mailto:b@lagoon.example"]),
    ("lantern.example", DANE, 418, {(INVALID, "mx1.lantern.example", "2001:db8:77::25"): 1}, MAIL),
    ("lighthouse.a-very-long-name-of-a-shipping-company.example", STS, 77, {}, OUTSIDE),
    ("marina.example", STS, 980, {(FETCH_ERROR, "mx1.marina.example", "198.51.100.40"): 6}, MAIL),
    ("mooring.example", NONE, 12, {}, MAIL),
    ("pier.example", STS, 154, {}, "v=TLSRPTv1;rua=mailto:tls@pier.example,mailto:postmaster@pier.example,https://pier.example/tls"),
    ("quay.example", STS, 366, {(MISMATCH, "mx2.quay.example", "198.51.100.80"): 1}, MAIL),
    ("rudder.example", DANE, 48, {}, MAIL),
    ("slipway.example", NONE, 9, {}, None),
    ("tideway.example", STS, 2, {}, "v=TSLRPTv1; rua=mailto:tls@tideway.example"),
    ("wharf.example", STS, 1117, {}, URL),
    ("xn--hafen-kva.example", NONE, 21, {}, MAIL),
]


def policy_of(domain, kind):
    if kind == STS:
        return {"policy-type": STS, "policy-domain": domain, "mx-host": [f"*.{domain}"],
                "policy-string": ["version: STSv1", "mode: enforce", f"mx: *.{domain}", "max_age: 604800"]}
    if kind == DANE:
        return {"policy-type": DANE, "policy-domain": f"mx1.{domain}", "policy-string": [TLSA]}
    return {"policy-type": NONE, "policy-domain": domain}


def first_record(record, domain):
    return (record if isinstance(record, str) else record[0]).format(domain=domain) if record else ""


def datagrams(scale=1):
    """The day's datagrams; scale divides the counts (each at least 1)."""
    for domain, kind, ok, failures, record in DOMAINS:
        head = {"dpv": "1", "d": domain, "pr": first_record(record, domain) or "v=TLSRPTv1; rua=mailto:gone@old.example"}
        policy = policy_of(domain, kind)
        for _ in range((ok + scale - 1) // scale):
            yield dict(head, policies=[dict(policy, t=0, f=0)])
        for (code, host, address), sessions in failures.items():
            detail = {"c": code, "s": "192.0.2.10", "n": host, "h": host, "r": address}
            if code in (UNTRUSTED, INVALID):
                detail["f"] = "self-signed_certificate"
            for _ in range((sessions + scale - 1) // scale):
                yield dict(head, policies=[{**policy, "failure-details": [detail], "t": 1, "f": 1}])


def txt_records():
    """For servers.Nsd."""
    records = {}
    for domain, _, _, _, record in DOMAINS:
        if record:
            listed = [record] if isinstance(record, str) else record
            records[f"_smtp._tls.{domain}"] = [text.format(domain=domain) for text in listed]
    return records
