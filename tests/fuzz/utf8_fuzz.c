/* SPDX-License-Identifier: MIT */
/* Any bytes repaired are valid UTF-8; valid ones are not touched. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    bool is_valid = utf8_is_valid(text, size);
    struct strbuf repaired;
    size_t count;

    strbuf_init(&repaired, 3 * size + 1);
    count = utf8_repair(text, size, &repaired);
    if (strbuf_is_failed(&repaired) || !utf8_is_valid(repaired.data, repaired.len) ||
        (count == 0) != is_valid)
        abort();
    if (is_valid && (repaired.len != size || (size > 0 && memcmp(repaired.data, data, size) != 0)))
        abort();
    strbuf_done(&repaired);
    return 0;
}
