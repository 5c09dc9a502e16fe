/* SPDX-License-Identifier: MIT */
/*
 * How it works.  dispatch.c reads due rows page by page.  An item is marked "sending" before it is sent, and results are
 * recorded one by one; all between two calls of delivery_commit is one transaction.  After a crash, what is still
 * marked may have arrived: the next run's recovery makes it due again, in doubt.
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

#define TEXTS_ARENA_MAX (64u << 10) /* of a row: domain, rua, answer */
#define BODY_ARENA_MAX  (128u << 20)

/* ---- items ---- */

/* Replace *text by a copy; false if memory is out. */
static bool keep(struct arena *arena, const char **text)
{
    *text = arena_copy_text(arena, *text, strlen(*text));
    return *text != NULL;
}

enum status delivery_item_init(struct delivery_item *item, const struct ledger_delivery *row, struct err *err)
{
    const char **texts[] = {&item->row.domain,     &item->row.report_id, &item->row.rua,
                            &item->row.host,       &item->row.owner,     &item->row.destination,
                            &item->row.message_id, &item->row.last_text};

    *item = (struct delivery_item){.row = *row};
    arena_init(&item->texts, TEXTS_ARENA_MAX);
    arena_init(&item->body, BODY_ARENA_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (!keep(&item->texts, texts[i]))
            return err_set(err, ST_NOMEM, "deliveries: out of memory");
    return ST_OK;
}

void delivery_item_drop_body(struct delivery_item *item)
{
    arena_done(&item->body);
    arena_init(&item->body, BODY_ARENA_MAX);
    item->report = (struct ledger_report){.gzip = NULL};
}

void delivery_item_done(struct delivery_item *item)
{
    arena_done(&item->texts);
    arena_done(&item->body);
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

static enum status begin_transaction(struct delivery *delivery, struct err *err)
{
    enum status status = ST_OK;

    if (delivery->status != ST_OK) {
        *err = delivery->err;
        return delivery->status;
    }
    if (delivery->is_in_transaction)
        return ST_OK;
    status = ledger_begin(delivery->generator->ledger, err);
    if (status == ST_OK) {
        delivery->is_in_transaction = true;
        delivery->changed_ms = clock_monotonic_ms();
    }
    return status;
}

bool delivery_begin(struct delivery *delivery, struct delivery_item *item, struct delivery_result *fault_out)
{
    struct ledger *ledger = delivery->generator->ledger;
    struct err err;
    enum status status = begin_transaction(delivery, &err);

    if (status == ST_OK) {
        status =
            ledger_read_report(ledger, item->row.utc_day, item->row.domain, &item->body, &item->report, &err);
        if (status == ST_NOT_FOUND || status == ST_NOMEM) {
            delivery_result_set(fault_out, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_START, 0, "%s", err.text);
            return false;
        }
    }
    item->marked_at_s = clock_utc_s();
    if (status == ST_OK)
        status = ledger_mark_sending(ledger, &item->row, item->marked_at_s, &err);
    item->is_marked = status == ST_OK;
    return keep_failure(delivery, status, &err);
}

bool delivery_commit(struct delivery *delivery)
{
    struct ledger *ledger = delivery->generator->ledger;
    struct err err;

    if (!delivery->is_in_transaction)
        return delivery->status == ST_OK;
    delivery->is_in_transaction = false;
    if (!keep_failure(delivery, ledger_commit(ledger, &err), &err))
        ledger_rollback(ledger);
    return delivery->status == ST_OK;
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
    *next_at_s_out = 0;
    if (result->kind == DELIVERY_RESULT_DELIVERED)
        return DELIVERY_DELIVERED;
    if (result->kind == DELIVERY_RESULT_GIVE_UP)
        return DELIVERY_GIVEN_UP;
    return backoff_next(item->row.due_at_s, (unsigned)item->row.tries + 1, now_s, result->retry_after_s,
                        random_number(), next_at_s_out)
               ? DELIVERY_DUE
               : DELIVERY_EXPIRED;
}

static void log_result(const struct delivery_item *item, int64_t tries, const struct delivery_result *result,
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
             log_text("rua", item->row.rua), log_number("tries", tries),
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

void delivery_put_back(struct delivery *delivery, const struct delivery_item *item, const char *reason)
{
    struct err err;
    enum status status = begin_transaction(delivery, &err);

    if (status == ST_OK)
        status = ledger_put_back(delivery->generator->ledger, &item->row, reason, item->marked_at_s, &err);
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

    if (status == ST_OK)
        status = ledger_record_result(delivery->generator->ledger, &item->row, state, next_at_s, result,
                                      now_s, &err);
    if (status == ST_OK && state == DELIVERY_DELIVERED)
        status = ledger_add_known(delivery->generator->ledger, &item->row, now_s, &err);
    if (status == ST_OK && item->row.kind == DELIVERY_MAIL)
        status = note_mail(delivery, item, result, now_s, &err);
    if (!keep_failure(delivery, status, &err))
        return;
    count(delivery->totals, state);
    log_result(item, item->row.tries + (item->is_marked || state == DELIVERY_DUE), result, state, next_at_s);
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

void delivery_put_off(struct delivery *delivery, const struct delivery_item *item)
{
    int64_t now_s = clock_utc_s(), next_at_s;
    struct delivery_result result;
    enum delivery_state state;
    struct err err;
    enum status status = begin_transaction(delivery, &err);

    delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_START, 0,
                        "not tried: deliveries to %s failed", item->row.host);
    state = state_after(item, &result, now_s, &next_at_s);
    if (status == ST_OK)
        status = ledger_record_result(delivery->generator->ledger, &item->row, state, next_at_s, &result,
                                      now_s, &err);
    if (!keep_failure(delivery, status, &err))
        return;
    count(delivery->totals, state);
    if (state != DELIVERY_DUE) /* those that are due again are logged together, by host */
        log_result(item, item->row.tries, &result, state, next_at_s);
}

/* An end without an attempt. */
static void record_untried(struct delivery *delivery, const struct delivery_item *item,
                           enum delivery_state state, const char *reason)
{
    struct delivery_result result;
    struct err err;
    enum status status = begin_transaction(delivery, &err);

    delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_START, 0, "%s", reason);
    if (status == ST_OK)
        status = ledger_record_result(delivery->generator->ledger, &item->row, state, 0, &result,
                                      clock_utc_s(), &err);
    if (!keep_failure(delivery, status, &err))
        return;
    count(delivery->totals, state);
    log_result(item, item->row.tries, &result, state, 0);
}

void delivery_record_suppressed(struct delivery *delivery, const struct delivery_item *item)
{
    record_untried(delivery, item, DELIVERY_SUPPRESSED, "the mailbox refused lately");
}

void delivery_record_expired(struct delivery *delivery, const struct delivery_item *item)
{
    record_untried(delivery, item, DELIVERY_EXPIRED,
                   *item->row.last_text != '\0' ? item->row.last_text
                                                : "24 hours after it was due it had not been tried");
}
