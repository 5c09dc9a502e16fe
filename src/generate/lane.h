/* SPDX-License-Identifier: MIT */
/*
 * lane.h - one kind of delivery in the loop of dispatch.c: its rows, its scheduler and its transport.  by_mail.c and
 * by_https.c are the two transports.
 */
#ifndef GENERATE_LANE_H
#define GENERATE_LANE_H

#include <poll.h>

#include "deliver/scheduler.h"
#include "delivery.h"
#include "model/domain.h"

struct lane;

/* Deliveries of a lane have the numbers of their rows in the scheduler's window. */
struct lane_methods {
    enum delivery_kind kind;
    struct scheduler_settings settings; /* all but key, window, is_relay, times of the run and budgets */

    /* *lane->settings may be changed.  Statuses of the transport. */
    enum status (*open)(struct lane *lane, struct err *err);
    void (*close)(struct lane *lane);

    /* Look up the destination of this row, and say what came of it: lane_resolved or lane_result. */
    void (*look_up)(struct lane *lane, const struct scheduler_start *start);

    /* Begin a delivery or session; its rows are marked by lane_begin, and sent by flush, after the ledger's commit. */
    void (*start)(struct lane *lane, const struct scheduler_start *start);
    void (*flush)(struct lane *lane);

    /* Descriptors to wait for (at most LANE_POLL_MAX), and for how long at most (-1: no limit of its own). */
    size_t (*prepare)(struct lane *lane, struct pollfd *fds_out, int *wait_ms_out);
    void (*step)(struct lane *lane, const struct pollfd *fds, size_t count);

    /* Hand results over: lane_result for each row, lane_release for each slot. */
    void (*collect)(struct lane *lane);
    void (*end)(struct lane *lane, const char *reason);
};

#define LANE_POLL_MAX 64
#define LANE_LEFT_MAX 16 /* hosts that failed and are named in the log */

struct lane {
    const struct lane_methods *methods;
    struct generator *generator;
    struct delivery *delivery;
    struct scheduler_settings settings;
    struct scheduler *scheduler;  /* NULL: nothing of this kind is due */
    struct delivery_item **items; /* by row number; NULL: free */
    uint64_t *lookups; /* by row number: which lookup is under way, so that a late answer is not taken */
    void *transport;   /* the methods' */
    uint64_t lookup_count;
    int64_t end_at_ms; /* clock_monotonic_ms: everything under way is ended then */
    bool has_starts;   /* deliveries wait for the commit of their marks */
    struct {
        char host[DOMAIN_NAME_MAX + 1];
        uint64_t count;
    } left[LANE_LEFT_MAX]; /* deliveries that were not tried because others to their host failed */
    char trouble[DELIVERY_RESULT_TEXT_MAX]; /* of the last session with the relay; "": none */
};

extern const struct lane_methods LANE_MAIL, LANE_HTTPS;

/* The destination's addresses are known.  If they are not: lane_result. */
void lane_resolved(struct lane *lane, uint32_t row);

/*
 * Mark a started row as being sent, and read its report.  False: its mailbox is suppressed, or its report cannot be read,
 * and it has had its result; or the ledger failed, it is back in the window, and the run ends.
 */
bool lane_begin(struct lane *lane, uint32_t row);

/* What became of a row. */
void lane_result(struct lane *lane, uint32_t row, const struct delivery_result *result);

/*
 * It was marked, and is not to blame for not being sent: it is started again in this run, or stays due.  reason: what
 * the ledger says of it until then.
 */
void lane_untried(struct lane *lane, uint32_t row, const char *reason);

#endif
