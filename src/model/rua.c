/* SPDX-License-Identifier: MIT */
/*
 * uri     = scheme ":" rest                      scheme without case: mailto, https             (R11)
 * mailto  = addr-spec [ "?" hfields ]            hfields dropped                                (RFC 6068)
 * https   = "//" host [ ":" port ] [ path ] [ "?" query ]                                       (RFC 3986)
 * Both may end in "#" fragment, which is dropped.  "!", "," and ";" stand only as %21 %2C %3B   (R9)
 */
#include "model/rua.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/attr.h"
#include "base/cursor.h"
#include "base/utf8.h"
#include "model/domain.h"

#define ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

/* RFC 3986's unreserved, then what of its reserved bytes may stand in a TLSRPT URI (R9). */
#define UNRESERVED   ALPHA DIGIT "-._~"
#define URI_BYTES    UNRESERVED "$&'()*+=:@/?#"
#define SCHEME_BYTES ALPHA DIGIT "+-."
#define ATEXT        ALPHA DIGIT "!#$%&'*+-/=?^_`{|}~"
/* Bytes of a local part that need no percent-encoding in the normal form (RFC 6068 section 2). */
#define MAILTO_PLAIN UNRESERVED "$'*+"

static const char *const FAULT_WORDS[RUA_FAULT_COUNT] = {
    [RUA_FAULT_NONE] = "it can be used",
    [RUA_FAULT_EMPTY] = "no URI stands here",
    [RUA_FAULT_TOO_LONG] = "it is too long",
    [RUA_FAULT_LEADING_BLANK] = "no blank may stand behind \"rua=\"",
    [RUA_FAULT_NO_SCHEME] = "it does not begin with \"mailto:\" or \"https:\"",
    [RUA_FAULT_NO_MAILTO] = "it is an address without \"mailto:\" in front",
    [RUA_FAULT_OTHER_SCHEME] = "only \"mailto:\" and \"https:\" can be used",
    [RUA_FAULT_HTTP] = "plain \"http:\" is not allowed, only \"https:\" and \"mailto:\"",
    [RUA_FAULT_EXCLAMATION] = "'!' may only be written as %21 (DMARC's size suffix does not exist here)",
    [RUA_FAULT_BACKSLASH] = "it has a backslash, probably left over from a zone file or web form",
    [RUA_FAULT_BRACKET] = "'[', ']', '{' and '}' must be percent-encoded",
    [RUA_FAULT_BYTE] = "it has a byte that no URI may have",
    [RUA_FAULT_PERCENT] = "'%' must be followed by two hexadecimal digits",
    [RUA_FAULT_NO_ADDRESS] = "there is no complete mail address in it",
    [RUA_FAULT_MAILTO_SLASH] = "a mailto URI has no '/', least of all \"//\"",
    [RUA_FAULT_CONTROL] = "its mail address has a control byte",
    [RUA_FAULT_UTF8] = "it decodes to bytes that are not UTF-8",
    [RUA_FAULT_SEVERAL] = "it has more than one mail address; write one URI for each",
    [RUA_FAULT_DISPLAY_NAME] = "it has more than the bare mail address",
    [RUA_FAULT_COMMENT] = "its mail address has a comment",
    [RUA_FAULT_LOCAL_PART] = "the part before '@' is no valid local part",
    [RUA_FAULT_LOCAL_PART_NON_ASCII] = "the part before '@' is not ASCII, which would need SMTPUTF8",
    [RUA_FAULT_LOCAL_PART_LENGTH] = "the part before '@' is longer than 64 bytes",
    [RUA_FAULT_ADDRESS_LITERAL] = "its mail address has an IP address instead of a domain",
    [RUA_FAULT_ADDRESS_LENGTH] = "its mail address is longer than 254 bytes",
    [RUA_FAULT_DOMAIN] = "the part behind '@' is no domain name",
    [RUA_FAULT_DOMAIN_LOCAL] = "the part behind '@' is a name of a local network",
    [RUA_FAULT_DOMAIN_SINGLE_LABEL] = "the part behind '@' has no dot, so it names a local mailbox",
    [RUA_FAULT_NO_AUTHORITY] = "\"https:\" must be followed by \"//\" and a host",
    [RUA_FAULT_USERINFO] = "a user name or password in a URL is not allowed",
    [RUA_FAULT_HOST] = "its host is no valid name or address",
    [RUA_FAULT_PORT] = "its port is no number from 1 to 65535",
    [RUA_FAULT_NOMEM] = "out of memory",
};

const char *rua_fault_words(enum rua_fault fault)
{
    return (size_t)fault < RUA_FAULT_COUNT ? FAULT_WORDS[fault] : "unknown";
}

static bool is_in(char byte, const char *set)
{
    return byte != '\0' && strchr(set, byte) != NULL;
}

static int hex_value(char digit)
{
    static const char DIGITS[] = "0123456789abcdef";
    const char *found =
        digit != '\0' ? strchr(DIGITS, digit >= 'A' && digit <= 'F' ? digit + 32 : digit) : NULL;

    return found != NULL ? (int)(found - DIGITS) : -1;
}

static bool is_escape(struct span text, size_t at)
{
    return text.len - at >= 3 && hex_value(text.at[at + 1]) >= 0 && hex_value(text.at[at + 2]) >= 0;
}

/* Which fault is this byte, which may not stand raw in a URI? */
static enum rua_fault fault_of_byte(char byte)
{
    static const struct {
        const char *bytes;
        enum rua_fault fault;
    } FAULTS[] = {
        {"!", RUA_FAULT_EXCLAMATION},
        {"\\", RUA_FAULT_BACKSLASH},
        {"[]{}", RUA_FAULT_BRACKET},
        {"%", RUA_FAULT_PERCENT},
    };

    for (size_t i = 0; i < ARRAY_COUNT(FAULTS); i++)
        if (is_in(byte, FAULTS[i].bytes))
            return FAULTS[i].fault;
    return RUA_FAULT_BYTE;
}

/* Only URI bytes and whole percent escapes? (R9) */
static enum rua_fault check_bytes(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_in(text.at[i], URI_BYTES) && !(text.at[i] == '%' && is_escape(text, i)))
            return fault_of_byte(text.at[i]);
    return RUA_FAULT_NONE;
}

/* text, whose escapes are whole, with each turned into its byte; NULL if out of memory. */
static char *percent_decode(struct span text, struct arena *arena, size_t *len_out)
{
    char *decoded = arena_alloc(arena, text.len + 1);
    size_t len = 0;

    if (decoded == NULL)
        return NULL;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.at[i];

        if (byte == '%') {
            byte = (char)(hex_value(text.at[i + 1]) * 16 + hex_value(text.at[i + 2]));
            i += 2;
        }
        decoded[len++] = byte;
    }
    *len_out = len;
    return decoded;
}

/* Take "#..." off the end of *rest; there may be only one '#'. */
static enum rua_fault drop_fragment(struct span *rest, bool *dropped_out)
{
    const char *hash = memchr(rest->at, '#', rest->len);
    size_t behind;

    *dropped_out = hash != NULL;
    if (hash == NULL)
        return RUA_FAULT_NONE;
    behind = rest->len - (size_t)(hash - rest->at) - 1;
    if (memchr(hash + 1, '#', behind) != NULL)
        return RUA_FAULT_BYTE;
    rest->len = (size_t)(hash - rest->at);
    return RUA_FAULT_NONE;
}

/* ---- mailto ---- */

/* dot-atom-text: no empty piece between, before or behind dots. */
static bool is_dot_atom(const char *text, size_t len)
{
    bool was_dot = true;

    for (size_t i = 0; i < len; i++) {
        bool is_dot = text[i] == '.';

        if ((is_dot && was_dot) || (!is_dot && !is_in(text[i], ATEXT)))
            return false;
        was_dot = is_dot;
    }
    return !was_dot;
}

/* What is wrong with a local part that is neither dot-atom nor quoted string? */
static enum rua_fault fault_of_local_part(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80)
            return RUA_FAULT_LOCAL_PART_NON_ASCII;
        if (is_in(text[i], " <>\""))
            return RUA_FAULT_DISPLAY_NAME;
        if (is_in(text[i], "()"))
            return RUA_FAULT_COMMENT;
        if (is_in(text[i], ",;@"))
            return RUA_FAULT_SEVERAL;
    }
    return RUA_FAULT_LOCAL_PART;
}

/* A local part as it grows; past its limit it only notes that. */
struct local_part {
    char text[RUA_LOCAL_PART_MAX + 1];
    size_t len;
    bool is_too_long;
};

static void local_part_add(struct local_part *part, char byte)
{
    part->is_too_long = part->is_too_long || part->len == RUA_LOCAL_PART_MAX;
    if (!part->is_too_long)
        part->text[part->len++] = byte;
}

/* The content of the quoted string at the cursor, without its quotes and backslashes. */
static enum rua_fault read_quoted(struct cursor *cursor, struct local_part *content)
{
    cursor_expect(cursor, "\"");
    while (!cursor_at_end(cursor) && cursor_peek(cursor) != '"') {
        (void)cursor_skip_word(cursor, "\\");
        if ((unsigned char)cursor_peek(cursor) >= 0x80)
            return RUA_FAULT_LOCAL_PART_NON_ASCII;
        local_part_add(content, cursor_take_byte(cursor));
    }
    cursor_expect(cursor, "\"");
    if (cursor->is_failed || content->len == 0)
        return RUA_FAULT_LOCAL_PART;
    return content->is_too_long ? RUA_FAULT_LOCAL_PART_LENGTH : RUA_FAULT_NONE;
}

/* content as a local part: plain if it can be, else quoted as little as possible (RFC 5321 section 4.1.2). */
static void write_local_part(const struct local_part *content, struct local_part *out)
{
    bool is_quoted = !is_dot_atom(content->text, content->len);

    if (is_quoted)
        local_part_add(out, '"');
    for (size_t i = 0; i < content->len; i++) {
        if (is_quoted && is_in(content->text[i], "\"\\"))
            local_part_add(out, '\\');
        local_part_add(out, content->text[i]);
    }
    if (is_quoted)
        local_part_add(out, '"');
}

static enum rua_fault read_dot_atom(struct cursor *cursor, struct local_part *out)
{
    struct span text = cursor_take_until(cursor, "@");

    if (text.len == 0)
        return RUA_FAULT_NO_ADDRESS;
    if (!is_dot_atom(text.at, text.len))
        return fault_of_local_part(text.at, text.len);
    for (size_t i = 0; i < text.len; i++)
        local_part_add(out, text.at[i]);
    return RUA_FAULT_NONE;
}

static enum rua_fault read_local_part(struct cursor *cursor, struct local_part *out)
{
    struct local_part content = {.len = 0};
    enum rua_fault fault;

    if (cursor_peek(cursor) == '"') {
        fault = read_quoted(cursor, &content);
        write_local_part(&content, out);
    } else {
        fault = read_dot_atom(cursor, out);
    }
    return fault == RUA_FAULT_NONE && out->is_too_long ? RUA_FAULT_LOCAL_PART_LENGTH : fault;
}

/*
 * Names that mean something only inside a network or a host (RFC 6761, 6762, 7686, 8375, and others in use):
 * our relay might deliver there what a stranger asked for.
 */
static bool is_local_domain(const char *domain)
{
    static const char *const SUFFIXES[] = {".localhost", ".localdomain", ".local",  ".internal",
                                           ".intranet",  ".lan",         ".home",   ".corp",
                                           ".onion",     ".home.arpa",   ".invalid"};
    size_t len = strlen(domain);

    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++) {
        size_t suffix_len = strlen(SUFFIXES[i]);

        if (len > suffix_len && strcmp(domain + len - suffix_len, SUFFIXES[i]) == 0)
            return true;
    }
    return strcmp(domain, "home.arpa") == 0;
}

static enum rua_fault read_mail_domain(const char *text, size_t len, struct arena *arena,
                                       const char **domain_out)
{
    enum status status;

    if (len == 0)
        return RUA_FAULT_NO_ADDRESS;
    if (text[0] == '[')
        return RUA_FAULT_ADDRESS_LITERAL;
    if (memchr(text, '@', len) != NULL)
        return RUA_FAULT_SEVERAL;
    if (memchr(text, '(', len) != NULL)
        return RUA_FAULT_COMMENT;
    status = domain_normalise(text, len, arena, domain_out, NULL);
    if (status != ST_OK)
        return status == ST_NOMEM ? RUA_FAULT_NOMEM : RUA_FAULT_DOMAIN;
    if (strchr(*domain_out, '.') == NULL)
        return RUA_FAULT_DOMAIN_SINGLE_LABEL;
    return is_local_domain(*domain_out) ? RUA_FAULT_DOMAIN_LOCAL : RUA_FAULT_NONE;
}

static enum rua_fault check_decoded(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7F)
            return RUA_FAULT_CONTROL;
    return utf8_is_valid(text, len) ? RUA_FAULT_NONE : RUA_FAULT_UTF8;
}

/* addr-spec, already percent-decoded: exactly one, bare. */
static enum rua_fault read_addr_spec(const char *text, size_t len, struct arena *arena, struct rua *rua)
{
    struct local_part local_part = {.len = 0};
    enum rua_fault fault = check_decoded(text, len);
    struct cursor cursor;

    cursor_init(&cursor, text, len);
    if (fault == RUA_FAULT_NONE)
        fault = read_local_part(&cursor, &local_part);
    if (fault != RUA_FAULT_NONE)
        return fault;
    if (!cursor_skip_word(&cursor, "@"))
        return RUA_FAULT_NO_ADDRESS;
    rua->local_part = arena_copy_text(arena, local_part.text, local_part.len);
    if (rua->local_part == NULL)
        return RUA_FAULT_NOMEM;
    return read_mail_domain(cursor.at, (size_t)(cursor.end - cursor.at), arena, &rua->domain);
}

/* "mailto:" address, its local part percent-encoded. */
static const char *write_mailto(const struct rua *rua, struct arena *arena)
{
    static const char HEX[] = "0123456789ABCDEF";
    char encoded[3 * RUA_LOCAL_PART_MAX + 1];
    size_t len = 0;

    for (const char *at = rua->local_part; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;

        if (is_in(*at, MAILTO_PLAIN)) {
            encoded[len++] = *at;
            continue;
        }
        encoded[len++] = '%';
        encoded[len++] = HEX[byte >> 4];
        encoded[len++] = HEX[byte & 0x0F];
    }
    encoded[len] = '\0';
    return arena_format(arena, "mailto:%s@%s", encoded, rua->domain);
}

/* rest is what follows "mailto:". */
static enum rua_fault read_mailto(struct span rest, struct arena *arena, struct rua *rua)
{
    struct cursor cursor;
    struct span address;
    enum rua_fault fault = check_bytes(rest);
    char *decoded;
    size_t len;

    if (fault == RUA_FAULT_NONE)
        fault = drop_fragment(&rest, &rua->has_dropped_fragment);
    if (fault != RUA_FAULT_NONE)
        return fault;
    cursor_init(&cursor, rest.at, rest.len);
    address = cursor_take_until(&cursor, "?"); /* hfields are never used: they could carry a Bcc */
    rua->has_dropped_fields = !cursor_at_end(&cursor);
    if (memchr(address.at, '/', address.len) != NULL)
        return RUA_FAULT_MAILTO_SLASH;
    decoded = percent_decode(address, arena, &len);
    if (decoded == NULL)
        return RUA_FAULT_NOMEM;
    fault = read_addr_spec(decoded, len, arena, rua);
    if (fault != RUA_FAULT_NONE)
        return fault;
    rua->address = arena_format(arena, "%s@%s", rua->local_part, rua->domain);
    rua->uri = write_mailto(rua, arena);
    if (rua->address == NULL || rua->uri == NULL)
        return RUA_FAULT_NOMEM;
    return strlen(rua->address) > RUA_ADDRESS_MAX ? RUA_FAULT_ADDRESS_LENGTH : RUA_FAULT_NONE;
}

/* ---- https ---- */

static enum rua_fault set_address_host(const struct address *address, struct arena *arena, struct rua *rua)
{
    char text[ADDRESS_TEXT_SIZE];

    address_format(address, text);
    rua->is_address = true;
    rua->host_address = *address;
    rua->host = arena_copy_text(arena, text, strlen(text));
    return rua->host != NULL ? RUA_FAULT_NONE : RUA_FAULT_NOMEM;
}

/* "[" IPv6 "]": no zone, no IPv4 inside brackets. */
static enum rua_fault read_ip_literal(struct cursor *cursor, struct arena *arena, struct rua *rua)
{
    struct address address;
    struct span text;

    cursor_expect(cursor, "[");
    text = cursor_take_until(cursor, "]");
    cursor_expect(cursor, "]");
    if (cursor->is_failed || memchr(text.at, ':', text.len) == NULL ||
        !address_parse(text.at, text.len, &address))
        return RUA_FAULT_HOST;
    return set_address_host(&address, arena, rua);
}

/*
 * A name that ends in a number ("127.1", "0x7f000001") is what some resolvers take for an IPv4 address: it
 * must never reach one (R61).
 */
static bool is_number_like(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *label = dot != NULL ? dot + 1 : name;

    if (strncmp(label, "0x", 2) == 0)
        return strspn(label + 2, "0123456789abcdef") == strlen(label + 2);
    return strspn(label, DIGIT) == strlen(label);
}

static enum rua_fault read_reg_name(struct cursor *cursor, struct arena *arena, struct rua *rua)
{
    struct span text = cursor_take_until(cursor, ":");
    enum rua_fault fault = check_bytes(text);
    struct address address;
    enum status status;
    char *decoded;
    size_t len;

    if (text.len == 0)
        return RUA_FAULT_NO_AUTHORITY;
    if (fault != RUA_FAULT_NONE)
        return fault;
    decoded = percent_decode(text, arena, &len);
    if (decoded == NULL)
        return RUA_FAULT_NOMEM;
    if (memchr(decoded, ':', len) == NULL &&
        address_parse(decoded, len, &address)) /* IPv6: only in brackets */
        return set_address_host(&address, arena, rua);
    status = domain_normalise(decoded, len, arena, &rua->host, NULL);
    if (status != ST_OK)
        return status == ST_NOMEM ? RUA_FAULT_NOMEM : RUA_FAULT_HOST;
    return is_number_like(rua->host) ? RUA_FAULT_HOST : RUA_FAULT_NONE;
}

/* Nothing, ":", or ":" 1*DIGIT up to the end. */
static enum rua_fault read_port(struct cursor *cursor, uint16_t *port_out)
{
    uint64_t port = RUA_HTTPS_PORT;

    if (cursor_skip_word(cursor, ":") && !cursor_at_end(cursor))
        port = cursor_take_number(cursor, UINT16_MAX);
    if (cursor->is_failed || !cursor_at_end(cursor) || port == 0)
        return RUA_FAULT_PORT;
    *port_out = (uint16_t)port;
    return RUA_FAULT_NONE;
}

static enum rua_fault read_authority(struct span authority, struct arena *arena, struct rua *rua)
{
    struct cursor cursor;
    enum rua_fault fault;

    if (memchr(authority.at, '@', authority.len) != NULL)
        return RUA_FAULT_USERINFO;
    cursor_init(&cursor, authority.at, authority.len);
    if (cursor_peek(&cursor) == '[')
        fault = read_ip_literal(&cursor, arena, rua);
    else
        fault = read_reg_name(&cursor, arena, rua);
    return fault != RUA_FAULT_NONE ? fault : read_port(&cursor, &rua->port);
}

static enum rua_fault write_https(struct span target, struct arena *arena, struct rua *rua)
{
    bool has_colon = strchr(rua->host, ':') != NULL;
    char port[sizeof ":65535"] = "";

    if (rua->port != RUA_HTTPS_PORT)
        (void)snprintf(port, sizeof port, ":%u", (unsigned)rua->port);
    rua->target = arena_format(arena, "%s%.*s", target.len == 0 || target.at[0] != '/' ? "/" : "",
                               (int)target.len, target.at);
    if (rua->target == NULL)
        return RUA_FAULT_NOMEM;
    rua->uri = arena_format(arena, "https://%s%s%s%s%s", has_colon ? "[" : "", rua->host,
                            has_colon ? "]" : "", port, rua->target);
    return rua->uri != NULL ? RUA_FAULT_NONE : RUA_FAULT_NOMEM;
}

/* rest is what follows "https:". */
static enum rua_fault read_https(struct span rest, struct arena *arena, struct rua *rua)
{
    struct cursor cursor;
    struct span authority;
    struct span target;
    enum rua_fault fault;

    cursor_init(&cursor, rest.at, rest.len);
    if (!cursor_skip_word(&cursor, "//"))
        return RUA_FAULT_NO_AUTHORITY;
    authority = cursor_take_until(&cursor, "/?#");
    target = (struct span){.at = cursor.at, .len = (size_t)(cursor.end - cursor.at)};
    fault = check_bytes(target);
    if (fault == RUA_FAULT_NONE)
        fault = drop_fragment(&target, &rua->has_dropped_fragment);
    if (fault == RUA_FAULT_NONE)
        fault = read_authority(authority, arena, rua);
    return fault == RUA_FAULT_NONE ? write_https(target, arena, rua) : fault;
}

/* ---- any URI ---- */

static bool is_scheme(struct span text, const char *scheme)
{
    return text.len == strlen(scheme) && strncasecmp(text.at, scheme, text.len) == 0;
}

/* No scheme of ours: name the likeliest typo. */
static enum rua_fault fault_of_scheme(struct span scheme, const char *text, size_t len)
{
    if (len == 0)
        return RUA_FAULT_EMPTY;
    if (is_in(text[0], " \t"))
        return RUA_FAULT_LEADING_BLANK;
    if (is_scheme(scheme, "http"))
        return RUA_FAULT_HTTP;
    if (memchr(text, '@', len) != NULL && memchr(text, ':', len) == NULL)
        return RUA_FAULT_NO_MAILTO;
    if (scheme.len == 0 || scheme.len == len || text[scheme.len] != ':')
        return RUA_FAULT_NO_SCHEME;
    return RUA_FAULT_OTHER_SCHEME;
}

enum rua_fault rua_read(const char *text, size_t len, struct arena *arena, struct rua *rua_out)
{
    struct rua rua = {0};
    struct cursor cursor;
    enum rua_fault fault;
    struct span scheme;
    struct span rest;

    if (len > RUA_URI_MAX)
        return RUA_FAULT_TOO_LONG;
    cursor_init(&cursor, text, len);
    scheme = cursor_take_while(&cursor, SCHEME_BYTES);
    if (!cursor_skip_word(&cursor, ":") || !(is_scheme(scheme, "mailto") || is_scheme(scheme, "https")))
        return fault_of_scheme(scheme, text, len);
    rest = (struct span){.at = cursor.at, .len = (size_t)(cursor.end - cursor.at)};
    rua.kind = is_scheme(scheme, "mailto") ? RUA_MAILTO : RUA_HTTPS;
    fault = rua.kind == RUA_MAILTO ? read_mailto(rest, arena, &rua) : read_https(rest, arena, &rua);
    if (fault == RUA_FAULT_NONE)
        *rua_out = rua;
    return fault;
}

enum status rua_parse(const char *text, size_t len, struct arena *arena, struct rua *rua_out, struct err *err)
{
    enum rua_fault fault = rua_read(text, len, arena, rua_out);

    if (fault == RUA_FAULT_NONE)
        return ST_OK;
    return err_set(err, fault == RUA_FAULT_NOMEM ? ST_NOMEM : ST_SYNTAX, "report destination: %s",
                   rua_fault_words(fault));
}
