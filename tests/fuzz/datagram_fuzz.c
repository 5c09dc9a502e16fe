/* SPDX-License-Identifier: MIT */
/* Any bytes as a datagram; what is understood must survive encoding and decoding. */
#include "round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_result result;
    struct arena arena;
    struct err err;

    arena_init(&arena, DATAGRAM_ARENA_BYTES);
    if (datagram_decode(data, size, &arena, &result, &err) == ST_OK)
        require_round_trip(&result);
    else
        require(err.text[0] != '\0');
    arena_done(&arena);
    return 0;
}
