/* SPDX-License-Identifier: MIT */
/*
 * How it works.  All due rows are read at the start.  A transport marks items "sending" before it sends them
 * (delivery_begin, one transaction), and reports results one by one; the results between two calls of
 * delivery_commit are one transaction too.  After a crash, what is still marked may have arrived: the next
 * run's recovery makes it due again, in doubt.
 */
#include "delivery.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "model/backoff.h"
#include "model/utc_day.h"

/* Rows of one run: a few hundred thousand. */
#define ROWS_ARENA_MAX (512u << 20)

#define FIRST_CAPACITY 256

/* ---- what is due ---- */

static enum status grow(struct delivery *delivery, struct err *err)
{
    size_t capacity = delivery->capacity > 0 ? delivery->capacity * 2 : FIRST_CAPACITY;
    struct delivery_item *items;

    if (delivery->count < delivery->capacity)
        return ST_OK;
    items = realloc(delivery->items, capacity * sizeof *items);
    if (items == NULL)
        return err_set(err, ST_NOMEM, "deliveries: out of memory");
    delivery->items = items;
    delivery->capacity = capacity;
    return ST_OK;
}

/* Point *text at a copy that lives as long as the delivery; false if memory is out. */
static bool keep(struct delivery *delivery, const char **text)
{
    *text = arena_copy_text(&delivery->arena, *text, strlen(*text));
    return *text != NULL;
}

static enum status take_row(void *context, const struct ledger_delivery *row, struct err *err)
{
    struct delivery *delivery = context;
    enum status status = grow(delivery, err);
    struct ledger_delivery *copy;

    if (status != ST_OK)
        return status;
    copy = &delivery->items[delivery->count].row;
    *copy = *row;
    if (!keep(delivery, &copy->domain) || !keep(delivery, &copy->report_id) || !keep(delivery, &copy->rua) ||
        !keep(delivery, &copy->host) || !keep(delivery, &copy->message_id) ||
        !keep(delivery, &copy->last_text))
        return err_set(err, ST_NOMEM, "deliveries: out of memory");
    delivery->count++;
    return ST_OK;
}

enum status delivery_open(struct delivery *delivery, struct generator *generator, int64_t due_s,
                          struct delivery_totals *totals, struct err *err)
{
    *delivery = (struct delivery){.generator = generator, .totals = totals};
    arena_init(&delivery->arena, ROWS_ARENA_MAX);
    return ledger_each_due(generator->ledger, due_s, take_row, delivery, err);
}

void delivery_close(struct delivery *delivery)
{
    arena_done(&delivery->arena);
    free(delivery->items);
    delivery->items = NULL;
}

struct delivery_item *delivery_items_of(const struct delivery *delivery, enum delivery_kind kind,
                                        size_t *count_out)
{
    size_t first = 0;
    size_t end;

    while (first < delivery->count && delivery->items[first].row.kind != kind)
        first++;
    for (end = first; end < delivery->count && delivery->items[end].row.kind == kind;)
        end++;
    *count_out = end - first;
    return *count_out > 0 ? delivery->items + first : NULL;
}

/* ---- before and after an attempt ---- */

static bool keep_failure(struct delivery *delivery, enum status status, const struct err *err)
{
    if (status == ST_OK)
        return true;
    if (delivery->status == ST_OK) {
        delivery->status = status;
        delivery->err = *err;
    }
    return false;
}

bool delivery_begin(struct delivery *delivery, struct delivery_item *const *items, size_t count,
                    struct arena *arena)
{
    struct ledger *ledger = delivery->generator->ledger;
    struct err err;
    enum status status;

    delivery_commit(delivery);
    if (delivery->status != ST_OK)
        return false;
    status = ledger_begin(ledger, &err);
    for (size_t i = 0; status == ST_OK && i < count; i++) {
        status = ledger_read_report(ledger, items[i]->row.utc_day, items[i]->row.domain, arena,
                                    &items[i]->report, &err);
        if (status == ST_OK)
            status = ledger_mark_sending(ledger, &items[i]->row, clock_utc_s(), &err);
    }
    if (status == ST_OK)
        status = ledger_commit(ledger, &err);
    if (status != ST_OK)
        ledger_rollback(ledger);
    return keep_failure(delivery, status, &err);
}

void delivery_commit(struct delivery *delivery)
{
    struct ledger *ledger = delivery->generator->ledger;
    struct err err;

    if (!delivery->is_in_transaction)
        return;
    delivery->is_in_transaction = false;
    if (!keep_failure(delivery, ledger_commit(ledger, &err), &err))
        ledger_rollback(ledger);
}

static uint32_t random_number(void)
{
    uint32_t number = 0;

    /* Without randomness the retries of all deliveries have the same distance; that is acceptable. */
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number)
        number = UINT32_MAX / 2;
    return number;
}

static enum delivery_state state_after(const struct delivery_item *item, const struct delivery_result *result,
                                       int64_t now_s, int64_t *next_at_s_out)
{
    int64_t first_at_s = item->row.first_at_s > 0 ? item->row.first_at_s : now_s;

    *next_at_s_out = 0;
    if (result->kind == DELIVERY_RESULT_DELIVERED)
        return DELIVERY_DELIVERED;
    if (result->kind == DELIVERY_RESULT_GIVE_UP)
        return DELIVERY_GIVEN_UP;
    return backoff_next(first_at_s, (unsigned)item->row.tries + 1, now_s, result->retry_after_s,
                        random_number(), next_at_s_out)
               ? DELIVERY_DUE
               : DELIVERY_EXPIRED;
}

static void log_result(const struct delivery_item *item, const struct delivery_result *result,
                       enum delivery_state state, int64_t next_at_s)
{
    static const enum log_event_id EVENTS[DELIVERY_STATE_COUNT] = {
        [DELIVERY_DUE] = EV_DELIVERY_LATER,
        [DELIVERY_DELIVERED] = EV_REPORT_DELIVERED,
        [DELIVERY_GIVEN_UP] = EV_DELIVERY_GIVEN_UP,
        [DELIVERY_EXPIRED] = EV_DELIVERY_EXPIRED,
        [DELIVERY_SUPPRESSED] = EV_DELIVERY_SUPPRESSED,
    };
    char day[UTC_DAY_TEXT_SIZE];
    char next[UTC_STAMP_TEXT_SIZE] = "";

    utc_day_format(item->row.utc_day, day);
    if (state == DELIVERY_DUE)
        utc_stamp_format(next_at_s, next);
    LOG_FACT(EVENTS[state], log_text("day", day), log_text("domain", item->row.domain),
             log_text("rua", item->row.rua), log_number("tries", item->row.tries + 1),
             log_text("stage", delivery_stage_name(result->stage)), log_number("code", result->code),
             log_text("reply", result->text), log_text("next", next));
}

/* A copy that cannot be written is logged; the delivery itself is done. */
static void archive(const struct delivery *delivery, const struct delivery_item *item)
{
    const char *folder = delivery->generator->config->archive_dir;
    char day[UTC_DAY_TEXT_SIZE];
    char path[PATH_MAX];
    struct err err;
    enum status status;

    if (*folder == '\0')
        return;
    utc_day_format(item->row.utc_day, day);
    (void)snprintf(path, sizeof path, "%s/%s", folder, day);
    status = file_make_folders(path, 0750, &err);
    if (status == ST_OK &&
        (size_t)snprintf(path, sizeof path, "%s/%s/%s", folder, day, item->report.file_name) >= sizeof path)
        status = err_set(&err, ST_RANGE, "archive_dir: path is too long");
    if (status == ST_OK)
        status = file_replace(path, item->report.gzip, item->report.gzip_len, 0640, &err);
    if (status != ST_OK)
        LOG_FACT(EV_ARCHIVE_FAILED, log_text("path", path), log_text("reason", err.text));
}

static void count(struct delivery_totals *totals, enum delivery_state state)
{
    totals->delivered += state == DELIVERY_DELIVERED;
    totals->later += state == DELIVERY_DUE;
    totals->given_up += state == DELIVERY_GIVEN_UP;
    totals->expired += state == DELIVERY_EXPIRED;
    totals->suppressed += state == DELIVERY_SUPPRESSED;
}

static enum status begin_transaction(struct delivery *delivery, struct err *err)
{
    enum status status = ST_OK;

    if (!delivery->is_in_transaction)
        status = ledger_begin(delivery->generator->ledger, err);
    if (status == ST_OK)
        delivery->is_in_transaction = true;
    return status;
}

void delivery_put_back(struct delivery *delivery, const struct delivery_item *item)
{
    struct err err;
    enum status status = begin_transaction(delivery, &err);

    if (status == ST_OK)
        status = ledger_put_back(delivery->generator->ledger, &item->row, &err);
    (void)keep_failure(delivery, status, &err);
}

/*
 * Only a refusal of the recipient is about the mailbox; any other is about this message or about us.  So is a
 * policy (X.7.Y of RFC 3463), such as that of a relay which does not relay for us.
 */
static bool is_refusal_of_mailbox(const struct delivery_result *result)
{
    struct cursor cursor;

    cursor_init(&cursor, result->text, strlen(result->text));
    (void)cursor_take_number(&cursor, UINT16_MAX);
    return result->kind == DELIVERY_RESULT_GIVE_UP && result->stage == DELIVERY_AT_RCPT &&
           !cursor_skip_word(&cursor, " 5.7.");
}

static enum status suppress(struct delivery *delivery, const struct delivery_item *item,
                            const struct delivery_result *result, int64_t now_s, struct err *err)
{
    char until[UTC_STAMP_TEXT_SIZE];
    int64_t until_s = 0;
    enum status status =
        ledger_suppress(delivery->generator->ledger, item->row.rua, result->text, now_s, &until_s, err);

    if (status != ST_OK)
        return status;
    utc_stamp_format(until_s, until);
    LOG_FACT(EV_MAILBOX_SUPPRESSED, log_text("rua", item->row.rua), log_text("until", until),
             log_text("reply", result->text));
    return ST_OK;
}

/* What a mail's result says about its mailbox. */
static enum status note_mail(struct delivery *delivery, const struct delivery_item *item,
                             const struct delivery_result *result, int64_t now_s, struct err *err)
{
    enum status status = ST_OK;

    if (is_refusal_of_mailbox(result))
        return suppress(delivery, item, result, now_s, err);
    if (result->kind == DELIVERY_RESULT_DELIVERED)
        status = ledger_unsuppress(delivery->generator->ledger, item->row.rua, err);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

void delivery_record(struct delivery *delivery, struct delivery_item *item,
                     const struct delivery_result *result)
{
    int64_t now_s = clock_utc_s();
    int64_t next_at_s;
    enum delivery_state state = state_after(item, result, now_s, &next_at_s);
    struct err err;
    enum status status = begin_transaction(delivery, &err);

    item->reached = result->stage;
    if (status == ST_OK)
        status = ledger_record_result(delivery->generator->ledger, &item->row, state, next_at_s, result,
                                      now_s, &err);
    if (status == ST_OK && item->row.kind == DELIVERY_MAIL)
        status = note_mail(delivery, item, result, now_s, &err);
    (void)keep_failure(delivery, status, &err);
    count(delivery->totals, state);
    log_result(item, result, state, next_at_s);
    if (state == DELIVERY_DELIVERED)
        archive(delivery, item);
}

bool delivery_is_suppressed(struct delivery *delivery, const struct delivery_item *item)
{
    bool is_suppressed = false;
    struct err err;
    enum status status =
        ledger_is_suppressed(delivery->generator->ledger, item->row.rua, clock_utc_s(), &is_suppressed, &err);

    return keep_failure(delivery, status, &err) && is_suppressed;
}

void delivery_record_suppressed(struct delivery *delivery, const struct delivery_item *item)
{
    struct delivery_result result;
    struct err err;
    enum status status = begin_transaction(delivery, &err);

    delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_START, 0, "the mailbox refused lately");
    if (status == ST_OK)
        status = ledger_record_result(delivery->generator->ledger, &item->row, DELIVERY_SUPPRESSED, 0,
                                      &result, clock_utc_s(), &err);
    (void)keep_failure(delivery, status, &err);
    count(delivery->totals, DELIVERY_SUPPRESSED);
    log_result(item, &result, DELIVERY_SUPPRESSED, 0);
}

/* ---- limits ---- */

struct queue_limits delivery_limits(const struct delivery *delivery, size_t at_once, size_t failures)
{
    const struct config *config = delivery->generator->config;

    return (struct queue_limits){.at_once = at_once,
                                 .failures = failures,
                                 .per_host = (size_t)config->max_per_host,
                                 .per_run = (size_t)config->max_per_run};
}

struct left {
    enum delivery_kind kind;
    size_t counts[QUEUE_LEFT_RUN + 1];
};

static void log_left(enum delivery_kind kind, const char *host, size_t count, enum queue_left why)
{
    LOG_FACT(EV_DELIVERIES_LEFT, log_text("kind", delivery_kind_name(kind)), log_text("host", host),
             log_number("deliveries", (int64_t)count), log_text("reason", queue_left_words(why)));
}

static void take_left(void *context, const char *host, size_t count, enum queue_left why)
{
    struct left *left = context;

    if (why == QUEUE_LEFT_FAILED || why == QUEUE_LEFT_HOST)
        log_left(left->kind, host, count, why);
    else
        left->counts[why] += count;
}

void delivery_log_left(const struct queue *queue, enum delivery_kind kind)
{
    struct left left = {.kind = kind};

    queue_each_left(queue, take_left, &left);
    for (size_t why = 0; why < ARRAY_COUNT(left.counts); why++)
        if (left.counts[why] > 0)
            log_left(kind, "", left.counts[why], (enum queue_left)why);
}
