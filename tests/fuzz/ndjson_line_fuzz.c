/* SPDX-License-Identifier: MIT */
/* Any bytes as a line of JSON with an outcome; what is understood is an event like any other. */
#include "datagram/ndjson_line.h"
#include "round_trip.h"

#define NOW_S 1795290000 /* 2026-11-21T23:00:00Z */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_result result;
    struct arena arena;
    struct err err = {0};
    enum status status;
    int64_t utc_s;

    arena_init(&arena, NDJSON_LINE_ARENA_BYTES);
    status = ndjson_line_decode(data, size, NOW_S, &arena, &result, &utc_s, &err);
    require(status != ST_NOMEM);
    if (status == ST_OK)
        require_round_trip(&result);
    else
        require(err.text[0] != '\0');
    arena_done(&arena);
    return 0;
}
