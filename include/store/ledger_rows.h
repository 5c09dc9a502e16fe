/* SPDX-License-Identifier: MIT */
/*
 * ledger_rows.h - what a ledger (store/ledger.h) keeps, and the callbacks that get its rows.
 *
 * Texts in a row that is given to a callback live until the callback returns.  A callback that returns other
 * than ST_OK ends the walk with that status; it may call any ledger function but the one that called it.
 */
#ifndef STORE_LEDGER_ROWS_H
#define STORE_LEDGER_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/delivery.h"

#define LEDGER_GZIP_MAX (64u << 20) /* bytes of one report's gzip */

/* What the ledger knows of a domain's day; the numbers are those of the kinds' SQL. */
enum ledger_entry {
    LEDGER_NOTHING = 0,
    LEDGER_REPORT = 1,
    LEDGER_SKIPPED = 2,
    LEDGER_WAITING = 3,
};

struct ledger_found {
    enum ledger_entry entry;
    int64_t since_s;   /* when it was entered; 0: LEDGER_NOTHING */
    int64_t next_at_s; /* LEDGER_WAITING: when to ask for its record again; else 0 */
};

/* Everything that is needed to make the same file and the same mails again, whatever the settings are then. */
struct ledger_report {
    int32_t utc_day;
    const char *domain;
    const char *report_id; /* RFC 8460 report-id: unique */
    int64_t created_at_s;  /* the mails' Date */
    const char *organization_name;
    const char *contact_info;
    const char *from;
    const char *envelope_from;
    const char *file_name; /* "submitter!domain!begin!end.json.gz" */
    const void *gzip;
    size_t gzip_len;
    int64_t inflated_bytes;
    int64_t success; /* sessions, summed over the policies */
    int64_t failure;
    const char *note; /* what was folded or left out; "" if nothing */
};

struct ledger_delivery {
    int64_t id; /* given by the ledger; means something together with utc_day and domain */
    int32_t utc_day;
    const char *domain;
    const char *report_id;
    enum delivery_kind kind;
    const char *rua;        /* as used: addr-spec or URL */
    const char *host;       /* mailbox domain or URL host: work is sorted by it */
    const char *message_id; /* mails: without <>; "" for https */
    enum delivery_state state;
    int64_t tries;
    int64_t first_at_s; /* 0: not tried yet */
    int64_t next_at_s;
    int64_t last_at_s; /* 0: not tried yet */
    int64_t last_code;
    const char *last_text; /* "" if nothing happened yet */

    /* for the scheduler (deliver/scheduler.h) */
    const char *owner;       /* organizational domain of domain */
    const char *destination; /* mailbox domain, or host and port of a URL */
    int64_t due_at_s;        /* when it was due for the first time */
    uint32_t turn;           /* schedule_turn; one more for each time that it was put off */
    bool is_known;           /* the destination has accepted a report before; see ledger_add_known */
    /* Set by ledger_read_page alone: deliveries that were first tried today, */
    int64_t destination_started; /*   to the destination, */
    int64_t owner_started;       /*   and of this owner among them */
};

/* A destination that has got on one day as many reports as its budget allows. */
struct ledger_budget {
    const char *destination;
    const char *owner; /* whose budget of this destination it is; "": of all owners together */
    int64_t started;   /* reports */
};

/* What ledger_read_page reads. */
struct ledger_page {
    enum delivery_kind kind;
    bool is_known;
    int64_t due_s;
    int64_t now_s;
    int64_t max;
};

struct ledger_counts {
    int64_t by_state[DELIVERY_STATE_COUNT];
    int64_t reports;
    int64_t skipped;
    int64_t waiting;
};

typedef enum status ledger_delivery_fn(void *context, const struct ledger_delivery *row, struct err *err);
typedef enum status ledger_report_fn(void *context, const struct ledger_report *row, struct err *err);

/* A domain's day that was skipped or waits: reason, and since when. */
typedef enum status ledger_domain_fn(void *context, int32_t utc_day, const char *domain, const char *reason,
                                     int64_t since_s, struct err *err);
typedef enum status ledger_day_fn(void *context, int32_t utc_day, int64_t closed_at_s, struct err *err);
typedef enum status ledger_budget_fn(void *context, const struct ledger_budget *row, struct err *err);
typedef enum status ledger_suppression_fn(void *context, const char *address, int64_t until_s,
                                          int64_t strikes, const char *reason, struct err *err);

/* What may be forgotten. */
struct ledger_retention {
    int32_t utc_day;  /* days before this one ... */
    int64_t ledger_s; /* ... and reports of them if, by this clock of real time, which only grows, ... */
    int64_t memory_s; /* ... they were kept for so long: no domain's day may be reported twice */
    int64_t now_s;
};

#endif
