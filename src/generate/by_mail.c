/* SPDX-License-Identifier: MIT */
/*
 * How it works.  A slot of the scheduler is one SMTP session.  With a relay it carries any mails, in direct mode those
 * to one mailbox domain, whose mail hosts were looked up before (mail_route.c).
 *
 * 1. start: take rows for one session from the scheduler, mark them, and compose their messages from the frozen
 *    reports: the same bytes at every try (R66).
 * 2. flush: when the marks are on the disk, give the batch to a worker process.
 * 3. collect: take the result of each mail, and give back the slot when the session has ended.
 *
 * If a session breaks before its first mail, the failure is recorded for one row (with a relay, for none); the others
 * wait for another session of this run, or for the next run.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "deliver/smtp.h"
#include "lane.h"
#include "mail_route.h"
#include "report_mail.h"

#define RELAY_SESSIONS  4
#define DIRECT_SESSIONS 16
#define DIRECT_LOOKUPS  16         /* each may ask for the addresses of five mail hosts */
#define BATCH_BYTES_MAX (8u << 20) /* of one session's messages together, unless one alone is larger */
#define BATCH_MS        300000     /* the longest that one session may take, all its targets together */

/* The id of a copy is the id of its mail plus this. */
#define COPY_ID (INT64_C(1) << 40)

struct mail_batch {
    uint32_t slot;
    uint32_t rows[SMTP_BATCH_MAX];
    size_t row_count;
    struct strbuf messages[SMTP_BATCH_MAX];
    struct smtp_mail mails[SMTP_BATCH_MAX];
    size_t mail_count;
    struct mail_route route;
    struct mail_batch *next; /* that waits for the commit of its marks */
};

struct mail_lane {
    struct mail_routes *routes;
    struct smtp_limits limits;
    struct smtp_pool *pool;
    struct mail_batch *waiting;
    char worker[PATH_MAX];
};

static struct mail_lane *mail_of(const struct lane *lane)
{
    return lane->transport;
}

/* ---- lookups ---- */

static void look_up(struct lane *lane, const struct scheduler_start *start)
{
    mail_routes_look_up(mail_of(lane)->routes, lane, start);
}

/* ---- 1. a session's mails ---- */

static void batch_free(struct mail_batch *batch)
{
    for (size_t i = 0; i < SMTP_BATCH_MAX; i++)
        strbuf_done(&batch->messages[i]);
    free(batch);
}

static struct mail_batch *batch_new(uint32_t slot)
{
    struct mail_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return NULL;
    batch->slot = slot;
    for (size_t i = 0; i < SMTP_BATCH_MAX; i++)
        strbuf_init(&batch->messages[i], REPORT_MAIL_MAX);
    return batch;
}

static enum status compose(struct lane *lane, const struct delivery_item *item, struct strbuf *out,
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

    return status == ST_OK ? report_mail_write(lane->generator, &parts, out, err) : status;
}

/* A copy is sent once, with the first try. */
static bool wants_copy(const struct lane *lane, const struct delivery_item *item)
{
    return *lane->generator->config->bcc != '\0' && item->row.first_at_s == 0 && !item->is_copied;
}

/* A copy goes in front of its mail: the mail's result ends the row, and with it the texts that are logged. */
static void add_mail(struct lane *lane, struct mail_batch *batch, uint32_t row)
{
    const struct delivery_item *item = lane->items[row];
    const struct strbuf *message = &batch->messages[batch->row_count];
    const struct smtp_mail mail = {.id = row,
                                   .envelope_from = item->report.envelope_from,
                                   .recipient = item->row.rua,
                                   .bytes = message->data,
                                   .len = message->len};

    batch->rows[batch->row_count++] = row;
    if (wants_copy(lane, item)) {
        batch->mails[batch->mail_count] = mail;
        batch->mails[batch->mail_count].id += COPY_ID;
        batch->mails[batch->mail_count++].recipient = lane->generator->config->bcc;
    }
    batch->mails[batch->mail_count++] = mail;
}

/* Add a started row; if its message cannot be composed, only this delivery fails.  Returns the message's bytes. */
static size_t add_row(struct lane *lane, struct mail_batch *batch, uint32_t row)
{
    struct delivery_item *item = lane->items[row];
    struct strbuf *message = &batch->messages[batch->row_count];
    struct delivery_result result;
    struct err err;

    if (!lane_begin(lane, row))
        return 0;
    if (compose(lane, item, message, &err) == ST_OK) {
        add_mail(lane, batch, row);
        return message->len;
    }
    strbuf_done(message);
    strbuf_init(message, REPORT_MAIL_MAX);
    delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_START, 0, "%s", err.text);
    lane_result(lane, row, &result);
    return 0;
}

static void fill(struct lane *lane, struct mail_batch *batch, const struct scheduler_start *first)
{
    size_t most = *lane->generator->config->bcc != '\0' ? SMTP_BATCH_MAX / 2 : SMTP_BATCH_MAX;
    size_t bytes = add_row(lane, batch, first->row);
    struct scheduler_start along;

    while (batch->row_count < most && bytes < BATCH_BYTES_MAX && lane->delivery->status == ST_OK &&
           scheduler_next_along(lane->scheduler, first->slot, &along))
        bytes += add_row(lane, batch, along.row);
}

static void start(struct lane *lane, const struct scheduler_start *start)
{
    struct mail_lane *mail = mail_of(lane);
    struct mail_batch *batch = batch_new(start->slot);

    if (batch == NULL) {
        scheduler_result(lane->scheduler, start->row, SCHEDULER_UNTRIED);
        scheduler_release(lane->scheduler, start->slot);
        lane->delivery->status = err_set(&lane->delivery->err, ST_NOMEM, "deliveries: out of memory");
        return;
    }
    batch->route = *mail_routes_find(mail->routes, start->destination);
    fill(lane, batch, start);
    if (batch->row_count == 0) {
        scheduler_release(lane->scheduler, start->slot);
        batch_free(batch);
        return;
    }
    batch->next = mail->waiting;
    mail->waiting = batch;
    lane->has_starts = true;
}

/* ---- 2. to the workers ---- */

static void flush(struct lane *lane)
{
    struct mail_lane *mail = mail_of(lane);
    const int64_t limit_ms = clock_monotonic_ms() + BATCH_MS;
    const int64_t deadline_ms = limit_ms < lane->end_at_ms ? limit_ms : lane->end_at_ms;

    lane->has_starts = false;
    while (mail->waiting != NULL) {
        struct mail_batch *batch = mail->waiting;

        mail->waiting = batch->next;
        smtp_start(mail->pool, &(struct smtp_batch){.targets = batch->route.targets,
                                                    .target_count = batch->route.target_count,
                                                    .mails = batch->mails,
                                                    .count = batch->mail_count,
                                                    .deadline_ms = deadline_ms,
                                                    .owner = batch});
    }
}

static size_t prepare(struct lane *lane, struct pollfd *fds_out, int *wait_ms_out)
{
    return smtp_prepare(mail_of(lane)->pool, fds_out, wait_ms_out);
}

static void step(struct lane *lane, const struct pollfd *fds, size_t count)
{
    smtp_step(mail_of(lane)->pool, fds, count);
}

/* ---- 3. results ---- */

static void take_copy(struct lane *lane, uint32_t row, const struct delivery_result *result)
{
    struct delivery_item *item = lane->items[row];

    if (item != NULL)
        item->is_copied = result->kind == DELIVERY_RESULT_DELIVERED;
    if (result->kind != DELIVERY_RESULT_DELIVERED && item != NULL)
        LOG_FACT(EV_COPY_FAILED, log_text("domain", item->row.domain), log_text("rua", item->row.rua),
                 log_text("reply", result->text));
}

/* A session with the relay that did not get as far as a mail says nothing about any of them. */
static bool is_relay_failure(const struct lane *lane, const struct delivery_result *result)
{
    return lane->settings.is_relay && result->kind == DELIVERY_RESULT_TRY_LATER &&
           result->stage < DELIVERY_AT_MAIL && !result->is_in_doubt;
}

static void take_untried(struct lane *lane, uint32_t row, const struct delivery_result *result)
{
    if (lane->settings.is_relay)
        memcpy(lane->trouble, result->text, sizeof lane->trouble);
    lane_untried(lane, row, result->text);
}

static void collect(struct lane *lane)
{
    struct mail_lane *mail = mail_of(lane);
    struct delivery_result result;
    struct mail_batch *batch;
    int64_t id;

    while (smtp_take(mail->pool, &id, &result)) {
        if (id >= COPY_ID)
            take_copy(lane, (uint32_t)(id - COPY_ID), &result);
        else if (result.is_untried || is_relay_failure(lane, &result))
            take_untried(lane, (uint32_t)id, &result);
        else
            lane_result(lane, (uint32_t)id, &result);
    }
    while ((batch = smtp_finish(mail->pool)) != NULL) {
        scheduler_release(lane->scheduler, batch->slot);
        batch_free(batch);
    }
}

static void end(struct lane *lane, const char *reason)
{
    struct mail_lane *mail = mail_of(lane);

    while (mail->waiting != NULL) {
        struct mail_batch *batch = mail->waiting;

        mail->waiting = batch->next;
        for (size_t i = 0; i < batch->row_count; i++)
            lane_untried(lane, batch->rows[i], reason);
        scheduler_release(lane->scheduler, batch->slot);
        batch_free(batch);
    }
    smtp_end(mail->pool, reason);
}

/* ---- the lane ---- */

static enum status open_mail(struct lane *lane, struct err *err)
{
    struct mail_lane *mail = calloc(1, sizeof *mail);
    bool is_relay = lane->generator->config->smtp_mode != CONFIG_SMTP_DIRECT;
    enum status status;

    lane->transport = mail;
    if (mail == NULL)
        return err_set(err, ST_NOMEM, "deliveries: out of memory");
    if (is_relay) {
        lane->settings.is_relay = true;
        lane->settings.slots = RELAY_SESSIONS;
        lane->settings.destination_slots_first = lane->settings.destination_slots = 1;
        lane->settings.lookups = 0;
    }
    mail->limits = SMTP_LIMITS_DEFAULT;
    mail->limits.connections = lane->settings.slots;
    status =
        mail_routes_open(&mail->routes, lane->generator, scheduler_destinations_max(&lane->settings), err);
    if (status == ST_OK)
        status = smtp_find_worker(mail->worker, sizeof mail->worker, err);
    return status == ST_OK ? smtp_open(mail->worker, &mail->limits, &mail->pool, err) : status;
}

static void close_mail(struct lane *lane)
{
    struct mail_lane *mail = mail_of(lane);

    if (mail == NULL)
        return;
    smtp_close(&mail->pool);
    mail_routes_close(&mail->routes);
    free(mail);
    lane->transport = NULL;
}

const struct lane_methods LANE_MAIL = {
    .kind = DELIVERY_MAIL,
    .settings = {.slots = DIRECT_SESSIONS,
                 .lookups = DIRECT_LOOKUPS,
                 .destination_slots_first = 2,
                 .destination_slots = 2,
                 .delivery_ms = MAIL_ROUTE_MS + BATCH_MS},
    .open = open_mail,
    .close = close_mail,
    .look_up = look_up,
    .start = start,
    .flush = flush,
    .prepare = prepare,
    .step = step,
    .collect = collect,
    .end = end,
};
