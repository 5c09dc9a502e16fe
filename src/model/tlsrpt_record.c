/* SPDX-License-Identifier: MIT */
/*
 * record = "v=TLSRPTv1" 1*( delim field ) [ delim ]             compared with case           (R5)
 * delim  = *WSP ";" *WSP
 * field  = "rua=" uri *( *WSP "," *WSP uri ) / name "=" value   any order, rua may repeat    (R6, R8)
 * name   = ALNUM 0*31( ALNUM / "_" / "." / "-" )
 * value  = 1*( %x21-3A / %x3C / %x3E-7E )
 *
 * Once its version makes an RR a TLSRPT record, nothing behind it makes it none: a part that does not follow
 * the grammar is skipped and said, and the rest counts (R10).
 */
#include "model/tlsrpt_record.h"

#include <string.h>
#include <strings.h>

#define VERSION        "v=TLSRPTv1"
#define VERSION_LEN    (sizeof VERSION - 1)
#define WSP            " \t"
#define NAME_MAX_BYTES 32
#define SHOWN_BYTES    200 /* of a part, in words for people */

static const char *const RESULT_NAMES[TLSRPT_RECORD_RESULT_COUNT] = {
    [TLSRPT_OK] = "OK",         [TLSRPT_NO_RECORD] = "NO_RECORD",         [TLSRPT_MULTIPLE] = "MULTIPLE",
    [TLSRPT_NO_RUA] = "NO_RUA", [TLSRPT_NO_USABLE_RUA] = "NO_USABLE_RUA",
};

static const struct {
    bool is_skip;
    const char *words; /* behind the part itself */
} FINDINGS[FINDING_KIND_COUNT] = {
    [FINDING_BAD_URI] = {true, ""}, /* rua_fault_words */
    [FINDING_OVER_COUNT] = {true, "more than 10 destinations"},
    [FINDING_BAD_FIELD] = {true, "it is not of the form name=value"},
    [FINDING_BAD_RUA_FIELD] = {true, "\"rua=\" has no blank or colon in it"},
    [FINDING_BARE_URI] = {true, "\"rua=\" is missing in front of it"},
    [FINDING_EMPTY_FIELD] = {true, "nothing stands between two ';'"},
    [FINDING_OVER_LENGTH] = {true, "this and all behind it is beyond 4096 bytes"},
    [FINDING_DUPLICATE_URI] = {false, "the same destination a second time; it counts once"},
    [FINDING_DROPPED_FIELDS] = {false, "header fields behind '?' are not used, only the address is"},
    [FINDING_DROPPED_FRAGMENT] = {false, "what stands behind '#' is not used"},
    [FINDING_UNKNOWN_FIELD] = {false, "RFC 8460 knows no such field; it is ignored"},
    [FINDING_RUA_CASE] = {false, "it is ignored; \"rua\" must be written in lower case"},
    [FINDING_BLANK_IN_VERSION] = {false, "some senders of reports refuse a blank before this ';'"},
    [FINDING_TRAILING_BLANK] = {false, "a blank stands behind it, at the record's end"},
    [FINDING_OTHER_RR] = {false, "another TXT record at this name; it is ignored"},
};

const char *tlsrpt_record_result_name(enum tlsrpt_record_result result)
{
    return (size_t)result < TLSRPT_RECORD_RESULT_COUNT ? RESULT_NAMES[result] : "unknown";
}

bool tlsrpt_finding_is_skip(const struct tlsrpt_finding *finding)
{
    return FINDINGS[finding->kind].is_skip;
}

static void add_quoted(struct strbuf *out, struct span text)
{
    size_t shown = text.len < SHOWN_BYTES ? text.len : SHOWN_BYTES;

    strbuf_add_char(out, '"');
    strbuf_add_printable(out, text.at, shown);
    strbuf_add_text(out, shown < text.len ? "...\"" : "\"");
}

void tlsrpt_finding_describe(const struct tlsrpt_finding *finding, struct strbuf *out)
{
    const char *words =
        finding->kind == FINDING_BAD_URI ? rua_fault_words(finding->fault) : FINDINGS[finding->kind].words;

    add_quoted(out, finding->part);
    if (finding->kind != FINDING_OTHER_RR)
        strbuf_addf(out, " (byte %zu)", finding->offset);
    strbuf_addf(out, ": %s.", words);
}

/* ---- reading one record ---- */

/* What reading carries along. */
struct record_reading {
    struct tlsrpt_record *record;
    struct arena *arena;
    const struct tlsrpt_finding **last_link; /* where the next finding is hung */
    bool has_rua_field;
    bool is_out_of_memory;
};

static void add_finding(struct record_reading *reading, enum tlsrpt_finding_kind kind, enum rua_fault fault,
                        struct span part)
{
    struct tlsrpt_finding *finding = arena_alloc(reading->arena, sizeof *finding);
    const char *begin = reading->record->text.at;

    if (finding == NULL) {
        reading->is_out_of_memory = true;
        return;
    }
    finding->kind = kind;
    finding->fault = fault;
    finding->part = part;
    finding->offset = kind == FINDING_OTHER_RR ? 0 : (size_t)(part.at - begin);
    *reading->last_link = finding;
    reading->last_link = &finding->next;
    if (tlsrpt_finding_is_skip(finding))
        reading->record->skipped_count++;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static struct span trim_left(struct span text)
{
    while (text.len > 0 && is_blank(text.at[0])) {
        text.at++;
        text.len--;
    }
    return text;
}

static struct span trim_right(struct span text)
{
    while (text.len > 0 && is_blank(text.at[text.len - 1]))
        text.len--;
    return text;
}

static bool has_rua(const struct tlsrpt_record *record, const char *uri)
{
    for (size_t i = 0; i < record->rua_count; i++)
        if (strcmp(record->ruas[i].uri, uri) == 0)
            return true;
    return false;
}

/* A usable destination: keep it unless it is there already or there are enough. */
static void add_rua(struct record_reading *reading, const struct rua *rua, struct span part)
{
    struct tlsrpt_record *record = reading->record;

    if (rua->has_dropped_fields)
        add_finding(reading, FINDING_DROPPED_FIELDS, RUA_FAULT_NONE, part);
    if (rua->has_dropped_fragment)
        add_finding(reading, FINDING_DROPPED_FRAGMENT, RUA_FAULT_NONE, part);
    if (has_rua(record, rua->uri))
        add_finding(reading, FINDING_DUPLICATE_URI, RUA_FAULT_NONE, part);
    else if (record->rua_count == TLSRPT_RUA_MAX)
        add_finding(reading, FINDING_OVER_COUNT, RUA_FAULT_NONE, part);
    else
        record->ruas[record->rua_count++] = *rua;
}

static void read_uri(struct record_reading *reading, struct span part)
{
    struct rua rua;
    enum rua_fault fault = rua_read(part.at, part.len, reading->arena, &rua);

    if (fault == RUA_FAULT_NOMEM)
        reading->is_out_of_memory = true;
    else if (fault != RUA_FAULT_NONE)
        add_finding(reading, FINDING_BAD_URI, fault, part); /* R10: only this one is skipped */
    else
        add_rua(reading, &rua, part);
}

/* What stands behind "rua=": blanks are free around the commas, not behind the '=' (R8). */
static void read_uri_list(struct record_reading *reading, struct span list)
{
    struct cursor cursor;
    struct span part;

    reading->has_rua_field = true;
    cursor_init(&cursor, list.at, list.len);
    read_uri(reading, trim_right(cursor_take_until(&cursor, ",")));
    while (cursor_skip_word(&cursor, ",")) {
        part = cursor_take_until(&cursor, ",");
        read_uri(reading, trim_right(trim_left(part)));
    }
}

static bool is_alnum(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

static bool is_name(struct span text)
{
    if (text.len == 0 || text.len > NAME_MAX_BYTES || !is_alnum(text.at[0]))
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!is_alnum(text.at[i]) && memchr("_.-", text.at[i], 3) == NULL)
            return false;
    return true;
}

static bool is_value(const char *at, const char *end)
{
    if (at == end)
        return false;
    for (; at < end; at++)
        if (*at <= ' ' || *at == ';' || *at == '=' || *at >= 0x7F)
            return false;
    return true;
}

static bool begins_with(struct span text, const char *word)
{
    return text.len >= strlen(word) && strncasecmp(text.at, word, strlen(word)) == 0;
}

/* A field that does not follow the grammar: name the likeliest typo. */
static enum tlsrpt_finding_kind kind_of_bad_field(struct span field)
{
    struct cursor cursor;

    if (begins_with(field, "mailto:") || begins_with(field, "https:"))
        return FINDING_BARE_URI;
    cursor_init(&cursor, field.at, field.len);
    if (cursor_skip_word(&cursor, "rua") && cursor_skip_any(&cursor, WSP ":=") > 0)
        return FINDING_BAD_RUA_FIELD;
    return FINDING_BAD_FIELD;
}

/* A field that is not "rua=". */
static enum tlsrpt_finding_kind kind_of_other_field(struct span field)
{
    struct cursor cursor;
    struct span name;

    cursor_init(&cursor, field.at, field.len);
    name = cursor_take_until(&cursor, "="); /* at the first '=' only */
    if (!is_name(name) || !cursor_skip_word(&cursor, "=") || !is_value(cursor.at, cursor.end))
        return kind_of_bad_field(field);
    return name.len == 3 && begins_with(name, "rua") ? FINDING_RUA_CASE : FINDING_UNKNOWN_FIELD;
}

/* One field, blanks around it removed; is_last: nothing but blanks follows. */
static void read_field(struct record_reading *reading, struct span field, bool is_last)
{
    struct cursor cursor;

    cursor_init(&cursor, field.at, field.len);
    if (field.len == 0) {
        if (!is_last) /* one ';' may end the record; ";;" is not in the grammar */
            add_finding(reading, FINDING_EMPTY_FIELD, RUA_FAULT_NONE, field);
        return;
    }
    if (cursor_skip_word(&cursor, "rua="))
        read_uri_list(reading, (struct span){.at = cursor.at, .len = (size_t)(cursor.end - cursor.at)});
    else
        add_finding(reading, kind_of_other_field(field), RUA_FAULT_NONE, field); /* R6 */
}

/*
 * The part of an over-long record that is read: up to the last delimiter within the limit, so that no URI is
 * taken whose end was cut off.
 */
static struct span limit_length(struct record_reading *reading, struct span text)
{
    size_t kept = TLSRPT_RECORD_MAX;

    if (text.len <= TLSRPT_RECORD_MAX)
        return text;
    while (kept > VERSION_LEN && text.at[kept] != ';' && text.at[kept] != ',')
        kept--;
    add_finding(reading, FINDING_OVER_LENGTH, RUA_FAULT_NONE,
                (struct span){.at = text.at + kept, .len = text.len - kept});
    return (struct span){.at = text.at, .len = kept};
}

/* text has the version and its ';'. */
static void read_record(struct record_reading *reading, struct span text)
{
    struct cursor cursor;
    struct span field;
    bool is_last;

    reading->record->text = text;
    text = limit_length(reading, text);
    cursor_init(&cursor, text.at, text.len);
    cursor_expect(&cursor, VERSION);
    if (cursor_skip_any(&cursor, WSP) > 0)
        add_finding(reading, FINDING_BLANK_IN_VERSION, RUA_FAULT_NONE,
                    (struct span){.at = text.at, .len = cursor_offset(&cursor) + 1});
    while (cursor_skip_word(&cursor, ";")) {
        field = trim_left(cursor_take_until(&cursor, ";"));
        is_last = cursor_at_end(&cursor);
        if (is_last && field.len > 0 && is_blank(field.at[field.len - 1]))
            add_finding(reading, FINDING_TRAILING_BLANK, RUA_FAULT_NONE, trim_right(field));
        read_field(reading, trim_right(field), is_last);
    }
}

/* ---- choosing ---- */

/* The 11 bytes of RFC 8460 section 3, or the same with blanks before the ';' (rfc8460.md A.1.4). */
static bool is_candidate(struct span rr, bool with_blanks)
{
    struct cursor cursor;

    cursor_init(&cursor, rr.at, rr.len);
    if (!cursor_skip_word(&cursor, VERSION))
        return false;
    if (with_blanks)
        (void)cursor_skip_any(&cursor, WSP);
    return cursor_skip_word(&cursor, ";");
}

/* How many RRs are candidates; the last of them in *chosen_out if there is any. */
static size_t find_candidates(const struct span *rrs, size_t rr_count, bool with_blanks, size_t *chosen_out)
{
    size_t found = 0;

    for (size_t i = 0; i < rr_count; i++)
        if (is_candidate(rrs[i], with_blanks)) {
            *chosen_out = i;
            found++;
        }
    return found;
}

static enum tlsrpt_record_result result_of(const struct record_reading *reading)
{
    if (reading->record->rua_count > 0)
        return TLSRPT_OK;
    return reading->has_rua_field ? TLSRPT_NO_USABLE_RUA : TLSRPT_NO_RUA; /* R7 */
}

enum status tlsrpt_record_choose(const struct span *rrs, size_t rr_count, struct arena *arena,
                                 struct tlsrpt_record *record_out, struct err *err)
{
    struct tlsrpt_record record = {.result = TLSRPT_NO_RECORD, .text = {.at = "", .len = 0}};
    struct record_reading reading = {.record = &record, .arena = arena, .last_link = &record.findings};
    size_t chosen = 0;
    size_t found = find_candidates(rrs, rr_count, false, &chosen); /* R3 */

    if (found == 0)
        found = find_candidates(rrs, rr_count, true, &chosen);
    if (found > 1)
        record.result = TLSRPT_MULTIPLE; /* R4 */
    if (found == 1) {
        for (size_t i = 0; i < rr_count; i++)
            if (i != chosen)
                add_finding(&reading, FINDING_OTHER_RR, RUA_FAULT_NONE, rrs[i]);
        read_record(&reading, rrs[chosen]);
        record.result = result_of(&reading);
    }
    if (reading.is_out_of_memory)
        return err_set(err, ST_NOMEM, "TLSRPT record: out of memory");
    *record_out = record;
    return ST_OK;
}

enum status tlsrpt_record_parse(const char *text, size_t len, struct arena *arena,
                                struct tlsrpt_record *record_out, struct err *err)
{
    struct span rr = {.at = text, .len = len};

    return tlsrpt_record_choose(&rr, 1, arena, record_out, err);
}
