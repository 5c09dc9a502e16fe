/* SPDX-License-Identifier: MIT */
/*
 * report_tool: the stages report, compress and mail without a store or a network, for the tests in Python.
 *
 * Reads one JSON object a line and writes one JSON object a line.  In texts that stand for outside bytes each
 * character U+0001 to U+00FF is that byte, so that invalid UTF-8 can be given too.  See
 * tests/flow/report_tool.py.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/names.h"
#include "compress/gzip.h"
#include "mail/base64.h"
#include "mail/compose.h"
#include "mail/dkim.h"
#include "report/report_build.h"

#define BYTES_MAX ((size_t)256 << 20)

struct job {
    const json_t *request;
    struct arena arena;
    struct report_meta meta;
    struct strbuf json, gzip_bytes, mail, signature;
    struct gzip gzip;
    struct report_built built;
};

/* The bytes that a text stands for; NULL if it is not there. */
static const char *bytes_of(struct job *job, const json_t *text)
{
    const unsigned char *at = (const unsigned char *)json_string_value(text);
    char *out, *begin;

    if (at == NULL)
        return NULL;
    begin = out = arena_alloc(&job->arena, strlen((const char *)at) + 1);
    if (begin == NULL)
        abort();
    while (*at != '\0')
        if (*at < 0x80) {
            *out++ = (char)*at++;
        } else { /* U+0080 to U+00FF in UTF-8 */
            *out++ = (char)((at[0] & 3) << 6 | (at[1] & 0x3F));
            at += 2;
        }
    return begin;
}

static const char *text_of(struct job *job, const json_t *object, const char *key)
{
    return bytes_of(job, json_object_get(object, key));
}

static struct text_list list_of(struct job *job, const json_t *array)
{
    struct text_list list = {arena_alloc_array(&job->arena, json_array_size(array) + 1, sizeof(char *)),
                             json_array_size(array)};

    if (list.items == NULL)
        abort();
    for (size_t i = 0; i < list.count; i++)
        list.items[i] = bytes_of(job, json_array_get(array, i));
    return list;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* "repeat": N tells the detail N times, with a receiving_mx_hostname of its own each time. */
static enum status tell_detail(struct job *job, const json_t *row, const struct report_visitor *visitor,
                               struct err *err)
{
    struct failure_detail detail = {
        .sending_mta_ip = text_of(job, row, "sending_mta_ip"),
        .receiving_mx_hostname = text_of(job, row, "receiving_mx_hostname"),
        .receiving_mx_helo = text_of(job, row, "receiving_mx_helo"),
        .receiving_ip = text_of(job, row, "receiving_ip"),
        .additional_information = text_of(job, row, "additional_information"),
        .failure_reason_code = text_of(job, row, "failure_reason_code"),
    };
    uint64_t repeat = number_of(row, "repeat");
    enum status status = ST_OK;
    char name[64];

    if (!result_type_from_name(text_of(job, row, "result_type"), &detail.result_type))
        abort();
    for (uint64_t i = 0; i < (repeat > 0 ? repeat : 1) && status == ST_OK; i++) {
        if (repeat > 0) {
            (void)snprintf(name, sizeof name, "mx%06llu.a.example", (unsigned long long)i);
            detail.receiving_mx_hostname = name;
        }
        status = visitor->detail(visitor->context, &detail, number_of(row, "sessions"), err);
    }
    return status;
}

static enum status tell(void *context, const struct report_visitor *visitor, struct err *err)
{
    struct job *job = context;
    enum status status = ST_OK;
    const json_t *row, *detail;
    size_t i, k;

    json_array_foreach(json_object_get(job->request, "policies"), i, row)
    {
        struct policy policy = {.domain = text_of(job, row, "domain"),
                                .strings = list_of(job, json_object_get(row, "strings")),
                                .mx_hosts = list_of(job, json_object_get(row, "mx_hosts"))};
        struct session_counts counts = {number_of(row, "success"), number_of(row, "failure")};

        if (!policy_type_from_name(text_of(job, row, "type"), &policy.type))
            abort();
        if (status == ST_OK)
            status = visitor->policy(visitor->context, &policy, &counts, err);
        json_array_foreach(json_object_get(row, "details"), k, detail)
        {
            if (status == ST_OK)
                status = tell_detail(job, detail, visitor, err);
        }
    }
    return status;
}

/* A sink that keeps the JSON (unless the request says "quiet") and compresses it. */
static enum status sink_write(void *context, const char *bytes, size_t len, struct err *err)
{
    struct job *job = context;

    if (!json_is_true(json_object_get(job->request, "quiet")))
        strbuf_add(&job->json, bytes, len);
    return gzip_add(&job->gzip, bytes, len, err);
}

static enum status sink_restart(void *context, struct err *err)
{
    struct job *job = context;

    (void)err;
    strbuf_reset(&job->json);
    strbuf_reset(&job->gzip_bytes);
    gzip_begin(&job->gzip, &job->gzip_bytes);
    return ST_OK;
}

static enum status build(struct job *job, struct err *err)
{
    const struct report_source source = {tell, job};
    const struct report_sink sink = {sink_write, sink_restart, job};
    uint64_t max_bytes = number_of(job->request, "max_bytes");
    enum status status;

    status = gzip_open(&job->gzip, err);
    if (status != ST_OK)
        return status;
    gzip_begin(&job->gzip, &job->gzip_bytes);
    status =
        report_build(&job->meta, max_bytes > 0 ? max_bytes : UINT64_MAX, &source, &sink, &job->built, err);
    return status == ST_OK ? gzip_end(&job->gzip, err) : status;
}

static enum status sign(struct job *job, int64_t date_s, struct err *err)
{
    const json_t *list = json_object_get(job->request, "dkim_keys");
    struct dkim_key_setting settings[8];
    size_t count = json_array_size(list);
    struct dkim_keys *keys = NULL;
    enum status status = ST_OK;

    for (size_t i = 0; i < count && i < 8 && status == ST_OK; i++)
        status = dkim_key_parse(bytes_of(job, json_array_get(list, i)), &job->arena, &settings[i], err);
    if (status == ST_OK)
        status = dkim_keys_load(settings, count, text_of(job, job->request, "dkim_domain"), &keys, err);
    if (status == ST_OK)
        status = dkim_sign(keys, job->mail.data, job->mail.len, date_s, &job->signature, err);
    dkim_keys_free(&keys);
    return status;
}

static enum status compose(struct job *job, struct err *err)
{
    struct mail_parts parts = {
        .meta = &job->meta,
        .summary = &job->built.summary,
        .from = text_of(job, job->request, "from"),
        .to = text_of(job, job->request, "to"),
        .message_id = text_of(job, job->request, "message_id"),
        .file_name = text_of(job, job->request, "file_name"),
        .date_s = (int64_t)number_of(job->request, "date_s"),
        .gzip = job->gzip_bytes.data,
        .gzip_len = job->gzip_bytes.len,
    };
    enum status status = mail_compose(&parts, &job->mail, err);

    if (status == ST_OK && json_object_get(job->request, "dkim_keys") != NULL)
        status = sign(job, parts.date_s, err);
    return status;
}

static void answer(struct job *job, enum status status, const struct err *err)
{
    struct strbuf base64, mail;
    json_t *reply = json_pack(
        "{s:s, s:s#, s:I, s:I}", "status", status_name(status), "report",
        job->json.len > 0 ? job->json.data : "{}", (int)(job->json.len > 0 ? job->json.len : 2), "folded",
        (json_int_t)job->built.summary.folded, "json_bytes", (json_int_t)job->built.json_bytes);

    strbuf_init(&base64, BYTES_MAX * 2);
    strbuf_init(&mail, BYTES_MAX);
    strbuf_add(&mail, job->signature.data, job->signature.len);
    strbuf_add(&mail, job->mail.data, job->mail.len);
    base64_encode(mail.data, mail.len, 0, "", &base64);
    if (status == ST_OK)
        (void)json_object_set_new(reply, "mail", json_stringn(base64.data, base64.len));
    else
        (void)json_object_set_new(reply, "error", json_string_nocheck(err->text));
    strbuf_reset(&base64);
    base64_encode(job->gzip_bytes.data, job->gzip_bytes.len, 0, "", &base64);
    (void)json_object_set_new(reply, "gzip", json_stringn(base64.data, base64.len));
    (void)json_dumpf(reply, stdout, JSON_COMPACT);
    (void)puts("");
    json_decref(reply);
    strbuf_done(&base64);
    strbuf_done(&mail);
}

static void run(const json_t *request)
{
    struct job job = {.request = request};
    struct err err = {0};
    enum status status;

    arena_init(&job.arena, BYTES_MAX);
    strbuf_init(&job.json, BYTES_MAX);
    strbuf_init(&job.gzip_bytes, BYTES_MAX);
    strbuf_init(&job.mail, BYTES_MAX);
    strbuf_init(&job.signature, 65536);
    job.meta = (struct report_meta){
        .organization_name = text_of(&job, request, "organization_name"),
        .contact_info = text_of(&job, request, "contact_info"),
        .submitter = text_of(&job, request, "submitter"),
        .domain = text_of(&job, request, "domain"),
        .report_id = text_of(&job, request, "report_id"),
        .utc_day = (int32_t)number_of(request, "utc_day"),
    };
    status = build(&job, &err);
    if (status == ST_OK && json_object_get(request, "to") != NULL)
        status = compose(&job, &err);
    answer(&job, status, &err);
    gzip_close(&job.gzip);
    arena_done(&job.arena);
    strbuf_done(&job.json);
    strbuf_done(&job.gzip_bytes);
    strbuf_done(&job.mail);
    strbuf_done(&job.signature);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getline(&line, &size, stdin)) > 0) {
        json_t *request = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, NULL);

        if (request == NULL) {
            (void)fprintf(stderr, "report_tool: not JSON: %.60s\n", line);
            return 1;
        }
        run(request);
        json_decref(request);
    }
    free(line);
    return 0;
}
