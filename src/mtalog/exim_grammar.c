/* SPDX-License-Identifier: MIT */
/*
 * Fields are found by their names at the start of a blank-separated token, and only before the first field that a
 * server could have written; a token in double quotes may hold blanks.
 */
#include "exim_grammar.h"

#include "text.h"

/* ---- small pieces of the grammar ---- */

/* Length of text up to the first blank that is not in double quotes. */
static size_t quoted_token_length(struct span text)
{
    bool is_quoted = false;
    size_t at = 0;

    for (; at < text.len && (is_quoted || text.at[at] != ' '); at++)
        if (text.at[at] == '\\' && is_quoted && at + 1 < text.len)
            at++;
        else if (text.at[at] == '"')
            is_quoted = !is_quoted;
    return at;
}

/* Up to the next blank that is not in double quotes, and over it. */
struct span exim_take_token(struct cursor *cursor)
{
    struct span token = rest_of(cursor);
    const char *blank = memchr(token.at, ' ', token.len);
    size_t len = blank != NULL ? (size_t)(blank - token.at) : token.len;

    if (memchr(token.at, '"', len) != NULL)
        len = quoted_token_length(token);
    cursor->at += len < token.len ? len + 1 : len;
    token.len = len;
    return token;
}

static bool is_alphanumeric(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'A' && text[i] <= 'Z') ||
              (text[i] >= 'a' && text[i] <= 'z')))
            return false;
    return true;
}

/* 6-6-2 characters up to Exim 4.96, 6-11-4 since 4.97; len 0 if there is none. */
struct span exim_take_message_id(struct cursor *cursor)
{
    static const size_t MIDDLES[] = {6, 11}, ENDS[] = {2, 4};
    size_t left = (size_t)(cursor->end - cursor->at);

    for (size_t i = 0; i < ARRAY_COUNT(MIDDLES); i++) {
        size_t dash = 7 + MIDDLES[i];
        size_t len = dash + 1 + ENDS[i];
        const char *at = cursor->at;

        if (left > len && at[6] == '-' && at[dash] == '-' && at[len] == ' ' && is_alphanumeric(at, 6) &&
            is_alphanumeric(at + 7, MIDDLES[i]) && is_alphanumeric(at + dash + 1, ENDS[i])) {
            cursor->at += len + 1;
            return (struct span){at, len};
        }
    }
    return (struct span){cursor->at, 0};
}

/* "[IP]": an address in brackets, which the cursor steps over. */
struct span exim_take_bracketed(struct cursor *cursor)
{
    struct span ip;

    cursor_expect(cursor, "[");
    ip = cursor_take_until(cursor, "]");
    cursor_expect(cursor, "]");
    return ip;
}

/* ---- a recipient's line ---- */

/* "[IP][:PORT][*][:]"; the final colon (text follows) is left to the caller. */
static void parse_peer(struct span token, struct exim_delivery *out)
{
    struct cursor cursor;

    cursor_init(&cursor, token.at, token.len);
    out->ip = exim_take_bracketed(&cursor);
    if (cursor_skip_word(&cursor, ":"))
        (void)cursor_take_while(&cursor, "0123456789");
    out->is_continued = cursor_skip_word(&cursor, "*");
    if (cursor.is_failed)
        out->ip.len = 0;
}

/* "H=HOST", then perhaps "DS", then "[IP]..": returns the token with the address. */
static struct span parse_host(struct span token, struct cursor *cursor, struct exim_delivery *out)
{
    struct span next = exim_take_token(cursor);

    out->host = behind(token, 2);
    if (span_is(next, "DS"))
        next = exim_take_token(cursor);
    parse_peer(next, out);
    if (out->ip.len == 0)
        out->host.len = 0;
    return next;
}

static struct span without_colon(struct span token)
{
    if (token.len > 0 && token.at[token.len - 1] == ':')
        token.len--;
    return token;
}

/*
 * Fields up to ": TEXT" or to the first one that a server could have written (DN=, C=).  Names of fields are
 * looked for at the begin of a token only, and a token does not end inside quotes.
 */
static void parse_fields(struct cursor *cursor, struct exim_delivery *out)
{
    while (!cursor_at_end(cursor)) {
        struct span token = exim_take_token(cursor);

        if (begins(token, "DN=") || begins(token, "C="))
            return;
        if (begins(token, "H="))
            token = parse_host(token, cursor, out);
        else if (begins(token, "I="))
            out->interface = without_colon(behind(token, 2));
        else if (begins(token, "X="))
            out->has_tls = true;
        else if (begins(token, "CV="))
            out->is_dane = span_is(without_colon(behind(token, 3)), "dane");
        if (token.len > 0 && token.at[token.len - 1] == ':') {
            out->text = rest_of(cursor);
            return;
        }
    }
}

/* KIND " " ADDRESS .. */
void exim_parse_delivery(struct span rest, struct exim_delivery *out)
{
    struct cursor cursor;
    struct span address;

    *out = (struct exim_delivery){.text = {rest.at, 0}};
    out->is_first = begins(rest, "=>") || begins(rest, ">>");
    out->has_failed = begins(rest, "**") || begins(rest, "==");
    cursor_init(&cursor, rest.at + 3, rest.len - 3);
    address = exim_take_token(&cursor);
    out->domain = address_domain(without_colon(address));
    if (address.len > 0 && address.at[address.len - 1] == ':')
        out->text = rest_of(&cursor);
    else
        parse_fields(&cursor, out);
}
