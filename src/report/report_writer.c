/* SPDX-License-Identifier: MIT */
/*
 * Each policy and each detail is a small Jansson tree that is printed and freed at once; the braces and brackets
 * around them are written by hand, so that memory does not grow with the report.
 */
#include "report/report_writer.h"

#include <jansson.h>
#include <string.h>

#include "model/address.h"
#include "model/utc_day.h"
#include "report_text.h"

#define DUMP_FLAGS       (JSON_COMPACT | JSON_ENSURE_ASCII) /* R14 */
#define ORGANIZATION_MAX 1024
#define IDENTIFIER_MAX   1024 /* report-id, contact-info, domain names, addresses */
#define TEXT_BYTES_MAX   4096

/* ---- bytes out ---- */

static enum status flush(struct report_writer *writer, struct err *err)
{
    size_t used = writer->used;

    writer->used = 0;
    return used > 0 ? writer->sink->write(writer->sink->context, writer->buffer, used, err) : ST_OK;
}

static enum status put(struct report_writer *writer, const char *bytes, size_t len, struct err *err)
{
    enum status status = ST_OK;

    writer->total_bytes += len;
    if (len > sizeof writer->buffer - writer->used)
        status = flush(writer, err);
    if (status == ST_OK && len > sizeof writer->buffer)
        return writer->sink->write(writer->sink->context, bytes, len, err);
    if (status == ST_OK) {
        memcpy(writer->buffer + writer->used, bytes, len);
        writer->used += len;
    }
    return status;
}

static enum status put_text(struct report_writer *writer, const char *text, struct err *err)
{
    return put(writer, text, strlen(text), err);
}

struct dump {
    struct report_writer *writer;
    enum status status;
    struct err *err;
};

static int dump_bytes(const char *bytes, size_t len, void *data)
{
    struct dump *dump = data;

    dump->status = put(dump->writer, bytes, len, dump->err);
    return dump->status == ST_OK ? 0 : -1;
}

static enum status out_of_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "report: out of memory");
}

/* Write object, with or without its outer braces, and release it. NULL means that building it failed. */
static enum status put_object(struct report_writer *writer, json_t *object, size_t flags, struct err *err)
{
    struct dump dump = {.writer = writer, .status = ST_OK, .err = err};
    int code = object != NULL ? json_dump_callback(object, dump_bytes, &dump, DUMP_FLAGS | flags) : -1;

    json_decref(object);
    if (dump.status != ST_OK)
        return dump.status;
    return code == 0 ? ST_OK : out_of_memory(err);
}

/* ---- values ---- */

/* A JSON string of text as it may stand in a report; NULL and *is_failed_out if memory is out; NULL alone if
 * nothing is left of it (R32). */
static json_t *text_value(struct report_writer *writer, const char *text, size_t max_bytes,
                          bool *is_failed_out)
{
    json_t *value;

    strbuf_reset(&writer->text);
    if (text != NULL)
        report_text_clean(text, strlen(text), max_bytes, &writer->text);
    if (writer->text.len == 0 && !strbuf_is_failed(&writer->text))
        return NULL;
    value =
        strbuf_is_failed(&writer->text) ? NULL : json_stringn_nocheck(writer->text.data, writer->text.len);
    if (value == NULL)
        *is_failed_out = true;
    return value;
}

/* Set key unless text is unknown or empty (R32). */
static bool set_text(struct report_writer *writer, json_t *object, const char *key, const char *text,
                     size_t max_bytes)
{
    bool is_failed = false;
    json_t *value = text_value(writer, text, max_bytes, &is_failed);

    if (value == NULL)
        return !is_failed;
    return json_object_set_new_nocheck(object, key, value) == 0;
}

/* Counts are whole numbers from 0 to 2^31-1 (R26, R34). */
static bool set_count(struct report_writer *writer, json_t *object, const char *key, uint64_t count)
{
    if (count > REPORT_COUNT_MAX) {
        count = REPORT_COUNT_MAX;
        writer->summary.clamped++;
    }
    return json_object_set_new_nocheck(object, key, json_integer((json_int_t)count)) == 0;
}

/* An array of the list's texts.  If there are none: left out, unless receivers want the key (R20, R32). */
static bool set_list(struct report_writer *writer, json_t *object, const char *key,
                     const struct text_list *list, bool is_wanted)
{
    json_t *array = json_array();
    bool is_failed = array == NULL;

    for (size_t i = 0; i < list->count && i < POLICY_LINES_MAX && !is_failed; i++) {
        json_t *value = text_value(writer, list->items[i], POLICY_LINE_MAX, &is_failed);

        if (value != NULL && json_array_append_new(array, value) != 0)
            is_failed = true;
    }
    if (!is_failed && (is_wanted || json_array_size(array) > 0))
        is_failed = json_object_set_nocheck(object, key, array) != 0;
    json_decref(array);
    return !is_failed;
}

/* The object if all went well; else it is released and NULL comes back. */
static json_t *checked(json_t *object, bool is_complete)
{
    if (is_complete)
        return object;
    json_decref(object);
    return NULL;
}

/* ---- the report's head ---- */

/* R16: the whole UTC day, in RFC 3339 with Z. */
static json_t *date_range_new(struct report_writer *writer, int32_t utc_day)
{
    char begin[UTC_STAMP_TEXT_SIZE];
    char end[UTC_STAMP_TEXT_SIZE];
    json_t *object = json_object();

    utc_stamp_format(utc_day_begin_s(utc_day), begin);
    utc_stamp_format(utc_day_last_s(utc_day), end);
    return checked(object, object != NULL &&
                               set_text(writer, object, "start-datetime", begin, sizeof begin) &&
                               set_text(writer, object, "end-datetime", end, sizeof end));
}

static json_t *head_new(struct report_writer *writer, const struct report_meta *meta)
{
    json_t *object = json_object();

    return checked(
        object,
        object != NULL &&
            set_text(writer, object, "organization-name", meta->organization_name, ORGANIZATION_MAX) &&
            json_object_set_new_nocheck(object, "date-range", date_range_new(writer, meta->utc_day)) == 0 &&
            set_text(writer, object, "contact-info", meta->contact_info, IDENTIFIER_MAX) && /* R17 */
            set_text(writer, object, "report-id", meta->report_id, IDENTIFIER_MAX));        /* R18 */
}

enum status report_begin(struct report_writer *writer, const struct report_meta *meta,
                         const struct report_sink *sink, struct err *err)
{
    enum status status;

    *writer = (struct report_writer){.sink = sink};
    strbuf_init(&writer->text, TEXT_BYTES_MAX);
    status = put_text(writer, "{", err);
    if (status == ST_OK)
        status = put_object(writer, head_new(writer, meta), JSON_EMBED, err);
    if (status == ST_OK)
        status = put_text(writer, ",\"policies\":[", err); /* R15 */
    return status;
}

/* ---- policies ---- */

static json_t *policy_new(struct report_writer *writer, const struct policy *policy)
{
    json_t *object = json_object();
    static const struct text_list NONE = {0};
    const struct text_list *strings = policy->type == POLICY_NO_POLICY_FOUND ? &NONE : &policy->strings;
    bool is_complete =
        object != NULL &&
        set_text(writer, object, "policy-type", policy_type_name(policy->type), IDENTIFIER_MAX) && /* R19 */
        set_list(writer, object, "policy-string", strings, true) &&
        set_text(writer, object, "policy-domain", policy->domain, IDENTIFIER_MAX) && /* R31 */
        (policy->type != POLICY_STS ||
         set_list(writer, object, "mx-host", &policy->mx_hosts, false)); /* R22 */

    return checked(object, is_complete);
}

static json_t *summary_new(struct report_writer *writer, const struct session_counts *counts)
{
    json_t *object = json_object();

    return checked(object, object != NULL &&
                               set_count(writer, object, "total-successful-session-count", counts->success) &&
                               set_count(writer, object, "total-failure-session-count", counts->failure));
}

static json_t *policy_entry_new(struct report_writer *writer, const struct policy *policy,
                                const struct session_counts *counts)
{
    json_t *object = json_object();

    return checked(object,
                   object != NULL &&
                       json_object_set_new_nocheck(object, "policy", policy_new(writer, policy)) == 0 &&
                       json_object_set_new_nocheck(object, "summary", summary_new(writer, counts)) == 0);
}

static enum status close_policy(struct report_writer *writer, struct err *err)
{
    const char *tail = writer->is_in_details ? "]}" : "}";

    if (!writer->is_in_policy)
        return ST_OK;
    writer->is_in_policy = false;
    writer->is_in_details = false;
    return put_text(writer, tail, err);
}

enum status report_add_policy(struct report_writer *writer, const struct policy *policy,
                              const struct session_counts *counts, struct err *err)
{
    enum status status = close_policy(writer, err);

    if (status == ST_OK)
        status = put_text(writer, writer->summary.policies > 0 ? ",{" : "{", err);
    if (status == ST_OK)
        status = put_object(writer, policy_entry_new(writer, policy, counts), JSON_EMBED, err);
    if (status != ST_OK)
        return status;
    writer->is_in_policy = true;
    writer->summary.policies++;
    writer->summary.sessions.success += counts->success;
    writer->summary.sessions.failure += counts->failure;
    return ST_OK;
}

/* ---- details ---- */

/* R25: only what is an address, in its one form; strict receivers refuse anything else. */
static bool set_address(struct report_writer *writer, json_t *object, const char *key, const char *text)
{
    char canonical[ADDRESS_TEXT_SIZE];
    struct address address;

    if (text == NULL || !address_parse(text, strlen(text), &address))
        return true;
    address_format(&address, canonical);
    return set_text(writer, object, key, canonical, sizeof canonical);
}

/* scheme ":" and only the bytes that RFC 3986 allows; section 4.4 wants a URI here. */
static bool is_uri(const char *text)
{
    static const char ALPHA[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char REST[] = "0123456789-._~:/?#[]@!$&'()*+,;=%";
    size_t scheme = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-.");
    size_t at = 0;

    if (scheme == 0 || strchr(ALPHA, text[0]) == NULL || text[scheme] != ':' || text[scheme + 1] == '\0')
        return false;
    while (text[at] != '\0' && (strchr(ALPHA, text[at]) != NULL || strchr(REST, text[at]) != NULL))
        at++;
    return at <= DETAIL_URI_MAX && text[at] == '\0';
}

static json_t *detail_new(struct report_writer *writer, const struct failure_detail *detail,
                          uint64_t sessions)
{
    const char *uri = detail->additional_information;
    json_t *object = json_object();
    bool is_complete =
        object != NULL &&
        set_text(writer, object, "result-type", result_type_name(detail->result_type),
                 IDENTIFIER_MAX) && /* R23 */
        set_address(writer, object, "sending-mta-ip", detail->sending_mta_ip) &&
        set_text(writer, object, "receiving-mx-hostname", detail->receiving_mx_hostname, IDENTIFIER_MAX) &&
        set_text(writer, object, "receiving-mx-helo", detail->receiving_mx_helo, DETAIL_HELO_MAX) &&
        set_address(writer, object, "receiving-ip", detail->receiving_ip) &&
        set_count(writer, object, "failed-session-count", sessions) &&
        (uri == NULL || !is_uri(uri) ||
         set_text(writer, object, "additional-information", uri, DETAIL_URI_MAX)) &&
        set_text(writer, object, "failure-reason-code", detail->failure_reason_code,
                 DETAIL_REASON_MAX); /* R24 */

    return checked(object, is_complete);
}

enum status report_add_detail(struct report_writer *writer, const struct failure_detail *detail,
                              uint64_t sessions, struct err *err)
{
    enum status status;

    if (!writer->is_in_policy || sessions == 0)
        return err_set(err, ST_INTERNAL, "report: a detail without a policy or without sessions");
    status = put_text(writer, writer->is_in_details ? "," : ",\"failure-details\":[", err);
    if (status == ST_OK)
        status = put_object(writer, detail_new(writer, detail, sessions), 0, err);
    if (status != ST_OK)
        return status;
    writer->is_in_details = true;
    writer->summary.details++;
    writer->summary.failures[detail->result_type] += sessions;
    return ST_OK;
}

enum status report_end(struct report_writer *writer, struct err *err)
{
    enum status status;

    if (writer->summary.policies == 0)
        return err_set(err, ST_NOT_FOUND, "report: there is no policy to report about");
    status = close_policy(writer, err);
    if (status == ST_OK)
        status = put_text(writer, "]}", err);
    if (status == ST_OK)
        status = flush(writer, err);
    return status;
}

void report_done(struct report_writer *writer)
{
    strbuf_done(&writer->text);
}
