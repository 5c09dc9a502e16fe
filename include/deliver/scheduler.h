/* SPDX-License-Identifier: MIT */
/*
 * scheduler.h - decides which delivery starts next, so that no domain owner and no destination can hold up the
 * deliveries of others.  Pure logic: no I/O, no clock, no callbacks, no allocation after scheduler_new.
 *
 * In:     rows of the ledger, a page at a time; what became of lookups and deliveries; the time.
 * Out:    lookups and deliveries to start now, rows that leave without being started.
 * Source: RFC 8460 section 5.5 (R64, R65: 24 hours of retries) and section 7 (anyone can publish a rua, and it
 *         may name somebody else's mailbox or host).  The window, slow start and dead destinations are ideas of Postfix's queue manager.
 * Limits: a window of rows, slots and lookups, all set by the caller; memory depends on the settings alone.
 *
 * One scheduler serves one kind of delivery: SMTP and HTTPS have one each and so never wait for one another.  The
 * transports enforce all limits of time and report what they end as failed.
 *
 * A row belongs to an owner, the organizational domain of its policy domain, and goes to a destination, a mailbox
 * domain or the host and port of a URL.  All rows of one owner to one destination are a flow.
 *
 * Rules:
 *  1. Slots go to the owner that has used the least slot time in this run; within an owner to its flows in turn.  A
 *     delivery under way counts as if it took its whole limit, so one that hangs uses as much as hundreds that do not.
 *  2. A destination starts with destination_slots_first slots.  Each of its answers that ends a row adds one, up to
 *     destination_slots; each failure takes one away, down to what it started with.
 *  3. A destination is trusted once it has accepted or refused a row in this run, or if the ledger knows it from an
 *     earlier run (is_known).  The others share a quarter of the slots, at least one, and are looked up last.
 *  4. A flow is closed for this run after SCHEDULER_FLOW_FAILURES failures in a row; a destination after failures of
 *     SCHEDULER_FAILURES different owners in a row (SCHEDULER_FAILURES_TRUSTED if it is trusted: a few owners whose
 *     paths fail on purpose must not close a shared collector for its other customers); everything after
 *     SCHEDULER_SESSION_FAILURES sessions in a row that reached no row (the relay is down).
 *  5. A row expires SCHEDULER_EXPIRY_S after it was due, tried or not.
 *  6. Per UTC day at most max_per_destination reports are started to a destination, and at most
 *     max_per_owner_and_destination of a flow.  Retries do not count.  The last quarter of a destination's budget is
 *     for the first report of each owner, so that strangers cannot use up what others need.
 *
 * Promises, with S slots, and T the longest time that one delivery can hold a slot (tests/sim checks them):
 *   - A trusted destination gets its rows within 1.5 times the time that they take alone, plus T, however many owners
 *     publish destinations that never worked.  It waits T more for each 3/4 S owners whose destinations worked and hang.
 *   - Only a try shows whether a destination that never worked works now.  If others hang that never worked, it waits T
 *     more, and T for each S/4 owners of them, and a lookup's limit for each `lookups` of them whose name servers do not
 *     answer.  What its owner has beyond its share of a page may wait for the next run, which knows it.
 *   - With a relay there are no destinations to tell apart: everybody waits T for each S/2 owners whose mails hang.
 *   A part of so many owners counts as all of them.
 *
 * Pages.  The window has two halves, one for rows that are is_known in the ledger and one for the others, so that a
 * flood of new owners cannot keep known destinations out.  The ledger marks a row when it is added or put off, and all
 * rows of known destinations when a run begins.  A page is the first SCHEDULER_PAGE_WINDOWS * window rows of a half that
 * are due and not under way, in the order of
 *     turn       schedule_turn of the number of rows that its owner had before it in the run that built it, and one more
 *                each time it was put off: nobody's rows push the others' off the page
 *     time slot  of the next try, in units of 15 minutes
 *     place      random
 * Rows that are in the window already are recognized, so nobody has to remember where the last page ended.
 */
#ifndef DELIVER_SCHEDULER_H
#define DELIVER_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/keyed_hash.h"

#define SCHEDULER_FLOW_FAILURES    3
#define SCHEDULER_FAILURES         5
#define SCHEDULER_FAILURES_TRUSTED 20
#define SCHEDULER_SESSION_FAILURES 5
#define SCHEDULER_EXPIRY_S         (24 * 3600)
#define SCHEDULER_PAGE_MS          15000 /* from one page to the next for rows that have become due */
#define SCHEDULER_PAGE_WINDOWS     4

struct scheduler;

struct scheduler_settings {
    struct hash_key key;              /* random, from hash_key_new */
    uint32_t window;                  /* rows in each half, > 0 */
    uint32_t slots;                   /* deliveries or sessions at once, > 0 */
    uint32_t lookups;                 /* at once; 0: destinations need none */
    uint32_t destination_slots_first; /* 1 .. destination_slots */
    uint32_t destination_slots;       /* 1 .. slots */
    bool is_relay;       /* one next hop takes all: a session carries rows of any destination, and rules
                                         2 and 3 do not apply; lookups must be 0 */
    int64_t delivery_ms; /* the limit of a delivery, of rule 1 */
    int64_t stop_at_ms;  /* monotonic: start nothing from then on */
    uint64_t max_per_destination; /* 0: no limit */
    uint64_t max_per_owner_and_destination;
};

/* One delivery that is due.  Texts are borrowed for the call: the scheduler keeps their keyed hashes. */
struct scheduler_row {
    int64_t id;                /* the ledger's */
    const char *owner;         /* lower case */
    const char *destination;   /* lower case: "example.org", "collector.example:443" */
    int64_t due_at_s;          /* UTC: when it was due for the first time */
    bool is_known;             /* the half it was read from */
    bool was_tried;            /* a retry: it has been counted against the budgets */
    uint64_t destination_used; /* reports started today to the destination, */
    uint64_t flow_used;        /*   and of this owner among them */
};

/* What scheduler_add did with a row, and how a row leaves without being started. */
enum scheduler_disposition {
    SCHEDULER_ADDED,            /* it is in the window */
    SCHEDULER_PRESENT,          /* it was there already */
    SCHEDULER_LATER,            /* no room for it now: nothing to record, go on with the page */
    SCHEDULER_LEFT,             /* the run is over: nothing to record, it stays due */
    SCHEDULER_CLOSED,           /* rule 4: record the time of its next try, as after a failure */
    SCHEDULER_EXPIRED,          /* rule 5: record that it has expired */
    SCHEDULER_OVER_DESTINATION, /* rule 6: record that it is given up; max_per_destination */
    SCHEDULER_OVER_OWNER,       /* rule 6: record that it is given up; max_per_owner_and_destination */
};

enum scheduler_result {
    SCHEDULER_ACCEPTED,
    SCHEDULER_REFUSED, /* for good: the row's fault, the destination works */
    SCHEDULER_FAILED,  /* try later; of a lookup also: the name does not exist */
    SCHEDULER_DROPPED, /* it has ended for a reason of ours, which says nothing about the destination */
    SCHEDULER_UNTRIED, /* nothing was sent, and this row is not to blame: it goes back into the window */
};

/*
 * A row has a number from 0 to 2 * window - 1 until it leaves the window: the caller keeps what it needs of rows (texts,
 * report) in an array.  Slots have a number from 0 to slots - 1.  Destinations have one from 0 to
 * scheduler_destinations_max - 1, from the start of their lookup for as long as they need no other.
 */
struct scheduler_start {
    int64_t id;
    uint32_t row;
    uint32_t slot; /* not set for a lookup */
    uint32_t destination;
};

struct scheduler_leaver {
    int64_t id;
    uint32_t row;
    enum scheduler_disposition disposition; /* SCHEDULER_LEFT or one that follows it */
};

uint32_t scheduler_destinations_max(const struct scheduler_settings *settings);

/* Free with scheduler_free, which takes NULL.  scheduler_tick comes first.  ST_NOMEM */
MUST_CHECK enum status scheduler_new(const struct scheduler_settings *settings,
                                     struct scheduler **scheduler_out, struct err *err);
void scheduler_free(struct scheduler **scheduler);

/* It is now_ms (monotonic) and now_s (UTC).  Call it before each round of events. */
void scheduler_tick(struct scheduler *scheduler, int64_t now_ms, int64_t now_s);

/* When the next page is wanted or the run is over (monotonic); INT64_MAX if it is over. */
int64_t scheduler_wake_ms(const struct scheduler *scheduler);

/* ---- rows in ---- */

/* True: read the page of this half, scheduler_add each row, then call scheduler_end_page. */
bool scheduler_wants_page(const struct scheduler *scheduler, bool is_known);

/* is_last: the page was not full, because no further rows were due. */
void scheduler_end_page(struct scheduler *scheduler, bool is_known, bool is_last);

/*
 * Offer a row, in the order of its page.  SCHEDULER_ADDED: *row_out is its number.  In a full half a waiting row of the
 * owner or destination with the most rows may have made room: it is forgotten without notice, stays due, and its number
 * is free.  Otherwise *row_out is untouched.
 */
enum scheduler_disposition scheduler_add(struct scheduler *scheduler, const struct scheduler_row *offered,
                                         uint32_t *row_out);

/* ---- starts: false if there is nothing to start now ---- */

/* Look up the destination of this row: its addresses, or mail hosts and their addresses. */
bool scheduler_next_lookup(struct scheduler *scheduler, struct scheduler_start *start_out);

/* Start a delivery or session in a free slot. */
bool scheduler_next(struct scheduler *scheduler, struct scheduler_start *start_out);

/* One more row for a session that has not begun.  Also false when it has its share of the waiting rows. */
bool scheduler_next_along(struct scheduler *scheduler, uint32_t slot, struct scheduler_start *start_out);

/* ---- what became of them ---- */

/* The lookup found addresses; the caller keeps them by the destination's number.  (If it failed: scheduler_result.) */
void scheduler_resolved(struct scheduler *scheduler, uint32_t row);

/*
 * What became of the row of this number; it is free from now on, except after SCHEDULER_UNTRIED.  If a session
 * breaks, the row it broke at has failed and the rows behind it are untried.  If no row was reached, that is the
 * destination's failure and so the first row's, or with is_relay nobody's: then all are untried.
 */
void scheduler_result(struct scheduler *scheduler, uint32_t number, enum scheduler_result result);

/* The connection or worker of this slot is gone; all its rows have had their result. */
void scheduler_release(struct scheduler *scheduler, uint32_t number);

/* ---- rows out ---- */

/*
 * Each row that leaves the window without being started; its number is free from now on.  False: none.  Call it after
 * each round of events until it is false; when the run is over it empties the window.
 */
bool scheduler_next_leaver(struct scheduler *scheduler, struct scheduler_leaver *leaver_out);

/* Nothing will be started any more: stop_at_ms has passed, or rule 4 has closed everything. */
bool scheduler_is_over(const struct scheduler *scheduler);

/* No row is waiting or under way, and no slot is held. */
bool scheduler_is_empty(const struct scheduler *scheduler);

#endif
