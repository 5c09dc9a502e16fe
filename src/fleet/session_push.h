/* SPDX-License-Identifier: MIT */
/*
 * session_push.h - all rows of a SQLite session store as numbers, one snapshot of them, for push.c; the texts
 * behind a number are asked for where they are wanted.
 */
#ifndef FLEET_SESSION_PUSH_H
#define FLEET_SESSION_PUSH_H

#include "store/session_reader.h"

enum session_push_kind {
    PUSH_TALLY,  /* a: success, b: failure */
    PUSH_DETAIL, /* a: sessions */
    PUSH_RECORD, /* a: last_seen_s */
    PUSH_KIND_COUNT,
};

struct session_push_row {
    enum session_push_kind kind;
    const char *domain; /* lives until the callback returns */
    int64_t domain_id;
    int32_t utc_day;
    int64_t policy_id; /* 0 for a record */
    int64_t item_id;   /* of the detail or the record, else 0 */
    int64_t a, b;
};

typedef enum status session_push_fn(void *context, const struct session_push_row *row, struct err *err);

/* From here to session_push_end all readings see one snapshot, of which everything is on the disk. */
MUST_CHECK enum status session_push_begin(struct session_reader *reader, struct err *err);
void session_push_end(struct session_reader *reader);

/* Each row of that kind from from_day on, by domain. */
MUST_CHECK enum status session_push_each(struct session_reader *reader, enum session_push_kind kind,
                                         int32_t from_day, session_push_fn *fn, void *context,
                                         struct err *err);

#define SESSION_PUSH_TEXTS 7

/*
 * The texts of the row's policy (type as a number, policy_domain, strings, mx_hosts), detail (seven, as
 * stored) or record (one); they live until the next call.
 * ST_INTERNAL  there is none
 */
MUST_CHECK enum status session_push_texts(struct session_reader *reader, const struct session_push_row *row,
                                          enum session_push_kind kind,
                                          const char *texts_out[SESSION_PUSH_TEXTS], struct err *err);

#endif
