/* SPDX-License-Identifier: MIT */
/*
 * mtalog_feed.h - any bytes as an MTA's log.  Every event is canonical, each is counted, and the
 * replay never begins behind what was read.
 */
#ifndef TESTS_FUZZ_MTALOG_FEED_H
#define TESTS_FUZZ_MTALOG_FEED_H

#include "mtalog/mtalog.h"
#include "round_trip.h"

#define NOW_S 1795290000 /* 2026-11-21T23:00:00Z */

static inline enum status check_result(void *context, const struct session_result *result, int64_t utc_s)
{
    uint64_t *emitted = context;

    (void)utc_s;
    require(result->policy_count == 1 && result->policies[0].detail_count <= 1);
    require_round_trip(result);
    (*emitted)++;
    return ST_OK;
}

static inline void feed_log(const char *text, size_t size, enum mtalog_mta mta)
{
    static const struct mtalog_relay RELAYS[] = {{"relay.example", "north.example"}, {"inner.example", NULL}};
    static const char *const IGNORED[] = {"tls-reports@south.example"};
    uint64_t emitted = 0;
    const struct mtalog_settings settings = {.mta = mta,
                                             .mandatory_tls = POLICY_NO_POLICY_FOUND,
                                             .relays = RELAYS,
                                             .relay_count = ARRAY_COUNT(RELAYS),
                                             .ignored_senders = IGNORED,
                                             .ignored_sender_count = ARRAY_COUNT(IGNORED),
                                             .on_result = check_result,
                                             .context = &emitted};
    struct mtalog *log = NULL;
    struct cursor cursor;
    uint64_t lines = 0;

    require(mtalog_new(&settings, &log, NULL) == ST_OK);
    mtalog_set_now(log, NOW_S);
    cursor_init(&cursor, text, size);
    while (!cursor_at_end(&cursor)) {
        size_t offset = cursor_offset(&cursor);
        struct span line = cursor_take_until(&cursor, "\n");

        require(mtalog_feed(log, line, offset, NULL) == ST_OK);
        (void)cursor_skip_word(&cursor, "\n");
        require(mtalog_replay_offset(log, cursor_offset(&cursor)) <= cursor_offset(&cursor));
        lines++;
    }
    require(mtalog_flush(log, NULL) == ST_OK);
    require(mtalog_replay_offset(log, size) <= size);
    require(mtalog_counts(log)->lines == lines && mtalog_counts(log)->results == emitted);
    mtalog_free(&log);
}

#endif
