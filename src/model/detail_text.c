/* SPDX-License-Identifier: MIT */
/*
 * Each kind of text has one function that turns it into its only form or says that nothing usable is in it, so
 * that equal policies and details are equal byte for byte and are counted together.
 */
#include "model/detail_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/address.h"
#include "model/domain.h"
#include "model/session_result.h"

#define URI_CHARACTERS    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%"
#define SCHEME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-."

static const char REPLACEMENT[] = "\xEF\xBF\xBD";

enum control_rule {
    CONTROL_DROP,     /* leave it out */
    CONTROL_BLANK,    /* one blank for each */
    CONTROL_COLLAPSE, /* one blank for each run of blanks and controls, none at either end */
};

/* C0, DEL and C1 (RFC 20, Unicode category Cc). */
static bool is_control(const char *at, size_t step)
{
    unsigned char first = (unsigned char)at[0];

    if (step == 1)
        return first < 0x20 || first == 0x7F;
    return step == 2 && first == 0xC2 && (unsigned char)at[1] < 0xA0;
}

/* U+FDD0..U+FDEF and the last two code points of each plane: I-JSON forbids them (RFC 7493 section 2.1). */
static bool is_noncharacter(const char *at, size_t step)
{
    const unsigned char *byte = (const unsigned char *)at;

    if (step == 3 && byte[0] == 0xEF && byte[1] == 0xB7)
        return byte[2] >= 0x90 && byte[2] <= 0xAF;
    if (step == 3)
        return byte[0] == 0xEF && byte[1] == 0xBF && byte[2] >= 0xBE;
    return step == 4 && (byte[1] & 0x0F) == 0x0F && byte[2] == 0xBF && byte[3] >= 0xBE;
}

/* What stands in the clean text for the character at[0..step); its length goes to *len_out. */
static const char *clean_character(const char *at, size_t step, enum control_rule rule, size_t *len_out)
{
    if (step == 0 || is_noncharacter(at, step)) {
        *len_out = sizeof REPLACEMENT - 1;
        return REPLACEMENT;
    }
    if (is_control(at, step)) {
        *len_out = rule == CONTROL_DROP ? 0 : 1;
        return " ";
    }
    *len_out = step;
    return at;
}

/* Copy text by the rule into at most max_bytes, cut between characters. */
static enum status clean_text(struct span text, enum control_rule rule, size_t max_bytes, struct arena *arena,
                              const char **clean_out)
{
    size_t capacity = text.len < max_bytes / 3 ? text.len * 3 : max_bytes;
    char *clean = arena_alloc(arena, capacity + 1);
    size_t len = 0;

    if (clean == NULL)
        return ST_NOMEM;
    for (size_t at = 0; at < text.len;) {
        size_t step = utf8_sequence_len(text.at + at, text.len - at);
        size_t add;
        const char *from = clean_character(text.at + at, step, rule, &add);
        bool is_blank = add == 1 && *from == ' ';

        at += step > 0 ? step : 1;
        if (rule == CONTROL_COLLAPSE && is_blank && (len == 0 || clean[len - 1] == ' '))
            continue;
        if (len + add > capacity)
            break;
        memcpy(clean + len, from, add);
        len += add;
    }
    while (rule == CONTROL_COLLAPSE && len > 0 && clean[len - 1] == ' ')
        len--;
    clean[len] = '\0';
    if (len == 0)
        return ST_NOT_FOUND;
    *clean_out = clean;
    return ST_OK;
}

/* Step over "250-" or "250 " if the text begins with a reply code. */
static void skip_reply_code(struct cursor *cursor)
{
    struct cursor ahead = *cursor;

    if (cursor_take_while(&ahead, "0123456789").len != 3)
        return;
    if (cursor_skip_word(&ahead, "-") || cursor_skip_word(&ahead, " "))
        *cursor = ahead;
    (void)cursor_skip_any(cursor, " ");
}

enum status detail_text_helo_host(struct span text, struct arena *arena, const char **host_out)
{
    struct cursor cursor;
    struct span word;
    enum status status;

    cursor_init(&cursor, text.at, text.len);
    skip_reply_code(&cursor);
    word = cursor_take_until(&cursor, " \t\r\n");
    status = domain_normalise(word.at, word.len, arena, host_out, NULL);
    return status == ST_OK || status == ST_NOMEM ? status : ST_NOT_FOUND;
}

enum status detail_text_reason(struct span text, struct arena *arena, const char **reason_out)
{
    return clean_text(text, CONTROL_COLLAPSE, DETAIL_REASON_MAX, arena, reason_out);
}

/* Every '%' is followed by two hexadecimal digits. */
static bool has_good_escapes(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        struct cursor cursor;

        if (text.at[i] != '%')
            continue;
        if (text.len - i < 3)
            return false;
        cursor_init(&cursor, text.at + i + 1, 2);
        if (cursor_take_while(&cursor, "0123456789ABCDEFabcdef").len != 2)
            return false;
    }
    return true;
}

enum status detail_text_uri(struct span text, struct arena *arena, const char **uri_out)
{
    struct cursor cursor;
    struct span scheme;
    char *copy;

    if (text.len > DETAIL_URI_MAX)
        return ST_NOT_FOUND;
    cursor_init(&cursor, text.at, text.len);
    scheme = cursor_take_while(&cursor, SCHEME_CHARACTERS);
    cursor_expect(&cursor, ":");
    if (scheme.len == 0 || strchr("0123456789+-.", scheme.at[0]) != NULL)
        cursor_fail(&cursor);
    if (cursor_take_while(&cursor, URI_CHARACTERS).len == 0 || !cursor_at_end(&cursor) || cursor.is_failed ||
        !has_good_escapes(text))
        return ST_NOT_FOUND;
    copy = arena_copy_text(arena, text.at, text.len);
    if (copy == NULL)
        return ST_NOMEM;
    *uri_out = copy;
    return ST_OK;
}

enum status detail_text_address(struct span text, struct arena *arena, const char **address_out)
{
    struct address address;
    char canonical[ADDRESS_TEXT_SIZE];
    char *copy;

    if (!address_parse(text.at, text.len, &address))
        return ST_NOT_FOUND;
    address_format(&address, canonical);
    copy = arena_copy_text(arena, canonical, strlen(canonical));
    if (copy == NULL)
        return ST_NOMEM;
    *address_out = copy;
    return ST_OK;
}

/* The digit in upper case, or '\0' if it is none. */
static char hex_digit(char byte)
{
    if ((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'F'))
        return byte;
    return byte >= 'a' && byte <= 'f' ? (char)(byte - 'a' + 'A') : '\0';
}

/* One decimal field and the blanks behind it. */
static char take_tlsa_field(struct cursor *cursor, uint64_t max)
{
    uint64_t value = cursor_take_number(cursor, max);

    if (cursor_skip_any(cursor, " \t") == 0)
        cursor_fail(cursor);
    return (char)('0' + value);
}

/* Copy the digits of hex in upper case to out, at most capacity; false if it is not whole bytes. */
static bool copy_hex(struct span hex, char *out, size_t capacity)
{
    size_t digits = 0;

    for (size_t i = 0; i < hex.len; i++) {
        char digit = hex_digit(hex.at[i]);

        if (digit == '\0' && hex.at[i] != ' ' && hex.at[i] != '\t')
            return false;
        if (digit != '\0' && digits++ < capacity)
            *out++ = digit;
    }
    *out = '\0';
    return digits > 0 && digits % 2 == 0;
}

enum status detail_text_tlsa(struct span text, struct arena *arena, const char **tlsa_out)
{
    size_t capacity = text.len < POLICY_LINE_MAX - 6 ? text.len : POLICY_LINE_MAX - 6;
    char usage, selector, matching_type;
    struct cursor cursor;
    char *out;

    cursor_init(&cursor, text.at, text.len);
    (void)cursor_skip_any(&cursor, " \t");
    usage = take_tlsa_field(&cursor, 3);
    selector = take_tlsa_field(&cursor, 1);
    matching_type = take_tlsa_field(&cursor, 2);
    if (cursor.is_failed)
        return ST_NOT_FOUND;
    out = arena_alloc(arena, capacity + sizeof "3 1 1 ");
    if (out == NULL)
        return ST_NOMEM;
    memcpy(out, (char[]){usage, ' ', selector, ' ', matching_type, ' '}, 6);
    if (!copy_hex((struct span){cursor.at, (size_t)(cursor.end - cursor.at)}, out + 6, capacity))
        return ST_NOT_FOUND;
    *tlsa_out = out;
    return ST_OK;
}

enum status detail_text_policy_line(struct span text, struct arena *arena, const char **line_out)
{
    return clean_text(text, CONTROL_DROP, POLICY_LINE_MAX, arena, line_out);
}

enum status detail_text_record(struct span text, struct arena *arena, const char **record_out)
{
    if (text.len > RESULT_RECORD_MAX)
        return ST_NOT_FOUND;
    return clean_text(text, CONTROL_BLANK, RESULT_RECORD_MAX, arena, record_out);
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void detail_text_sort_unique(struct text_list *list)
{
    size_t kept = 0;

    if (list->count == 0)
        return;
    qsort(list->items, list->count, sizeof list->items[0], compare_items);
    for (size_t i = 1; i < list->count; i++)
        if (strcmp(list->items[kept], list->items[i]) != 0)
            list->items[++kept] = list->items[i];
    list->count = kept + 1;
}
