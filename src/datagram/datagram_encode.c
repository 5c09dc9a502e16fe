/* SPDX-License-Identifier: MIT */
/*
 * Builds a Jansson tree and prints it compactly.  A failed allocation sets one flag that is checked at the end.
 */
#include <inttypes.h>
#include <jansson.h>

#include "datagram/datagram.h"
#include "model/utc_day.h"

/* Put value under key and take it; a NULL value (out of memory) makes the whole object fail at the end. */
static void set(json_t *object, const char *key, json_t *value, bool *is_failed)
{
    if (json_object_set_new(object, key, value) != 0)
        *is_failed = true;
}

static void set_text(json_t *object, const char *key, const char *text, bool *is_failed)
{
    if (text != NULL)
        set(object, key, json_string(text), is_failed);
}

static void set_list(json_t *object, const char *key, const struct text_list *list, bool *is_failed)
{
    json_t *array;

    if (list->count == 0)
        return;
    array = json_array();
    for (size_t i = 0; i < list->count; i++)
        if (json_array_append_new(array, json_string(list->items[i])) != 0)
            *is_failed = true;
    set(object, key, array, is_failed);
}

static json_t *detail_object(const struct failure_detail *detail, bool *is_failed)
{
    json_t *object = json_object();

    set(object, "c", json_integer(result_type_code(detail->result_type)), is_failed);
    set_text(object, "s", detail->sending_mta_ip, is_failed);
    set_text(object, "n", detail->receiving_mx_hostname, is_failed);
    if (detail->receiving_mx_helo != NULL) /* a reply line, so that a name like 250-mx.example survives */
        set(object, "h", json_sprintf("250 %s", detail->receiving_mx_helo), is_failed);
    set_text(object, "r", detail->receiving_ip, is_failed);
    set_text(object, "a", detail->additional_information, is_failed);
    set_text(object, "f", detail->failure_reason_code, is_failed);
    return object;
}

static json_t *details_array(const struct result_policy *policy, bool *is_failed)
{
    json_t *array = json_array();

    for (size_t i = 0; i < policy->detail_count; i++)
        if (json_array_append_new(array, detail_object(&policy->details[i], is_failed)) != 0)
            *is_failed = true;
    return array;
}

static json_t *policy_object(const struct result_policy *policy, bool *is_failed)
{
    json_t *object = json_object();

    set(object, "policy-type", json_integer(policy_type_code(policy->policy.type)), is_failed);
    set_text(object, "policy-domain", policy->policy.domain, is_failed);
    set_list(object, "policy-string", &policy->policy.strings, is_failed);
    set_list(object, "mx-host", &policy->policy.mx_hosts, is_failed);
    if (policy->detail_count > 0)
        set(object, "failure-details", details_array(policy, is_failed), is_failed);
    set(object, "t", json_integer((json_int_t)policy->detail_count), is_failed);
    set(object, "f", json_integer(policy->is_failed ? 1 : 0), is_failed);
    return object;
}

static json_t *result_object(const struct session_result *result, bool *is_failed)
{
    json_t *object = json_object();
    json_t *policies = json_array();

    set_text(object, "dpv", "1", is_failed);
    set_text(object, "d", result->domain, is_failed);
    set_text(object, "pr", result->record, is_failed);
    for (size_t i = 0; i < result->policy_count; i++)
        if (json_array_append_new(policies, policy_object(&result->policies[i], is_failed)) != 0)
            *is_failed = true;
    set(object, "policies", policies, is_failed);
    if (result->has_utc_day) {
        char day[UTC_DAY_TEXT_SIZE];

        utc_day_format(result->utc_day, day);
        set_text(object, "utc-day", day, is_failed);
    }
    if (result->log_id != 0) {
        set(object, "log-id", json_sprintf("%016" PRIx64, result->log_id), is_failed);
        set(object, "log-number", json_integer((json_int_t)result->log_number), is_failed);
    }
    return object;
}

static int add_piece(const char *piece, size_t len, void *context)
{
    strbuf_add(context, piece, len);
    return 0;
}

enum status datagram_encode(const struct session_result *result, struct strbuf *out, struct err *err)
{
    bool is_failed = false;
    json_t *object = result_object(result, &is_failed);
    enum status status = ST_OK;

    if (is_failed || object == NULL || json_dump_callback(object, add_piece, out, JSON_COMPACT) != 0 ||
        strbuf_lacks_memory(out))
        status = err_set(err, ST_NOMEM, "datagram: out of memory");
    else if (strbuf_is_failed(out))
        status = err_set(err, ST_RANGE, "datagram is longer than %zu bytes", out->max_bytes);
    json_decref(object);
    return status;
}
