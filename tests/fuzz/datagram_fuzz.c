/* SPDX-License-Identifier: MIT */
/* Any bytes as a datagram; what is understood must survive encoding and decoding. */
#include <stdlib.h>

#include "../unit/event_rows.h"
#include "datagram/datagram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct event *event)
{
    struct event again;
    struct arena arena;
    struct strbuf text;

    arena_init(&arena, DATAGRAM_ARENA_BYTES);
    strbuf_init(&text, 8 * DATAGRAM_BYTES_MAX);
    if (datagram_encode(event, &text, NULL) != ST_OK)
        abort();
    if (text.len <= DATAGRAM_BYTES_MAX &&
        (datagram_decode(text.data, text.len, &arena, &again, NULL) != ST_OK ||
         !events_are_equal(event, &again)))
        abort();
    strbuf_done(&text);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct event event;
    struct arena arena;
    struct err err;

    arena_init(&arena, DATAGRAM_ARENA_BYTES);
    if (datagram_decode(data, size, &arena, &event, &err) == ST_OK)
        check_round_trip(&event);
    arena_done(&arena);
    return 0;
}
