# SPDX-License-Identifier: MIT
"""A second reading of RFC 8460 section 3 and of the URI rules, written from the rules and not from the C code.

read(rrs) takes the TXT RRs of a name (bytes, each RR's strings joined) and returns (uris, error, skipped).

Where the RFC leaves a choice, the programs and this model have made the same one:
  - a field that is not name=value, an empty one (";;") and a URI that cannot be used are skipped, and counted;
  - no blank may stand on either side of '='; blanks may stand around ',' and ';' and at the end;
  - a mailto URI has no '/', its domain at least one dot, and it is no name of a local network;
  - a URL's host must not end in a number unless it is an address;
  - the first 10 different destinations count; of a record above 4096 bytes what ends within them.
"""
import ipaddress
import re
import unicodedata
import urllib.parse

RECORD_MAX, RUA_MAX = 4096, 10
ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
DOT_ATOM = re.compile(ATEXT + r"+(?:\." + ATEXT + r"+)*")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)+)"@(.*)', re.S)
URI_TEXT = re.compile(rb"(?:[A-Za-z0-9._~$&'()*+=:@/?-]|%[0-9A-Fa-f]{2})*")  # RFC 3986 without ! , ; # [ ]
FIELD = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\x21-\x3a\x3c\x3e-\x7e]+")
LOCAL = re.compile(r"(.*\.)?home\.arpa|.*\.(localhost|localdomain|local|internal|intranet|lan|home|corp|onion|invalid)")
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")


class Bad(Exception):
    pass


# ---- names ----

def to_a_label(label):
    if label.isascii():
        return label.lower()
    label = unicodedata.normalize("NFC", label.lower())
    if label.startswith("-") or label.endswith("-") or label[2:4] == "--":  # RFC 5891 section 4.2.3.1
        raise Bad("hyphens")
    return "xn--" + label.encode("punycode").decode()


def read_domain(raw):
    """Canonical name of bytes that may be UTF-8."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Bad("UTF-8") from None
    if text.endswith("."):
        text = text[:-1]
    labels = [to_a_label(label) for label in text.split(".")]
    name = ".".join(labels)
    if not all(LABEL.fullmatch(label) and len(label) <= 63 for label in labels) or len(name) > 253:
        raise Bad("domain")
    if all(label.isdigit() for label in labels):
        raise Bad("an address")
    return name


# ---- URIs ----

def split_fragment(rest):
    head, mark, fragment = rest.partition(b"#")
    if not URI_TEXT.fullmatch(fragment):
        raise Bad("fragment")
    return head


def unquote(raw):
    text = urllib.parse.unquote_to_bytes(raw)
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise Bad("UTF-8") from None
    if any(ord(c) < 32 or ord(c) == 127 for c in decoded):
        raise Bad("control")
    return decoded


def split_address(text):
    """Local part without its quotes, and domain."""
    if text.startswith('"'):
        match = QUOTED.fullmatch(text)
        if not match:
            raise Bad("quoted string")
        return re.sub(r"\\(.)", r"\1", match[1], flags=re.S), match[2]
    local, at, domain = text.partition("@")
    if not at or not DOT_ATOM.fullmatch(local):
        raise Bad("local part")
    return local, domain


def read_mailto(rest):
    rest = split_fragment(rest)
    if not URI_TEXT.fullmatch(rest):
        raise Bad("bytes")
    address = rest.partition(b"?")[0]
    if b"/" in address:
        raise Bad("slash")
    local, domain = split_address(unquote(address))
    if not local.isascii():
        raise Bad("SMTPUTF8")
    if not DOT_ATOM.fullmatch(local):
        local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    domain = read_domain(domain.encode())
    if LOCAL.fullmatch(domain) or "." not in domain or len(local) > 64 or len(local) + 1 + len(domain) > 254:
        raise Bad("length")
    return "mailto:" + urllib.parse.quote(local, safe="$'*+") + "@" + domain


def read_host(raw):
    if raw.startswith(b"["):
        match = re.fullmatch(rb"\[([0-9A-Fa-f:.]+)\]", raw)
        try:
            address = ipaddress.IPv6Address(match[1].decode() if match else "")
        except ValueError:
            raise Bad("literal") from None
        return str(address.ipv4_mapped) if address.ipv4_mapped else f"[{address}]"
    if not raw or not URI_TEXT.fullmatch(raw):
        raise Bad("host")
    raw = urllib.parse.unquote_to_bytes(raw)
    try:
        return str(ipaddress.IPv4Address(raw.decode("ascii")))
    except ValueError:
        name = read_domain(raw)
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2]):
        raise Bad("number")
    return name


def read_https(rest):
    if not rest.startswith(b"//"):
        raise Bad("authority")
    match = re.fullmatch(rb"//([^/?#]*)(.*)", rest, re.S)
    authority, target = match[1], split_fragment(match[2])
    if not URI_TEXT.fullmatch(target) or b"@" in authority:
        raise Bad("bytes")
    match = re.fullmatch(rb"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", authority)
    if not match:
        raise Bad("port")
    host, port = read_host(match[1]), int(match[2] or b"443")
    if not 1 <= port <= 65535:
        raise Bad("port")
    if not target.startswith(b"/"):
        target = b"/" + target
    return f"https://{host}{'' if port == 443 else f':{port}'}{target.decode()}"


def read_uri(raw):
    if len(raw) > RECORD_MAX:
        raise Bad("length")
    scheme, colon, rest = raw.partition(b":")
    if colon and scheme.lower() == b"mailto":
        return read_mailto(rest)
    if colon and scheme.lower() == b"https":
        return read_https(rest)
    raise Bad("scheme")


# ---- records ----

def read_fields(text):
    uris, skipped, has_rua = [], 0, False
    if len(text) > RECORD_MAX:
        text = text[:max(text.rfind(b";", 0, RECORD_MAX + 1), text.rfind(b",", 0, RECORD_MAX + 1), 0)]
        skipped += 1
    fields = text.split(b";")[1:]
    for number, field in enumerate(fields, 1):
        field = field.strip(b" \t")
        if not field:
            skipped += number < len(fields)
        elif field.startswith(b"rua="):
            has_rua = True
            for place, item in enumerate(field[4:].split(b",")):
                try:
                    uri = read_uri(item.rstrip(b" \t") if place == 0 else item.strip(b" \t"))
                except Bad:
                    skipped += 1
                    continue
                if uri not in uris and len(uris) == RUA_MAX:
                    skipped += 1
                elif uri not in uris:
                    uris.append(uri)
        elif not FIELD.fullmatch(field):
            skipped += 1
    return uris, has_rua, skipped


def read(rrs):
    exact = [rr for rr in rrs if rr.startswith(b"v=TLSRPTv1;")]
    candidates = exact or [rr for rr in rrs if re.match(rb"v=TLSRPTv1[ \t]*;", rr)]
    if not candidates:
        return [], "NO_RECORD", 0
    if len(candidates) > 1:
        return [], "MULTIPLE", 0
    uris, has_rua, skipped = read_fields(candidates[0])
    if uris:
        return uris, "", skipped
    return [], "NO_USABLE_RUA" if has_rua else "NO_RUA", skipped
