/* SPDX-License-Identifier: MIT */
/* Any bytes as Postfix's log. */
#include "mtalog_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    feed_log((const char *)data, size, MTALOG_POSTFIX);
    return 0;
}
