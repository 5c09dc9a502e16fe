/* SPDX-License-Identifier: MIT */
/*
 * One function for each rule about a value.  A fault becomes a finding with the RFC's section and the value's path.
 */
#include "report_rules.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "model/address.h"
#include "model/domain.h"
#include "model/utc_day.h"

#define PLACES_MAX    8
#define SHOWN_MAX     80 /* bytes of a value that a finding shows */
#define NAME_BYTES    8192
#define DIGITS        "0123456789"
#define HEX           DIGITS "abcdefABCDEF"
#define MINUTE_S      60
#define HOUR_S        3600
#define TIME_TEXT_MAX 40

void json_path_format(const struct json_path *json_path, char text_out[FINDING_WHERE_SIZE])
{
    const struct json_path *chain[PLACES_MAX];
    struct strbuf text;
    size_t depth = 0;

    for (; json_path != NULL && depth < PLACES_MAX; json_path = json_path->parent)
        chain[depth++] = json_path;
    strbuf_init(&text, FINDING_WHERE_SIZE - 1);
    while (depth-- > 0) {
        strbuf_addf(&text, "%s%.60s", text.len > 0 ? "." : "", chain[depth]->member);
        if (chain[depth]->is_item)
            strbuf_addf(&text, "[%zu]", chain[depth]->index);
    }
    (void)snprintf(text_out, FINDING_WHERE_SIZE, "%s", text.data);
    strbuf_done(&text);
}

/* ---- time ---- */

/* Two digits, at most max; fails the cursor otherwise. */
static int64_t take_two(struct cursor *cursor, int64_t max)
{
    struct span digits = cursor_take_while(cursor, DIGITS);
    int64_t number;

    if (cursor->is_failed || digits.len != 2) {
        cursor_fail(cursor);
        return 0;
    }
    number = (digits.at[0] - '0') * 10 + (digits.at[1] - '0');
    if (number > max)
        cursor_fail(cursor);
    return number;
}

/* hh:mm:ss with an optional fraction, as seconds of the day. */
static int64_t take_clock(struct cursor *cursor)
{
    int64_t seconds = take_two(cursor, 23) * HOUR_S;

    cursor_expect(cursor, ":");
    seconds += take_two(cursor, 59) * MINUTE_S;
    cursor_expect(cursor, ":");
    seconds += take_two(cursor, 60);
    if (cursor_skip_word(cursor, ".") && cursor_take_while(cursor, DIGITS).len == 0)
        cursor_fail(cursor);
    return seconds;
}

/* "Z" or "+hh:mm"; *has_zone_out is false if there is nothing at all. */
static int64_t take_zone(struct cursor *cursor, bool *has_zone_out)
{
    int64_t sign, seconds;

    *has_zone_out = !cursor_at_end(cursor);
    if (!*has_zone_out || cursor_skip_word(cursor, "Z") || cursor_skip_word(cursor, "z"))
        return 0;
    sign = cursor_skip_word(cursor, "-") ? -1 : 1;
    if (sign == 1)
        cursor_expect(cursor, "+");
    seconds = take_two(cursor, 23) * HOUR_S;
    cursor_expect(cursor, ":");
    return sign * (seconds + take_two(cursor, 59) * MINUTE_S);
}

bool rules_check_time(struct report_reader *reader, const struct json_path *json_path, const char *text,
                      int64_t *utc_s_out)
{
    char day_text[UTC_DAY_TEXT_SIZE];
    struct cursor cursor;
    int32_t utc_day;
    int64_t seconds, zone_s;
    bool has_zone, has_t;

    (void)snprintf(day_text, sizeof day_text, "%.10s", text);
    if (!utc_day_parse(day_text, &utc_day)) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "\"%.40s\" is not a time of RFC 3339", text);
        return false;
    }
    cursor_init(&cursor, text + strlen(day_text), strnlen(text + strlen(day_text), TIME_TEXT_MAX));
    has_t = cursor_skip_word(&cursor, "T") || cursor_skip_word(&cursor, "t");
    if (!has_t)
        cursor_expect(&cursor, " ");
    seconds = take_clock(&cursor);
    zone_s = take_zone(&cursor, &has_zone);
    if (cursor.is_failed || !cursor_at_end(&cursor)) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "\"%.40s\" is not a time of RFC 3339", text);
        return false;
    }
    if (!has_t)
        FIND(reader, FINDING_SHOULD, SECTION_4_4, json_path, "has a blank where RFC 3339 wants a T");
    if (!has_zone)
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path,
             "has no time zone; RFC 3339 wants Z or an offset at the end (taken as UTC here)");
    *utc_s_out = utc_day_begin_s(utc_day) + seconds - zone_s;
    return true;
}

void rules_check_period(struct report_reader *reader, const struct json_path *json_path, int64_t begin_s,
                        int64_t end_s)
{
    int64_t into_day_s = begin_s % UTC_DAY_SECONDS;

    if (end_s < begin_s)
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "ends before it begins");
    else if (into_day_s != 0)
        FIND(reader, FINDING_SHOULD, SECTION_4_1, json_path,
             "does not begin at midnight UTC; a report covers a whole UTC day");
    else if (end_s == begin_s + UTC_DAY_SECONDS)
        FIND(reader, FINDING_NOTE, SECTION_4_4, json_path,
             "ends at the next midnight, which belongs to the next day; 23:59:59 is the day's last second");
    else if (end_s != begin_s + UTC_DAY_SECONDS - 1)
        FIND(reader, FINDING_SHOULD, SECTION_4_1, json_path, "is not one whole UTC day");
}

/* ---- names and addresses ---- */

static bool is_atom_text(const char *text, size_t len)
{
    if (len == 0 || text[0] == '.' || text[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("!#$%&'*+-/=?^_`{|}~.", text[i]) == NULL)
            return false;
    return true;
}

void rules_check_contact(struct report_reader *reader, const struct json_path *json_path, const char *text)
{
    const char *at_sign = strrchr(text, '@');
    struct arena arena;
    const char *domain;
    enum status status;

    if (at_sign == NULL || !is_atom_text(text, (size_t)(at_sign - text))) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path,
             "is not a bare mail address as in reports@example.org (RFC 5322 section 3.4.1)");
        return;
    }
    arena_init(&arena, NAME_BYTES);
    status = domain_normalise(at_sign + 1, strlen(at_sign + 1), &arena, &domain, NULL);
    arena_done(&arena);
    reader->is_failed = reader->is_failed || status == ST_NOMEM; /* nothing can be said about it */
    if (status != ST_OK && status != ST_NOMEM)
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "has no domain name behind its @");
}

void rules_check_domain(struct report_reader *reader, const struct json_path *json_path, const char *text,
                        bool is_pattern)
{
    struct arena arena;
    const char *name;
    enum status status;

    arena_init(&arena, NAME_BYTES);
    status = is_pattern ? domain_pattern_normalise(text, strlen(text), &arena, &name, NULL)
                        : domain_normalise(text, strlen(text), &arena, &name, NULL);
    reader->is_failed = reader->is_failed || status == ST_NOMEM;
    if (status == ST_NOMEM)
        goto out;
    if (status != ST_OK)
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "\"%.*s\" is not a domain name", SHOWN_MAX, text);
    else if (strcasecmp(text, name) != 0 && text[strlen(text) - 1] != '.')
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "is not written in A-labels; \"%.*s\" is",
             SHOWN_MAX, name);
    else if (strcmp(text, name) != 0)
        FIND(reader, FINDING_NOTE, SECTION_4_4, json_path,
             "has capital letters or a final dot; \"%.*s\" is the usual form", SHOWN_MAX, name);
out:
    arena_done(&arena);
}

void rules_check_ip(struct report_reader *reader, const struct json_path *json_path, const char *text)
{
    char canonical[ADDRESS_TEXT_SIZE];
    struct address address;

    if (strpbrk(text, "[]%") != NULL) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path,
             "\"%.60s\" has brackets or a zone; use the bare address", text);
        return;
    }
    if (!address_parse(text, strlen(text), &address)) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "\"%.60s\" is not an IP address", text);
        return;
    }
    address_format(&address, canonical);
    if (strcmp(text, canonical) != 0)
        FIND(reader, FINDING_NOTE, SECTION_4_4, json_path, "is not in the form of RFC 5952, which is \"%s\"",
             canonical);
}

/* ---- other texts of a detail ---- */

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    return false;
}

void rules_check_helo(struct report_reader *reader, const struct json_path *json_path, const char *text)
{
    if (has_control(text) || strncmp(text, "250", 3) == 0 || strchr(text, ' ') != NULL)
        FIND(reader, FINDING_SHOULD, SECTION_4_4, json_path,
             "holds more of the EHLO reply than the name that the server gave itself");
}

void rules_check_reason(struct report_reader *reader, const struct json_path *json_path, const char *text)
{
    if (has_control(text))
        FIND(reader, FINDING_SHOULD, SECTION_4_4, json_path, "holds control characters");
    if (strlen(text) > DETAIL_REASON_MAX)
        FIND(reader, FINDING_NOTE, SECTION_4_4, json_path,
             "is longer than the short code or text that is meant");
}

/* scheme ":" something, without blanks (RFC 3986 section 3). */
void rules_check_uri(struct report_reader *reader, const struct json_path *json_path, const char *text)
{
    size_t scheme = strspn(text, DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-.");

    if (scheme == 0 || !isalpha((unsigned char)text[0]) || text[scheme] != ':' || has_control(text) ||
        strpbrk(text, " <>\"") != NULL)
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path, "is not a URI (RFC 3986)");
}

/* ---- policy-string ---- */

/* "usage selector matching-type HEX" (RFC 6698 section 2.2). */
static void check_tlsa_line(struct report_reader *reader, const struct json_path *json_path, const char *text)
{
    struct cursor cursor;
    uint64_t usage = 0;
    size_t digits;

    cursor_init(&cursor, text, strlen(text));
    for (int i = 0; i < 3; i++) {
        uint64_t number = cursor_take_number(&cursor, UINT8_MAX);

        usage = i == 0 ? number : usage;
        if (cursor_skip_any(&cursor, " ") == 0)
            cursor_fail(&cursor);
    }
    digits = cursor_take_while(&cursor, HEX).len;
    if (cursor.is_failed || digits == 0 || (!cursor_at_end(&cursor) && cursor_peek(&cursor) != ' ')) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path,
             "is not one TLSA record as in \"3 1 1 0F1E2D...\" (RFC 6698 section 2.2)");
        return;
    }
    if (!cursor_at_end(&cursor))
        FIND(reader, FINDING_NOTE, SECTION_4_4, json_path,
             "has blanks inside its digits or something behind");
    if (usage != 2 && usage != 3)
        FIND(reader, FINDING_NOTE, "RFC 7672 section 3.1.3", json_path,
             "has certificate usage %llu, which SMTP cannot use", (unsigned long long)usage);
}

static void check_sts_line(struct report_reader *reader, const struct json_path *json_path, const char *text)
{
    if (strpbrk(text, "\r\n") != NULL)
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path,
             "holds several lines; each line of the policy is a string of its own");
    else if (strchr(text, ':') == NULL)
        FIND(reader, FINDING_NOTE, "RFC 8461 section 3.2", json_path,
             "is not a \"key: value\" line of a policy");
}

void rules_check_policy_line(struct report_reader *reader, const struct json_path *json_path,
                             enum policy_type type, const char *text)
{
    if (text[0] == '[' && strchr(text, ']') != NULL) {
        FIND(reader, FINDING_MUST, SECTION_4_4, json_path,
             "is one string with a JSON array inside; each record or line is a string of its own");
        return;
    }
    if (type == POLICY_TLSA)
        check_tlsa_line(reader, json_path, text);
    else if (type == POLICY_STS)
        check_sts_line(reader, json_path, text);
}

/* ---- a whole policy entry ---- */

static bool wants_reason(const struct report_read_detail *detail)
{
    return detail->is_registered &&
           (detail->type == RESULT_CERTIFICATE_NOT_TRUSTED || detail->type == RESULT_VALIDATION_FAILURE);
}

/* For DANE the policy belongs to the TLSA base domain, which is an MX host's name (RFC 8460 section 1.1). */
static void check_base_domain(struct report_reader *reader, const struct json_path *json_path,
                              const struct report_read_policy *policy)
{
    for (size_t i = 0; i < policy->detail_count; i++) {
        const char *host = policy->details[i].receiving_mx_hostname;

        if (*host != '\0' && strcasecmp(host, policy->domain) != 0) {
            FIND(reader, FINDING_NOTE, "RFC 8460 section 1.1", json_path,
                 "a tlsa policy belongs to the TLSA base domain, which is the MX host's name or its target; "
                 "here it stands under \"%.*s\", the MX host is \"%.*s\"",
                 SHOWN_MAX, policy->domain, SHOWN_MAX, host);
            return;
        }
    }
}

void rules_check_policy(struct report_reader *reader, const struct json_path *json_path,
                        const struct report_read_policy *policy)
{
    const struct json_path strings = {.parent = json_path, .member = "policy.policy-string"};
    const struct json_path hosts = {.parent = json_path, .member = "policy.mx-host"};
    const struct json_path details = {.parent = json_path, .member = "failure-details"};

    if (!policy->is_known_type)
        return;
    if (policy->known_type == POLICY_NO_POLICY_FOUND && policy->strings.count > 0)
        FIND(reader, FINDING_SHOULD, SECTION_4_4, &strings, "stands beside no-policy-found");
    if (policy->known_type != POLICY_STS && policy->mx_hosts.count > 0)
        FIND(reader, FINDING_SHOULD, SECTION_4_4, &hosts, "belongs to policy-type sts only");
    if (policy->known_type == POLICY_TLSA)
        check_base_domain(reader, json_path, policy);
    if (policy->failure > 0 && policy->detail_count == 0)
        FIND(reader, FINDING_SHOULD, SECTION_4_3, &details, "says nothing about %llu failed sessions",
             (unsigned long long)policy->failure);
    for (size_t i = 0; i < policy->detail_count; i++) {
        const struct json_path item = {
            .parent = json_path, .member = "failure-details", .index = i, .is_item = true};

        if (wants_reason(&policy->details[i]) && *policy->details[i].failure_reason_code == '\0')
            FIND(reader, FINDING_SHOULD, "RFC 8460 sections 4.3.1 and 4.3.3", &item,
                 "is %s without a failure-reason-code", policy->details[i].result_type);
    }
}
