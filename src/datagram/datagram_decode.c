/* SPDX-License-Identifier: MIT */
/*
 * 1. bounds: size, depth and number of containers, before anything is built in memory
 * 2. JSON, after repairing what is not UTF-8
 * 3. version, domain, day, record
 * 4. each policy with its details; one that is not understood is left out and counted
 */
#include "datagram/datagram.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/utf8.h"
#include "model/detail_text.h"
#include "model/domain.h"
#include "model/utc_day.h"

/* A failed allocation sticks, so that it is checked once, at the end. */
struct datagram_decoder {
    struct arena *arena;
    bool is_out_of_memory;
};

typedef enum status clean_fn(struct span text, struct arena *arena, const char **text_out);

/* ---- 1. bounds ---- */

/* The next quote in [at, end); NULL if there is none. */
static const char *find_quote(const char *at, const char *end)
{
    return at < end ? memchr(at, '"', (size_t)(end - at)) : NULL;
}

/* Behind the string whose first byte, after its quote, is at; end if it does not end. */
static const char *skip_string(const char *at, const char *end)
{
    const char *quote = find_quote(at, end);

    while (quote != NULL) {
        const char *backslash = memchr(at, '\\', (size_t)(quote - at));

        if (backslash == NULL)
            return quote + 1;
        at = backslash + 2; /* what it escapes ends nothing */
        if (at > quote)
            quote = find_quote(at, end);
    }
    return end;
}

static enum status check_bounds(const char *text, size_t len, struct err *err)
{
    size_t depth = 0, containers = 0;

    if (len > DATAGRAM_BYTES_MAX)
        return err_set(err, ST_RANGE, "%zu bytes; the limit is %d", len, DATAGRAM_BYTES_MAX);
    for (const char *at = text, *end = text + len; at < end;) {
        char byte = *at++;

        if (byte == '"')
            at = skip_string(at, end);
        if (byte == '{' || byte == '[') {
            depth++;
            containers++;
        }
        if ((byte == '}' || byte == ']') && depth > 0)
            depth--;
        if (depth > DATAGRAM_DEPTH_MAX)
            return err_set(err, ST_RANGE, "nested more than %d deep", DATAGRAM_DEPTH_MAX);
        if (containers > DATAGRAM_CONTAINERS_MAX)
            return err_set(err, ST_RANGE, "more than %d arrays and objects", DATAGRAM_CONTAINERS_MAX);
    }
    return ST_OK;
}

/* ---- 2. JSON ---- */

static enum status json_failure(enum status status, const json_error_t *error, struct err *err)
{
    if (status == ST_NOMEM)
        return err_set(err, ST_NOMEM, "datagram: out of memory");
    return err_set(err, ST_SYNTAX, "not JSON: byte %d: %s", error->position, error->text);
}

/* Jansson's tree lives in the result's arena and dies with it. */
static enum status load(struct arena *arena, const char *text, size_t len, json_t **root_out,
                        bool *is_repaired_out, struct err *err)
{
    json_error_t error;
    enum status status = json_text_load(arena, text, len, JSON_TEXT_OURS, root_out, &error);

    *is_repaired_out = status == ST_SYNTAX && json_error_code(&error) == json_error_invalid_utf8;
    if (*is_repaired_out)
        status = json_text_load_repaired(arena, text, len, JSON_TEXT_OURS, root_out, &error);
    return status == ST_OK ? ST_OK : json_failure(status, &error, err);
}

/* The cleaned text under key; NULL if it is missing, not a string, or nothing usable is in it (R32). */
static const char *get_text(struct datagram_decoder *decoder, const json_t *object, const char *key,
                            clean_fn *clean)
{
    struct span text = json_text_span(json_object_get(object, key));
    const char *cleaned = NULL;

    if (text.len > 0 && clean(text, decoder->arena, &cleaned) == ST_NOMEM)
        decoder->is_out_of_memory = true;
    return cleaned;
}

/* The cleaned strings of an array; what is not usable is left out. */
static struct text_list get_list(struct datagram_decoder *decoder, const json_t *array, clean_fn *clean)
{
    struct text_list list = {0};
    size_t count = json_array_size(array);

    if (count > POLICY_LINES_MAX)
        count = POLICY_LINES_MAX;
    if (count == 0)
        return list;
    list.items = arena_alloc_array(decoder->arena, count, sizeof list.items[0]);
    if (list.items == NULL) {
        decoder->is_out_of_memory = true;
        return list;
    }
    for (size_t i = 0; i < count; i++) {
        enum status status =
            clean(json_text_span(json_array_get(array, i)), decoder->arena, &list.items[list.count]);

        if (status == ST_OK)
            list.count++;
        else if (status == ST_NOMEM)
            decoder->is_out_of_memory = true;
    }
    return list;
}

static enum status optional(enum status status)
{
    return status == ST_OK || status == ST_NOMEM ? status : ST_NOT_FOUND;
}

static enum status clean_domain(struct span text, struct arena *arena, const char **text_out)
{
    return optional(domain_normalise(text.at, text.len, arena, text_out, NULL));
}

static enum status clean_pattern(struct span text, struct arena *arena, const char **text_out)
{
    return optional(domain_pattern_normalise(text.at, text.len, arena, text_out, NULL));
}

/* ---- 4. policies and details ---- */

/* An unknown code is told as validation-failure with the code as its reason (R23, R69). */
static void set_result_type(struct datagram_decoder *decoder, const json_t *code,
                            struct failure_detail *detail)
{
    long long number = (long long)json_integer_value(code);

    if (json_is_integer(code) && result_type_from_code(number, &detail->result_type))
        return;
    detail->result_type = RESULT_VALIDATION_FAILURE;
    if (!json_is_integer(code))
        return;
    detail->failure_reason_code = arena_format(decoder->arena, "libtlsrpt-code-%lld", number);
    if (detail->failure_reason_code == NULL)
        decoder->is_out_of_memory = true;
}

static void decode_detail(struct datagram_decoder *decoder, const json_t *object,
                          struct failure_detail *detail)
{
    detail->failure_reason_code = get_text(decoder, object, "f", detail_text_reason);
    set_result_type(decoder, json_object_get(object, "c"), detail);
    detail->sending_mta_ip = get_text(decoder, object, "s", detail_text_address);
    detail->receiving_mx_hostname = get_text(decoder, object, "n", clean_domain);
    detail->receiving_mx_helo = get_text(decoder, object, "h", detail_text_helo_host);
    detail->receiving_ip = get_text(decoder, object, "r", detail_text_address);
    detail->additional_information = get_text(decoder, object, "a", detail_text_uri);
}

static void decode_details(struct datagram_decoder *decoder, const json_t *array, struct result_policy *out)
{
    size_t count = json_array_size(array);

    if (count > RESULT_DETAILS_MAX)
        count = RESULT_DETAILS_MAX;
    if (count == 0)
        return;
    out->details = arena_alloc_array(decoder->arena, count, sizeof out->details[0]);
    if (out->details == NULL) {
        decoder->is_out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (json_is_object(json_array_get(array, i)))
            decode_detail(decoder, json_array_get(array, i), &out->details[out->detail_count++]);
}

/* "f" is 0 or 1; if it is missing or no number, the details decide. */
static bool has_failed(const json_t *flag, size_t detail_count)
{
    if (json_is_number(flag))
        return json_number_value(flag) != 0.0;
    if (json_is_boolean(flag))
        return json_is_true(flag);
    return detail_count > 0;
}

/* Strings of tlsa are put in order (R33); mx hosts belong to sts only (R22). */
static void decode_strings(struct datagram_decoder *decoder, const json_t *object, struct policy *policy)
{
    const json_t *strings = json_object_get(object, "policy-string");

    if (policy->type == POLICY_TLSA) {
        policy->strings = get_list(decoder, strings, detail_text_tlsa);
        detail_text_sort_unique(&policy->strings);
    }
    if (policy->type == POLICY_STS) {
        policy->strings = get_list(decoder, strings, detail_text_policy_line);
        policy->mx_hosts = get_list(decoder, json_object_get(object, "mx-host"), clean_pattern);
    }
}

/* False if it is no policy that we know. */
static bool decode_policy(struct datagram_decoder *decoder, const json_t *object, const char *domain,
                          struct result_policy *out)
{
    const json_t *type = json_object_get(object, "policy-type");

    if (!json_is_integer(type) || !policy_type_from_code(json_integer_value(type), &out->policy.type))
        return false;
    out->policy.domain = get_text(decoder, object, "policy-domain", clean_domain);
    if (out->policy.domain == NULL)
        out->policy.domain = domain; /* Postfix before 3.10.5 leaves it out (R31) */
    decode_strings(decoder, object, &out->policy);
    decode_details(decoder, json_object_get(object, "failure-details"), out);
    out->is_failed = has_failed(json_object_get(object, "f"), out->detail_count);
    return true;
}

static enum status decode_policies(struct datagram_decoder *decoder, const json_t *array,
                                   struct session_result *result, struct err *err)
{
    size_t count = json_array_size(array);

    if (!json_is_array(array))
        return err_set(err, ST_SYNTAX, "\"policies\" is not an array");
    if (count > RESULT_POLICIES_MAX) {
        result->dropped_policies = count - RESULT_POLICIES_MAX;
        count = RESULT_POLICIES_MAX;
    }
    result->policies = arena_alloc_array(decoder->arena, count, sizeof result->policies[0]);
    if (result->policies == NULL)
        return err_set(err, ST_NOMEM, "datagram: out of memory");
    for (size_t i = 0; i < count; i++)
        if (decode_policy(decoder, json_array_get(array, i), result->domain,
                          &result->policies[result->policy_count]))
            result->policy_count++;
        else
            result->dropped_policies++;
    if (result->policy_count == 0)
        return err_set(err, ST_SYNTAX, "\"policies\" has no usable policy");
    return ST_OK;
}

/* ---- 3. the session result ---- */

static enum status check_version(const json_t *version, struct err *err)
{
    struct span text = json_text_span(version);

    if (version == NULL || span_is(text, "1") ||
        (json_is_integer(version) && json_integer_value(version) == 1))
        return ST_OK;
    return err_set(err, ST_UNSUPPORTED, "\"dpv\" is not 1");
}

static enum status decode_domain(const json_t *value, struct arena *arena, struct session_result *result,
                                 struct err *err)
{
    struct span text = json_text_span(value);
    struct err reason;
    enum status status;

    if (!json_is_string(value))
        return err_set(err, ST_SYNTAX, "\"d\" is missing or not a string");
    status = domain_normalise(text.at, text.len, arena, &result->domain, &reason);
    if (status == ST_OK)
        return ST_OK;
    return err_set(err, status == ST_NOMEM ? ST_NOMEM : ST_SYNTAX, "\"d\": %s", reason.text);
}

static void decode_day(const json_t *value, struct session_result *result)
{
    struct span text = json_text_span(value);

    result->has_utc_day = text.len == UTC_DAY_TEXT_SIZE - 1 && utc_day_parse(text.at, &result->utc_day);
}

/* A log reader's id and its number of the result; both or none. */
static void decode_log_number(const json_t *id, const json_t *number, struct session_result *result)
{
    struct span text = json_text_span(id);
    struct cursor cursor;
    struct span digits;

    cursor_init(&cursor, text.at, text.len);
    digits = cursor_take_while(&cursor, "0123456789abcdef");
    if (digits.len != 16 || !cursor_at_end(&cursor) || !json_is_integer(number) ||
        json_integer_value(number) < 1)
        return;
    for (size_t i = 0; i < digits.len; i++) {
        char digit = digits.at[i];

        result->log_id = result->log_id << 4 | (uint64_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    if (result->log_id != 0)
        result->log_number = (uint64_t)json_integer_value(number);
}

static enum status decode_result(const json_t *root, struct arena *arena, struct session_result *result,
                                 struct err *err)
{
    struct datagram_decoder decoder = {.arena = arena};
    enum status status;

    if (!json_is_object(root))
        return err_set(err, ST_SYNTAX, "not a JSON object");
    status = check_version(json_object_get(root, "dpv"), err);
    if (status == ST_OK)
        status = decode_domain(json_object_get(root, "d"), arena, result, err);
    if (status != ST_OK)
        return status;
    decode_day(json_object_get(root, "utc-day"), result);
    decode_log_number(json_object_get(root, "log-id"), json_object_get(root, "log-number"), result);
    result->record = get_text(&decoder, root, "pr", detail_text_record);
    status = decode_policies(&decoder, json_object_get(root, "policies"), result, err);
    if (status == ST_OK && decoder.is_out_of_memory)
        status = err_set(err, ST_NOMEM, "datagram: out of memory");
    return status;
}

enum status datagram_decode(const void *bytes, size_t len, struct arena *arena,
                            struct session_result *result_out, struct err *err)
{
    struct session_result result = {0};
    json_t *root = NULL;
    enum status status;

    if (len == 0)
        return err_set(err, ST_SYNTAX, "empty datagram");
    status = check_bounds(bytes, len, err);
    if (status == ST_OK)
        status = load(arena, bytes, len, &root, &result.is_repaired, err);
    if (status == ST_OK)
        status = decode_result(root, arena, &result, err);
    if (status == ST_OK)
        *result_out = result;
    return status;
}
