/* SPDX-License-Identifier: MIT */
/*
 * status_facts.h - everything that `status` shows, gathered once for its three printers.
 *
 * Texts live in the facts' arena.  Limits: STATUS_DAYS_MAX days (the newest), STATUS_ERRORS_MAX destinations
 * (those that failed last), STATUS_LIST_MAX suppressed addresses and refused users, STATUS_OVER_MAX organizations over
 * max_subdomains (of the newest days those with the most sessions), and as many delivery budgets.
 */
#ifndef INSPECT_STATUS_FACTS_H
#define INSPECT_STATUS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "app/collector_state.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/terminal.h"
#include "fleet/fleet.h"
#include "model/config.h"
#include "model/delivery_result.h"
#include "model/domain.h"
#include "model/utc_day.h"
#include "store/ledger.h"
#include "store/session_reader.h"

#define STATUS_DAYS_MAX   100
#define STATUS_ERRORS_MAX 10
#define STATUS_LIST_MAX   100
#define STATUS_OVER_MAX   20

struct status_day {
    int32_t utc_day;
    bool has_sessions; /* the collector knows it */
    bool is_closed;    /* its reports are built */
    uint64_t domains;
    struct session_counts sessions;
    struct ledger_counts ledger;
    uint64_t late; /* sessions of a fleet that came after their domain's report was built */
};

/* The last failure of one destination. */
struct status_error {
    char host[DOMAIN_NAME_MAX + 1];
    char domain[DOMAIN_NAME_MAX + 1]; /* whose report it was */
    char text[DELIVERY_RESULT_TEXT_MAX];
    int64_t at_s;
    enum delivery_state state;
    int64_t next_at_s; /* if the state is open */
};

struct status_suppressed {
    const char *address;
    const char *reason;
    int64_t until_s;
};

/* A delivery budget of today that is used up. */
struct status_budget {
    const char *destination;
    const char *owner; /* "": of all owners together */
    const char *setting;
    uint64_t reports;
};

struct status_refused {
    int64_t uid;
    uint64_t count;
};

struct status_host {
    const char *name;
    int64_t last_seen_s; /* its last push */
    int64_t complete_through_s;
    uint64_t received;
    uint64_t stored;
    uint64_t dropped;
};

/* A day that was closed without all of a host's counts. */
struct status_missed {
    int32_t utc_day;
    const char *host;
    int64_t complete_through_s;
};

struct status_fleet {
    bool is_set;
    const char *trouble; /* why it cannot be asked now; NULL: it was */
    struct status_host hosts[STATUS_LIST_MAX];
    size_t host_count;
    struct status_missed missed[STATUS_LIST_MAX];
    size_t missed_count;
};

struct status_facts {
    struct arena arena;
    int64_t now_s;
    const char *missing_setting; /* without which nothing is sent; NULL: none */
    const char *settings_file;   /* where it is to be set */

    int64_t last_run_s; /* when a run of the generator last did all that it had to do; 0: never */

    struct collector_state collector;
    struct status_refused refused[STATUS_LIST_MAX];
    size_t refused_count;
    struct session_over_budget over_budget[STATUS_OVER_MAX];
    size_t over_budget_count;

    struct status_fleet fleet;

    bool has_ledger;
    struct ledger_counts totals;
    bool has_due;
    int64_t oldest_due_s; /* the first try of the oldest open delivery, or when it was due first */
    char oldest_due_domain[DOMAIN_NAME_MAX + 1];
    char oldest_due_host[DOMAIN_NAME_MAX + 1];
    int64_t next_attempt_s;
    uint64_t overdue; /* open and due now */
    struct status_error errors[STATUS_ERRORS_MAX];
    size_t error_count;
    struct status_suppressed suppressed[STATUS_LIST_MAX];
    size_t suppressed_count;
    size_t suppressed_total;
    struct status_budget budgets[STATUS_OVER_MAX];
    size_t budget_count;

    struct status_day days[STATUS_DAYS_MAX]; /* oldest first */
    size_t day_count;
};

/*
 * Free with status_facts_done, also after a failure.
 * ST_NOT_FOUND  neither store is there
 * or a status of the stores
 */
MUST_CHECK enum status status_facts_gather(const struct config *config, struct status_facts *facts,
                                           struct err *err);
void status_facts_done(struct status_facts *facts);

/* status_fleet.c: the hosts, the days that lack one, and what came late. */
MUST_CHECK enum status status_fleet_gather(struct status_facts *facts, struct fleet *fleet, struct err *err);
MUST_CHECK enum status status_fleet_print_table(const struct status_facts *facts,
                                                const struct terminal *terminal, FILE *out, struct err *err);

/* A text of at most a few hundred bytes that lives as long as facts. */
const char *status_facts_copy(struct status_facts *facts, const char *text);

/* The row of a day, made if it is new; NULL if it is older than everything that fits. */
struct status_day *status_facts_day(struct status_facts *facts, int32_t utc_day);

/* "2026-03-14 12:00:00", or "never" for 0. */
const char *status_format_time(int64_t utc_s, char text_out[UTC_STAMP_TEXT_SIZE]);

/* "label       text", wrapped. */
void status_print_line(const struct terminal *terminal, const char *label, const char *text, FILE *out);

MUST_CHECK enum status status_print_table(const struct status_facts *facts, const struct terminal *terminal,
                                          FILE *out, struct err *err);
MUST_CHECK enum status status_print_json(const struct status_facts *facts, FILE *out, struct err *err);
void status_print_prometheus(const struct status_facts *facts, FILE *out);

#endif
