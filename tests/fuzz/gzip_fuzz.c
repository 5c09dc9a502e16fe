/* SPDX-License-Identifier: MIT */
/* Inflate any bytes within a limit; what comes out goes in and out again unchanged. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compress/gzip.h"

#define INFLATED_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf first, packed, second;
    struct gzip gzip;
    struct err err = {0};

    strbuf_init(&first, INFLATED_MAX);
    strbuf_init(&packed, 2 * INFLATED_MAX);
    strbuf_init(&second, INFLATED_MAX);
    if (gzip_inflate(data, size, &first, &err) == ST_OK) {
        if (gzip_open(&gzip, &err) != ST_OK)
            abort();
        gzip_begin(&gzip, &packed);
        if (gzip_add(&gzip, first.data, first.len, &err) != ST_OK || gzip_end(&gzip, &err) != ST_OK ||
            gzip_inflate(packed.data, packed.len, &second, &err) != ST_OK || second.len != first.len ||
            memcmp(second.data, first.data, first.len) != 0)
            abort();
        gzip_close(&gzip);
    } else if (err.text[0] == '\0') {
        abort();
    }
    strbuf_done(&first);
    strbuf_done(&packed);
    strbuf_done(&second);
    return 0;
}
