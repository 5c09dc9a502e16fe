/* SPDX-License-Identifier: MIT */
#include "cmd/deliver_mail.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cursor.h"
#include "cmd/report_mail.h"
#include "deliver/smtp.h"
#include "model/domain.h"

#define SMTP_PORT 25

/* Reports and messages of one batch together. */
#define BATCH_ARENA_MAX (1u << 30)

struct mail_batch {
    struct courier_item *items;
    size_t count;
    struct arena arena; /* reports */
    struct strbuf messages[SMTP_BATCH_MAX];
    struct smtp_mail mails[SMTP_BATCH_MAX];
};

struct mail_run {
    struct courier *courier;
    struct courier_item *items;
    size_t count;
    size_t next; /* first item that is in no batch yet */
    struct smtp_target target;
    char host[DOMAIN_NAME_MAX + 1];
    char ehlo_name[HOST_NAME_MAX + 1];
};

static void batch_free(struct mail_batch *batch)
{
    for (size_t i = 0; i < SMTP_BATCH_MAX; i++)
        strbuf_done(&batch->messages[i]);
    arena_done(&batch->arena);
    free(batch);
}

static struct mail_batch *batch_new(struct courier_item *items, size_t count)
{
    struct mail_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return NULL;
    batch->items = items;
    batch->count = count < SMTP_BATCH_MAX ? count : SMTP_BATCH_MAX;
    arena_init(&batch->arena, BATCH_ARENA_MAX);
    for (size_t i = 0; i < SMTP_BATCH_MAX; i++)
        strbuf_init(&batch->messages[i], REPORT_MAIL_MAX);
    return batch;
}

/* Make the message again from what was frozen: the same bytes at every try (R66). */
static enum status compose(struct mail_run *run, const struct courier_item *item, struct strbuf *out,
                           struct err *err)
{
    const struct ledger_report *report = &item->report;
    const char *at_sign = strrchr(report->contact_info, '@');
    struct report_summary summary;
    struct report_meta meta = {
        .organization_name = report->organization_name,
        .contact_info = report->contact_info,
        .submitter = at_sign != NULL ? at_sign + 1 : "",
        .domain = report->domain,
        .report_id = report->report_id,
        .utc_day = report->utc_day,
    };
    struct mail_parts parts = {
        .meta = &meta,
        .summary = &summary,
        .from = report->from,
        .to = item->row.rua,
        .message_id = item->row.message_id,
        .date_s = report->created_at_s,
        .file_name = report->file_name,
        .gzip = report->gzip,
        .gzip_len = report->gzip_len,
    };
    enum status status = report_summary_parse(report->note, &summary, err);

    return status == ST_OK ? report_mail_write(run->courier->generator, &parts, out, err) : status;
}

/* A message that cannot be made is a failed delivery of that one; the rest of the batch goes on. */
static void compose_batch(struct mail_run *run, struct mail_batch *batch, struct smtp_batch *batch_out)
{
    size_t made = 0;

    for (size_t i = 0; i < batch->count; i++) {
        struct courier_item *item = &batch->items[i];
        struct outcome outcome;
        struct err err;

        if (compose(run, item, &batch->messages[i], &err) != ST_OK) {
            outcome_set(&outcome, OUTCOME_TRY_LATER, OUTCOME_AT_START, 0, "%s", err.text);
            courier_record(run->courier, item, &outcome);
            continue;
        }
        batch->mails[made++] = (struct smtp_mail){
            .id = item - run->items,
            .envelope_from = item->report.envelope_from,
            .recipient = item->row.rua,
            .bytes = batch->messages[i].data,
            .len = batch->messages[i].len,
        };
    }
    *batch_out = (struct smtp_batch){
        .targets = &run->target, .target_count = 1, .mails = batch->mails, .count = made, .owner = batch};
}

static bool next_batch(void *context, struct smtp_batch *batch_out)
{
    struct mail_run *run = context;

    while (run->next < run->count) {
        struct mail_batch *batch = batch_new(run->items + run->next, run->count - run->next);

        if (batch == NULL || !courier_begin(run->courier, batch->items, batch->count, &batch->arena)) {
            if (batch != NULL)
                batch_free(batch);
            return false;
        }
        run->next += batch->count;
        compose_batch(run, batch, batch_out);
        if (batch_out->count > 0)
            return true;
        batch_free(batch);
    }
    return false;
}

static void take_outcome(void *context, int64_t id, const struct outcome *outcome)
{
    struct mail_run *run = context;

    courier_record(run->courier, &run->items[id], outcome);
}

static void settle(void *context)
{
    struct mail_run *run = context;

    courier_commit(run->courier);
}

static void finish_batch(void *context, const struct smtp_batch *batch)
{
    (void)context;
    batch_free(batch->owner);
}

/* "host" or "host:port", as the options table has checked. */
static void set_target(struct mail_run *run, const char *relay)
{
    struct cursor cursor;
    struct span host;

    cursor_init(&cursor, relay, strlen(relay));
    host = cursor_take_until(&cursor, ":");
    memcpy(run->host, host.at, host.len);
    run->host[host.len] = '\0';
    if (gethostname(run->ehlo_name, sizeof run->ehlo_name - 1) != 0)
        (void)strcpy(run->ehlo_name, "localhost");
    run->target = (struct smtp_target){
        .host = run->host,
        .port =
            cursor_skip_word(&cursor, ":") ? (uint16_t)cursor_take_number(&cursor, UINT16_MAX) : SMTP_PORT,
        .address = "",
        .ehlo_name = run->ehlo_name,
        .tls = SMTP_TLS_OPPORTUNISTIC,
        .ca_file = "",
        .user = "",
        .password = "",
    };
}

enum status deliver_mail(struct courier *courier, struct err *err)
{
    struct mail_run run = {.courier = courier};
    struct smtp_hooks hooks = {.context = &run,
                               .next = next_batch,
                               .outcome = take_outcome,
                               .settled = settle,
                               .batch_done = finish_batch};
    char worker[PATH_MAX];
    enum status status;

    run.items = courier_items_of(courier, DELIVERY_MAIL, &run.count);
    if (run.count == 0)
        return ST_OK;
    status = smtp_find_worker(worker, sizeof worker, err);
    if (status != ST_OK)
        return status;
    set_target(&run, courier->generator->config->relay);
    status = smtp_deliver(worker, &SMTP_LIMITS_DEFAULT, &hooks, err);
    courier_commit(courier);
    if (status == ST_OK && courier->status != ST_OK) {
        *err = courier->err;
        status = courier->status;
    }
    return status;
}
