/* SPDX-License-Identifier: MIT */
/*
 * mtalog.h - what an MTA's log says about its TLS sessions, as session results.
 *
 * In:     lines of Exim's mainlog, or of Postfix's part of mail.log (RFC 3164, RFC 3339 or short-iso stamps;
 *         Exim's own stamps, also after syslog's).  All texts in them may come from a hostile server or sender.
 * Out:    one struct session_result for each TLS session and policy domain, through a callback.
 * Source: the log forms of Exim 4.96 to 4.100 and Postfix 3.7 to 3.11; RFC 8460 section 4.
 * Limits: MTALOG_*_MAX; a line longer than MTALOG_LINE_MAX is counted and skipped.  Memory is allocated once.
 *
 * It counts sessions, not recipients or messages.  Sessions whose result or policy domain the log does not show
 * are not reported.  A policy is tlsa if the MTA says that it was DANE, sts if a policy plug-in (postfix-tlspol)
 * said so in the same log, else no-policy-found.
 *
 * Results have no TLSRPT record, policy text or EHLO answer: logs do not have them.
 */
#ifndef MTALOG_MTALOG_H
#define MTALOG_MTALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/cursor.h"
#include "base/err.h"
#include "model/session_result.h"

#define MTALOG_LINE_MAX      65536
#define MTALOG_PROCESSES_MAX 4096 /* Postfix smtp processes with something open */
#define MTALOG_MESSAGES_MAX  4096 /* Exim messages with something open */
#define MTALOG_OPEN_S        900  /* what stays open for so long in the log's time is closed */
#define MTALOG_MEMORY_WORDS  8

enum mtalog_mta {
    MTALOG_EXIM,
    MTALOG_POSTFIX,
};

/* Sessions with this host are about this domain (a relay), or about none (domain NULL: leave them out). */
struct mtalog_relay {
    const char *host;
    const char *domain;
};

/*
 * result and what it points to live until the callback returns; utc_s: when it was logged.  Anything but ST_OK
 * ends the current mtalog_feed or mtalog_flush with that status.
 */
typedef enum status mtalog_result_fn(void *context, const struct session_result *result, int64_t utc_s);

/* All borrowed for the life of the reader. */
struct mtalog_settings {
    enum mtalog_mta mta;
    /* The policy of verified or required TLS in Postfix's log, which does not name it: POLICY_NO_POLICY_FOUND
     * unless the operator knows better. */
    enum policy_type mandatory_tls;
    const struct mtalog_relay *relays;
    size_t relay_count;
    const char *const *ignored_senders; /* mail from these is not counted (our own reports) */
    size_t ignored_sender_count;
    uint32_t open_max; /* a power of two: processes or messages with something open; 0: the MAX above */
    mtalog_result_fn *on_result;
    void *context;
};

struct mtalog_counts {
    uint64_t lines;
    uint64_t too_long; /* lines over MTALOG_LINE_MAX */
    uint64_t results;
    uint64_t ambiguous; /* failures that could be any of several domains' */
    uint64_t no_domain; /* results whose recipient has no usable domain (an address literal) */
    uint64_t evicted;   /* open sessions that had to make room */
};

struct mtalog;

/* ST_NOMEM */
MUST_CHECK enum status mtalog_new(const struct mtalog_settings *settings, struct mtalog **log_out,
                                  struct err *err);
void mtalog_free(struct mtalog **log);

/* The clock, for stamps without a year. */
void mtalog_set_now(struct mtalog *log, int64_t now_s);

/*
 * One line, without its newline.  offset: where it begins in the log; it must grow from line to line.
 * ST_OK     also for lines that are not about TLS sessions
 * ST_NOMEM  or the callback's status
 */
MUST_CHECK enum status mtalog_feed(struct mtalog *log, struct span line, uint64_t offset, struct err *err);

/* The log is at its end (for now): emit what is certain and drop all that is open.  Statuses as mtalog_feed. */
MUST_CHECK enum status mtalog_flush(struct mtalog *log, struct err *err);

/*
 * Reading from this offset on brings a fresh reader to the same state: where the oldest thing still open
 * began, or next_offset if nothing is.
 */
uint64_t mtalog_replay_offset(const struct mtalog *log, uint64_t next_offset);

/* State that a replay does not restore (which hosts log TLSRPT lines); opaque. */
void mtalog_get_memory(const struct mtalog *log, uint64_t words_out[MTALOG_MEMORY_WORDS]);
void mtalog_set_memory(struct mtalog *log, const uint64_t words[MTALOG_MEMORY_WORDS]);

const struct mtalog_counts *mtalog_counts(const struct mtalog *log);

#endif
