/* SPDX-License-Identifier: MIT */
/*
 * Each kind of line has one function over a cursor: fixed words are expected, values are taken up to a fixed byte,
 * and a line that differs is refused as a whole.
 */
#include "postfix_grammar.h"

#include "text.h"

static const struct span NOTHING = {"", 0};

/* HOST "[" IP "]" [ ":" PORT ] */
bool postfix_take_peer(struct cursor *cursor, struct span *host_out, struct span *ip_out)
{
    *host_out = take_until(cursor, '[');
    cursor_expect(cursor, "[");
    *ip_out = take_until(cursor, ']');
    cursor_expect(cursor, "]");
    if (cursor_skip_word(cursor, ":"))
        (void)cursor_take_while(cursor, "0123456789");
    return !cursor->is_failed && memchr(host_out->at, ' ', host_out->len) == NULL;
}

/*
 * A queue id and ": ".  Short ones are upper-case hexadecimal; long ones have at least ten of 52 letters and
 * digits, among them no vowel ("warning" and "TLSRPT" are neither).  len 0 if there is none.
 */
struct span postfix_take_queue_id(struct cursor *cursor)
{
    const char *begin = cursor->at, *at = begin;
    bool is_short = true, is_long = true;
    size_t len;

    for (; at < cursor->end && *at != ':'; at++) {
        bool is_digit = *at >= '0' && *at <= '9';
        bool is_letter = (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z');

        is_short = is_short && (is_digit || (*at >= 'A' && *at <= 'F'));
        is_long = is_long && (is_digit || (is_letter && strchr("AEIOUaeiou", *at) == NULL));
        if (!is_short && !is_long)
            return (struct span){begin, 0};
    }
    len = (size_t)(at - begin);
    if (len < (is_short ? 6 : 10) || cursor->end - at < 2 || at[1] != ' ')
        return (struct span){begin, 0};
    cursor->at = at + 2;
    return (struct span){begin, len};
}

/* "<" ADDRESS ">": a local part in double quotes may hold anything. */
struct span postfix_take_angle(struct cursor *cursor)
{
    struct span address;
    bool is_quoted = false;

    cursor_expect(cursor, "<");
    address = rest_of(cursor);
    for (size_t i = 0; i < address.len; i++) {
        if (address.at[i] == '\\' && is_quoted)
            i++;
        else if (address.at[i] == '"')
            is_quoted = !is_quoted;
        else if (address.at[i] == '>' && !is_quoted) {
            cursor->at += i + 1;
            address.len = i;
            return address;
        }
    }
    cursor_fail(cursor);
    return NOTHING;
}

/* ", NAME=VALUE" up to ", status=WORD (TEXT)". */
static bool take_attribute(struct cursor *cursor, struct postfix_recipient *out)
{
    struct span name, value;

    cursor_expect(cursor, ", ");
    name = take_until(cursor, '=');
    cursor_expect(cursor, "=");
    if (cursor_peek(cursor) == '<') {
        (void)postfix_take_angle(cursor); /* orig_to */
        return !cursor->is_failed;
    }
    value = take_until(cursor, span_is(name, "status") ? ' ' : ',');
    if (span_is(name, "relay")) {
        struct cursor relay;

        cursor_init(&relay, value.at, value.len);
        if (!postfix_take_peer(&relay, &out->host, &out->ip))
            out->host.len = out->ip.len = 0;
    } else if (span_is(name, "delays")) {
        out->delays = value;
    } else if (span_is(name, "tls")) {
        out->tls = value;
    } else if (span_is(name, "status")) {
        cursor_expect(cursor, " (");
        out->text = rest_of(cursor);
        return false;
    }
    return !cursor->is_failed;
}

/* What follows "QUEUEID: ". */
bool postfix_parse_recipient(struct span rest, struct postfix_recipient *out)
{
    struct cursor cursor;

    cursor_init(&cursor, rest.at, rest.len);
    cursor_expect(&cursor, "to=");
    out->domain = address_domain(postfix_take_angle(&cursor));
    while (!cursor.is_failed && take_attribute(&cursor, out)) {
    }
    if (out->text.len > 0 && out->text.at[out->text.len - 1] == ')')
        out->text.len--;
    return !cursor.is_failed && out->text.at != NULL;
}

/* ---- lines without a queue id ---- */

static const char *const CLASSES[] = {"Trusted", "Untrusted", "Verified", "Anonymous"};

/* The text behind "CLASS TLS connection established to "; false: another line. */
bool postfix_parse_established(struct span message, struct span *rest_out, bool *is_verified_out)
{
    static const char WORDS[] = " TLS connection established to ";

    for (size_t i = 0; i < ARRAY_COUNT(CLASSES); i++) {
        if (!begins(message, CLASSES[i]))
            continue;
        *rest_out = behind(message, strlen(CLASSES[i]));
        if (!begins(*rest_out, WORDS))
            return false;
        *rest_out = behind(*rest_out, sizeof WORDS - 1);
        *is_verified_out = strcmp(CLASSES[i], "Verified") == 0;
        return true;
    }
    return false;
}

#define WORDS(text) (text), sizeof(text) - 1

static const struct {
    const char *words;
    size_t len;
    enum postfix_kind kind;
} KINDS[] = {
    {WORDS("TLSRPT: status="), POSTFIX_TLSRPT},
    {WORDS("SSL_connect error to "), POSTFIX_HANDSHAKE_ERROR},
    {WORDS("server certificate verification failed for "), POSTFIX_CERTIFICATE},
    {WORDS("certificate verification failed for "), POSTFIX_CERTIFICATE},
    {WORDS("CA certificate verification failed for "), POSTFIX_CERTIFICATE},
    {WORDS("warning: TLS library problem: "), POSTFIX_LIBRARY_WORDS},
    {WORDS("warning: TLS policy lookup for "), POSTFIX_POLICY_LOOKUP},
};

enum postfix_kind postfix_kind_of(struct span message, struct span *rest_out)
{
    for (size_t i = 0; i < ARRAY_COUNT(KINDS); i++)
        if (message.len >= KINDS[i].len && memcmp(message.at, KINDS[i].words, KINDS[i].len) == 0) {
            *rest_out = behind(message, KINDS[i].len);
            return KINDS[i].kind;
        }
    return POSTFIX_OTHER;
}

/* ---- Postfix's own TLSRPT lines ---- */

/* "failure_type=under_scored[, failure_reason=TEXT]" */
static bool parse_tlsrpt_failure(struct cursor *cursor, struct tls_reason *out)
{
    char name[64];
    struct span type;

    cursor_expect(cursor, ", failure_type=");
    type = take_until(cursor, ',');
    if (cursor->is_failed || type.len >= sizeof name)
        return false;
    for (size_t i = 0; i < type.len; i++)
        name[i] = type.at[i] == '_' ? '-' : type.at[i];
    name[type.len] = '\0';
    if (cursor_skip_word(cursor, ", failure_reason="))
        out->reason = rest_of(cursor);
    if (!result_type_from_name(name, &out->result_type)) {
        out->result_type = RESULT_VALIDATION_FAILURE;
        out->reason = out->reason.len > 0 ? out->reason : type;
    }
    return true;
}

bool postfix_parse_tlsrpt(struct span rest, struct postfix_tlsrpt *out)
{
    struct cursor cursor;
    struct span word;

    memset(out, 0, sizeof *out);
    out->reason.reason = NOTHING;
    cursor_init(&cursor, rest.at, rest.len);
    word = take_until(&cursor, ',');
    cursor_expect(&cursor, ", domain=");
    out->domain = take_until(&cursor, ',');
    cursor_expect(&cursor, ", receiving_mx=");
    if (!postfix_take_peer(&cursor, &out->host, &out->ip))
        return false;
    out->is_failed = span_is(word, "failure");
    return out->is_failed ? parse_tlsrpt_failure(&cursor, &out->reason) : span_is(word, "success");
}

/* ---- policy plug-ins ---- */

/* Over the first `word` in text and what stands before it; false if it is not there. */
static bool skip_past(struct span *text, const char *word)
{
    const char *found = memmem(text->at, text->len, word, strlen(word));

    if (found == NULL)
        return false;
    *text = behind(*text, (size_t)(found - text->at) + strlen(word));
    return true;
}

static struct span word_of(struct span text)
{
    size_t len = 0;

    while (len < text.len && strchr(" \"\\,(", text.at[len]) == NULL)
        len++;
    return (struct span){text.at, len};
}

/*
 * postfix-tlspol answers each look-up of Postfix with one of
 *   Evaluated policy for "DOMAIN": POLICY ..          No policy found for "DOMAIN" ..
 *   .. msg="Evaluated policy" .. domain=DOMAIN policy=POLICY ..      .. msg="No policy found" ..
 * domain=DOMAIN ..
 *   .. "msg":"Evaluated policy",.. "domain":"DOMAIN","policy":"POLICY" ..
 */
bool postfix_parse_plugin(struct span text, struct span *domain_out, struct span *policy_out)
{
    bool is_found = skip_past(&text, "Evaluated policy");
    bool is_named;

    if (!is_found && !skip_past(&text, "No policy found"))
        return false;
    is_named = begins(text, " for \"");
    if (is_named)
        text = behind(text, strlen(" for \""));
    else if (!skip_past(&text, " domain=") && !skip_past(&text, "\"domain\":\""))
        return false;
    *domain_out = word_of(text);
    *policy_out = NOTHING;
    if (!is_found)
        return true;
    text = behind(text, domain_out->len);
    if (is_named ? !skip_past(&text, "\": ")
                 : !skip_past(&text, " policy=") && !skip_past(&text, "\"policy\":\""))
        return false;
    *policy_out = word_of(text);
    return true;
}
