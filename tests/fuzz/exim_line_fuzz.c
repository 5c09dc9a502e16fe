/* SPDX-License-Identifier: MIT */
/* Any bytes as a line of Exim's event action; what is understood is an event like any other. */
#include "datagram/exim_line.h"
#include "round_trip.h"

#define NOW_S 1795290000 /* 2026-11-21T23:00:00Z */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_result result;
    struct arena arena;
    struct err err = {0};
    enum status status;

    (void)exim_line_is_one(data, size);
    arena_init(&arena, EXIM_LINE_ARENA_BYTES);
    status = exim_line_decode(data, size, NOW_S, &arena, &result, &err);
    require(status != ST_NOMEM);
    if (status == ST_OK) {
        require(result.policy_count == 1 && !result.has_utc_day);
        require_round_trip(&result);
    } else if (status != ST_NOT_FOUND) {
        require(err.text[0] != '\0');
    }
    arena_done(&arena);
    return 0;
}
