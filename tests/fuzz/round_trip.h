/* SPDX-License-Identifier: MIT */
/* round_trip.h - what each fuzz target that makes session results asks: canonical, equal after the wire. */
#ifndef TESTS_FUZZ_ROUND_TRIP_H
#define TESTS_FUZZ_ROUND_TRIP_H

#include <stdlib.h>

#include "../unit/result_rows.h"
#include "base/utf8.h"
#include "datagram/datagram.h"

static inline void require(bool is_true)
{
    if (!is_true)
        abort();
}

/* Encode the event and decode it: the same event, if it is short enough for a datagram at all. */
static inline void require_round_trip(const struct session_result *result)
{
    struct session_result again;
    struct arena arena;
    struct strbuf text;

    arena_init(&arena, DATAGRAM_ARENA_BYTES);
    strbuf_init(&text, 8 * DATAGRAM_BYTES_MAX);
    require(datagram_encode(result, &text, NULL) == ST_OK);
    require(utf8_is_valid(text.data, text.len));
    if (text.len <= DATAGRAM_BYTES_MAX)
        require(datagram_decode(text.data, text.len, &arena, &again, NULL) == ST_OK &&
                results_are_equal(result, &again));
    strbuf_done(&text);
    arena_done(&arena);
}

#endif
