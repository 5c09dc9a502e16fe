/* SPDX-License-Identifier: MIT */
/*
 * One object is read as one policy with its details, or "policies" as several; then the domains fill in for each
 * other.  Words with a fixed list (result-type, policy-type) must be valid; other bad fields are left out.
 */
#include "datagram/ndjson_line.h"

#include <string.h>

#include "base/json_text.h"
#include "model/detail_text.h"
#include "model/domain.h"
#include "model/utc_day.h"

#define NAME_MAX_BYTES 64 /* longer than any registered word */

struct ndjson_decoder {
    struct arena *arena;
    struct err *err;
};

typedef enum status clean_fn(struct span text, struct arena *arena, const char **text_out);

static enum status no_memory(struct ndjson_decoder *decoder)
{
    return err_set(decoder->err, ST_NOMEM, "line: out of memory");
}

/* ---- fields that are left out where nothing usable is in them (R32) ---- */

static enum status get_text(struct ndjson_decoder *decoder, const json_t *object, const char *key,
                            clean_fn *clean, const char **text_out)
{
    struct span text = json_text_span(json_object_get(object, key));

    *text_out = NULL;
    return text.len > 0 && clean(text, decoder->arena, text_out) == ST_NOMEM ? no_memory(decoder) : ST_OK;
}

static enum status clean_domain(struct span text, struct arena *arena, const char **text_out)
{
    return domain_normalise(text.at, text.len, arena, text_out, NULL);
}

static enum status clean_pattern(struct span text, struct arena *arena, const char **text_out)
{
    return domain_pattern_normalise(text.at, text.len, arena, text_out, NULL);
}

static enum status get_list(struct ndjson_decoder *decoder, const json_t *array, clean_fn *clean,
                            struct text_list *out)
{
    size_t count = json_array_size(array);

    *out = (struct text_list){.count = 0};
    if (count > POLICY_LINES_MAX)
        count = POLICY_LINES_MAX;
    if (count == 0)
        return ST_OK;
    out->items = arena_alloc_array(decoder->arena, count, sizeof out->items[0]);
    if (out->items == NULL)
        return no_memory(decoder);
    for (size_t i = 0; i < count; i++) {
        enum status status =
            clean(json_text_span(json_array_get(array, i)), decoder->arena, &out->items[out->count]);

        if (status == ST_NOMEM)
            return no_memory(decoder);
        out->count += status == ST_OK;
    }
    return ST_OK;
}

/* ---- words of which each must be one that is registered ---- */

/* The word under key as a C string; false if it is no string or too long. */
static bool get_word(const json_t *object, const char *key, char word[NAME_MAX_BYTES])
{
    struct span text = json_text_span(json_object_get(object, key));

    if (text.len == 0 || text.len >= NAME_MAX_BYTES)
        return false;
    memcpy(word, text.at, text.len);
    word[text.len] = '\0';
    return strlen(word) == text.len;
}

static enum status decode_result_type(struct ndjson_decoder *decoder, const json_t *object,
                                      enum result_type *out)
{
    char word[NAME_MAX_BYTES];

    if (get_word(object, "result-type", word) && result_type_from_name(word, out))
        return ST_OK;
    return err_set(decoder->err, ST_SYNTAX, "\"result-type\" is not one of RFC 8460's result types");
}

static enum status decode_policy_type(struct ndjson_decoder *decoder, const json_t *object,
                                      enum policy_type *out)
{
    char word[NAME_MAX_BYTES];

    *out = POLICY_NO_POLICY_FOUND;
    if (json_object_get(object, "policy-type") == NULL)
        return ST_OK;
    if (get_word(object, "policy-type", word) && policy_type_from_name(word, out))
        return ST_OK;
    return err_set(decoder->err, ST_SYNTAX, "\"policy-type\" is not tlsa, sts or no-policy-found");
}

/* ---- policies and details ---- */

static enum status decode_detail(struct ndjson_decoder *decoder, const json_t *object,
                                 struct failure_detail *out)
{
    const struct {
        const char *key;
        clean_fn *clean;
        const char **text_out;
    } FIELDS[] = {
        {"sending-mta-ip", detail_text_address, &out->sending_mta_ip},
        {"receiving-mx-hostname", clean_domain, &out->receiving_mx_hostname},
        {"receiving-mx-helo", detail_text_helo_host, &out->receiving_mx_helo},
        {"receiving-ip", detail_text_address, &out->receiving_ip},
        {"additional-information", detail_text_uri, &out->additional_information},
        {"failure-reason-code", detail_text_reason, &out->failure_reason_code},
    };
    enum status status = decode_result_type(decoder, object, &out->result_type);

    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(FIELDS); i++)
        status = get_text(decoder, object, FIELDS[i].key, FIELDS[i].clean, FIELDS[i].text_out);
    return status;
}

/* "failure-details", or the one failure in the object itself. */
static enum status decode_details(struct ndjson_decoder *decoder, const json_t *object,
                                  struct result_policy *out)
{
    const json_t *array = json_object_get(object, "failure-details");
    bool is_flat = array == NULL && json_object_get(object, "result-type") != NULL;
    size_t count = is_flat ? 1 : json_array_size(array);
    enum status status = ST_OK;

    if (count > RESULT_DETAILS_MAX)
        count = RESULT_DETAILS_MAX;
    out->is_failed = count > 0;
    if (count == 0)
        return ST_OK;
    out->details = arena_alloc_array(decoder->arena, count, sizeof out->details[0]);
    if (out->details == NULL)
        return no_memory(decoder);
    for (; status == ST_OK && out->detail_count < count; out->detail_count++)
        status = decode_detail(decoder, is_flat ? object : json_array_get(array, out->detail_count),
                               &out->details[out->detail_count]);
    return status;
}

/* Strings of tlsa are put in order (R33); mx hosts belong to sts only (R22). */
static enum status decode_policy(struct ndjson_decoder *decoder, const json_t *object, struct policy *out)
{
    const json_t *strings = json_object_get(object, "policy-string");
    enum status status = decode_policy_type(decoder, object, &out->type);

    if (status == ST_OK)
        status = get_text(decoder, object, "policy-domain", clean_domain, &out->domain);
    if (status == ST_OK && out->type == POLICY_TLSA) {
        status = get_list(decoder, strings, detail_text_tlsa, &out->strings);
        detail_text_sort_unique(&out->strings);
    }
    if (status == ST_OK && out->type == POLICY_STS) {
        status = get_list(decoder, strings, detail_text_policy_line, &out->strings);
        if (status == ST_OK)
            status = get_list(decoder, json_object_get(object, "mx-host"), clean_pattern, &out->mx_hosts);
    }
    return status;
}

static enum status decode_policies(struct ndjson_decoder *decoder, const json_t *root,
                                   struct session_result *result)
{
    const json_t *array = json_object_get(root, "policies");
    size_t count = array == NULL ? 1 : json_array_size(array);
    enum status status = ST_OK;

    if (count == 0 || count > RESULT_POLICIES_MAX)
        return err_set(decoder->err, ST_SYNTAX, "\"policies\" is not an array of 1 to %d objects",
                       RESULT_POLICIES_MAX);
    result->policies = arena_alloc_array(decoder->arena, count, sizeof result->policies[0]);
    if (result->policies == NULL)
        return no_memory(decoder);
    for (; status == ST_OK && result->policy_count < count; result->policy_count++) {
        const json_t *item = array == NULL ? root : json_array_get(array, result->policy_count);
        const json_t *policy = array == NULL ? root : json_object_get(item, "policy");

        status = decode_policy(decoder, policy, &result->policies[result->policy_count].policy);
        if (status == ST_OK)
            status = decode_details(decoder, item, &result->policies[result->policy_count]);
    }
    return status;
}

/* ---- the session result ---- */

/* The domain that asked for reports, and each policy's: a missing one is copied from the other (R31). */
static enum status settle_domains(struct ndjson_decoder *decoder, const json_t *root,
                                  struct session_result *result)
{
    enum status status = get_text(decoder, root, "tls-report-domain", clean_domain, &result->domain);

    if (status != ST_OK)
        return status;
    if (result->domain == NULL && result->policy_count > 0 &&
        json_object_get(root, "tls-report-domain") == NULL)
        result->domain = result->policies[0].policy.domain;
    if (result->domain == NULL)
        return err_set(decoder->err, ST_SYNTAX,
                       "neither \"tls-report-domain\" nor \"policy-domain\" is a domain");
    for (size_t i = 0; i < result->policy_count; i++)
        if (result->policies[i].policy.domain == NULL)
            result->policies[i].policy.domain = result->domain;
    return ST_OK;
}

/* "Z" or +HH:MM behind the seconds and their fraction. */
static bool take_zone(struct cursor *cursor, int64_t *zone_s_out)
{
    int64_t sign;

    if (cursor_skip_word(cursor, "."))
        (void)cursor_take_while(cursor, "0123456789");
    *zone_s_out = 0;
    if (cursor_skip_word(cursor, "Z"))
        return true;
    sign = cursor_skip_word(cursor, "-") ? -1 : 1;
    if (sign == 1)
        cursor_expect(cursor, "+");
    *zone_s_out = (int64_t)cursor_take_number(cursor, 23) * 3600;
    cursor_expect(cursor, ":");
    *zone_s_out = sign * (*zone_s_out + (int64_t)cursor_take_number(cursor, 59) * 60);
    return !cursor->is_failed;
}

static bool parse_datetime(struct span text, int64_t *utc_s_out)
{
    char day_text[UTC_DAY_TEXT_SIZE];
    struct cursor cursor;
    int64_t zone_s, second;
    int32_t utc_day;

    if (text.len < UTC_DAY_TEXT_SIZE)
        return false;
    memcpy(day_text, text.at, UTC_DAY_TEXT_SIZE - 1);
    day_text[UTC_DAY_TEXT_SIZE - 1] = '\0';
    cursor_init(&cursor, text.at + UTC_DAY_TEXT_SIZE - 1, text.len - (UTC_DAY_TEXT_SIZE - 1));
    cursor_expect(&cursor, "T");
    second = (int64_t)cursor_take_number(&cursor, 23) * 3600;
    cursor_expect(&cursor, ":");
    second += (int64_t)cursor_take_number(&cursor, 59) * 60;
    cursor_expect(&cursor, ":");
    second += (int64_t)cursor_take_number(&cursor, 60);
    if (!take_zone(&cursor, &zone_s) || !cursor_at_end(&cursor) || cursor.is_failed ||
        !utc_day_parse(day_text, &utc_day))
        return false;
    *utc_s_out = utc_day_begin_s(utc_day) + second - zone_s;
    return *utc_s_out >= 0;
}

static enum status decode(struct ndjson_decoder *decoder, const json_t *root, int64_t now_s,
                          struct session_result *result, int64_t *utc_s_out)
{
    const json_t *datetime = json_object_get(root, "datetime");
    enum status status;

    *utc_s_out = now_s;
    if (!json_is_object(root))
        return err_set(decoder->err, ST_SYNTAX, "not a JSON object");
    if (datetime != NULL && !parse_datetime(json_text_span(datetime), utc_s_out))
        return err_set(decoder->err, ST_SYNTAX, "\"datetime\" is not as 2026-11-21T18:23:07Z");
    status = decode_policies(decoder, root, result);
    if (status == ST_OK)
        status = settle_domains(decoder, root, result);
    result->has_utc_day = true;
    result->utc_day = utc_day_of(*utc_s_out);
    return status;
}

static enum status load(struct arena *arena, const char *bytes, size_t len, json_t **root_out,
                        struct err *err)
{
    json_error_t error;
    enum status status = json_text_load_repaired(arena, bytes, len, JSON_TEXT_OURS, root_out, &error);

    if (status == ST_NOMEM)
        status = err_set(err, ST_NOMEM, "line: out of memory");
    else if (status != ST_OK)
        status = err_set(err, ST_SYNTAX, "not JSON: byte %d: %s", error.position, error.text);
    return status;
}

enum status ndjson_line_decode(const void *bytes, size_t len, int64_t now_s, struct arena *arena,
                               struct session_result *result_out, int64_t *utc_s_out, struct err *err)
{
    struct ndjson_decoder decoder = {.arena = arena, .err = err};
    struct session_result result = {0};
    struct arena tree;
    json_t *root = NULL;
    int64_t utc_s = now_s;
    enum status status;

    if (len > NDJSON_LINE_BYTES_MAX)
        return err_set(err, ST_RANGE, "%zu bytes; the limit is %d", len, NDJSON_LINE_BYTES_MAX);
    arena_init(&tree, (size_t)3 * NDJSON_LINE_BYTES_MAX * JSON_TEXT_GROWTH_MAX);
    status = load(&tree, bytes, len, &root, err);
    if (status == ST_OK)
        status = decode(&decoder, root, now_s, &result, &utc_s);
    if (status == ST_OK) {
        *result_out = result;
        *utc_s_out = utc_s;
    }
    arena_done(&tree);
    return status;
}
