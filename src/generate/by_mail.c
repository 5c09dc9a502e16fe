/* SPDX-License-Identifier: MIT */
/*
 * How it works.  The queue says which item may be sent next.  smtp_deliver asks for batches (next_batch):
 * what one connection carries, for the relay any items, for direct delivery items of one mailbox domain.  A
 * batch is taken from the queue, marked in the ledger, and its messages are composed from the frozen
 * reports.  smtp_deliver gives the result of each mail (take_result) and says when a connection ends
 * (finish_batch).
 */
#include "by_mail.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "app/log_events.h"
#include "deliver/queue.h"
#include "deliver/smtp.h"
#include "mail_targets.h"
#include "report_mail.h"

/* Reports and messages of one batch together. */
#define BATCH_ARENA_MAX (1u << 30)

/* Circuit breaker: failed sessions in a row with the relay; failed mails to a domain's hosts. */
#define FAILURES_MAX 5

/* Sessions at once with the hosts of one mailbox domain. */
#define DIRECT_AT_ONCE 2

/* Most bytes for one connection; the worker takes twice as much. */
#define BATCH_BYTES_MAX (128u << 20)

/* The id of a copy is the id of its mail plus this. */
#define COPY_ID (INT64_C(1) << 40)

struct mail_batch {
    struct delivery_item *items[SMTP_BATCH_MAX];
    size_t count;
    size_t attempt;     /* the item that represents the connection in the queue */
    struct arena arena; /* reports */
    struct strbuf messages[SMTP_BATCH_MAX];
    struct smtp_mail mails[SMTP_BATCH_MAX];
};

struct mail_run {
    struct delivery *delivery;
    struct delivery_item *items;
    size_t count;
    struct queue queue;
    struct mail_targets targets;
    unsigned relay_failures; /* sessions in a row that did not get as far as MAIL FROM */
};

/* ---- batches ---- */

static void batch_free(struct mail_batch *batch)
{
    for (size_t i = 0; i < SMTP_BATCH_MAX; i++)
        strbuf_done(&batch->messages[i]);
    arena_done(&batch->arena);
    free(batch);
}

static struct mail_batch *batch_new(void)
{
    struct mail_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return NULL;
    arena_init(&batch->arena, BATCH_ARENA_MAX);
    for (size_t i = 0; i < SMTP_BATCH_MAX; i++)
        strbuf_init(&batch->messages[i], REPORT_MAIL_MAX);
    return batch;
}

static void settle_item(struct mail_run *run, struct delivery_item *item,
                        const struct delivery_result *result)
{
    delivery_record(run->delivery, item, result);
    queue_settle(&run->queue, (size_t)(item - run->items), result->kind);
}

/* An item that was taken goes into the batch, unless its mailbox is suppressed. */
static void add_item(struct mail_run *run, struct mail_batch *batch, size_t index)
{
    struct delivery_item *item = &run->items[index];

    if (delivery_is_suppressed(run->delivery, item))
        delivery_record_suppressed(run->delivery, item);
    else
        batch->items[batch->count++] = item;
}

/* Fill a batch; false if nothing can be started now. */
static bool fill(struct mail_run *run, struct mail_batch *batch)
{
    bool is_direct = run->targets.is_direct;
    size_t most = *run->delivery->generator->config->bcc != '\0' ? SMTP_BATCH_MAX / 2 : SMTP_BATCH_MAX;
    size_t index;

    while (batch->count == 0) {
        if (!queue_take(&run->queue, &index))
            return false;
        batch->attempt = index;
        add_item(run, batch, index);
        while (batch->count < most && (is_direct ? queue_take_along(&run->queue, batch->attempt, &index)
                                                 : queue_take(&run->queue, &index)))
            add_item(run, batch, index);
        if (batch->count == 0)
            queue_release(&run->queue, batch->attempt);
    }
    return true;
}

/* Compose the message from what was frozen: the same bytes at every try (R66). */
static enum status compose(struct mail_run *run, const struct delivery_item *item, struct strbuf *out,
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

    return status == ST_OK ? report_mail_write(run->delivery->generator, &parts, out, err) : status;
}

/* A copy is sent once, with the first try. */
static bool wants_copy(const struct mail_run *run, const struct delivery_item *item)
{
    return *run->delivery->generator->config->bcc != '\0' && item->row.tries == 0;
}

/* The batch is full before this message: it waits for the next run, without a try. */
static void put_back(struct mail_run *run, struct delivery_item *item, struct strbuf *message)
{
    strbuf_done(message);
    delivery_put_back(run->delivery, item);
    queue_settle(&run->queue, (size_t)(item - run->items),
                 DELIVERY_RESULT_DELIVERED); /* its host did not fail */
}

/* If one message cannot be composed, only its delivery fails. */
static void compose_batch(struct mail_run *run, struct mail_batch *batch, struct smtp_batch *batch_out)
{
    const struct mail_route *route = mail_targets_of(&run->targets, batch->items[0]);
    size_t made = 0;
    size_t bytes = 0;

    for (size_t i = 0; i < batch->count; i++) {
        struct delivery_item *item = batch->items[i];
        struct delivery_result result = route->fault;
        struct err err;

        if (route->target_count == 0) {
            settle_item(run, item, &result);
            continue;
        }
        if (compose(run, item, &batch->messages[i], &err) != ST_OK) {
            delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_START, 0, "%s", err.text);
            settle_item(run, item, &result);
            continue;
        }
        bytes += batch->messages[i].len;
        if (made > 0 && bytes > BATCH_BYTES_MAX) {
            put_back(run, item, &batch->messages[i]);
            continue;
        }
        batch->mails[made++] = (struct smtp_mail){
            .id = item - run->items,
            .envelope_from = item->report.envelope_from,
            .recipient = item->row.rua,
            .bytes = batch->messages[i].data,
            .len = batch->messages[i].len,
        };
        if (wants_copy(run, item)) {
            batch->mails[made] = batch->mails[made - 1];
            batch->mails[made].id += COPY_ID;
            batch->mails[made++].recipient = run->delivery->generator->config->bcc;
        }
    }
    *batch_out = (struct smtp_batch){.targets = route->targets,
                                     .target_count = route->target_count,
                                     .mails = batch->mails,
                                     .count = made,
                                     .owner = batch};
}

/* ---- hooks of smtp_deliver ---- */

static bool next_batch(void *context, struct smtp_batch *batch_out)
{
    struct mail_run *run = context;

    while (run->relay_failures < FAILURES_MAX && !generator_is_stopping) {
        struct mail_batch *batch = batch_new();

        if (batch == NULL)
            return false;
        if (!fill(run, batch) || !delivery_begin(run->delivery, batch->items, batch->count, &batch->arena)) {
            batch_free(batch);
            return false;
        }
        compose_batch(run, batch, batch_out);
        if (batch_out->count > 0)
            return true;
        queue_release(&run->queue, batch->attempt);
        batch_free(batch);
    }
    return false;
}

static void take_result(void *context, int64_t id, const struct delivery_result *result)
{
    struct mail_run *run = context;

    if (id < COPY_ID)
        settle_item(run, &run->items[id], result);
    else if (result->kind != DELIVERY_RESULT_DELIVERED)
        LOG_FACT(EV_COPY_FAILED, log_text("domain", run->items[id - COPY_ID].row.domain),
                 log_text("rua", run->items[id - COPY_ID].row.rua), log_text("reply", result->text));
}

static void settle(void *context)
{
    struct mail_run *run = context;

    delivery_commit(run->delivery);
}

static bool has_sent_a_mail(const struct mail_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i]->reached >= DELIVERY_AT_MAIL)
            return true;
    return false;
}

static void finish_batch(void *context, const struct smtp_batch *batch)
{
    struct mail_run *run = context;
    struct mail_batch *ours = batch->owner;

    if (!run->targets.is_direct)
        run->relay_failures = has_sent_a_mail(ours) ? 0 : run->relay_failures + 1;
    queue_release(&run->queue, ours->attempt);
    batch_free(ours);
}

/* ---- the run ---- */

static const char *host_of(void *context, size_t index)
{
    const struct mail_run *run = context;

    return run->items[index].row.host;
}

/* The relay's answer to a mail says nothing about the mailbox's host; only sessions with it can fail. */
static enum status open_queue(struct mail_run *run, struct err *err)
{
    struct queue_limits limits = run->targets.is_direct
                                     ? delivery_limits(run->delivery, DIRECT_AT_ONCE, FAILURES_MAX)
                                     : delivery_limits(run->delivery, 0, 0);

    return queue_open(&run->queue, &limits, run->count, host_of, run, err);
}

static enum status mail_all(struct mail_run *run, struct err *err)
{
    const struct smtp_hooks hooks = {.context = run,
                                     .next = next_batch,
                                     .result = take_result,
                                     .settled = settle,
                                     .batch_done = finish_batch};
    struct smtp_limits limits = SMTP_LIMITS_DEFAULT;
    char worker[PATH_MAX];
    enum status status = smtp_find_worker(worker, sizeof worker, err);

    limits.stop_at_ms = run->delivery->stop_at_ms;
    if (status == ST_OK)
        status = smtp_deliver(worker, &limits, &hooks, err);
    delivery_commit(run->delivery);
    delivery_log_left(&run->queue, DELIVERY_MAIL);
    if (status == ST_OK && run->delivery->status != ST_OK) {
        *err = run->delivery->err;
        status = run->delivery->status;
    }
    return status;
}

enum status deliver_mail(struct delivery *delivery, struct err *err)
{
    struct mail_run run = {.delivery = delivery};
    enum status status;

    run.items = delivery_items_of(delivery, DELIVERY_MAIL, &run.count);
    if (run.count == 0)
        return ST_OK;
    status = mail_targets_open(&run.targets, delivery->generator, run.items, run.count, err);
    if (status == ST_OK)
        status = open_queue(&run, err);
    if (status == ST_OK)
        status = mail_all(&run, err);
    queue_close(&run.queue);
    mail_targets_close(&run.targets);
    return status;
}
