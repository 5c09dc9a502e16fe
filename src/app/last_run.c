/* SPDX-License-Identifier: MIT */
/* The line has always the same length, so that a new one covers the old one. */
#include "app/last_run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/stores.h"
#include "base/file.h"
#include "base/strbuf.h"

#define LINE_MAX_BYTES 64

void last_run_note(int lock_fd, int64_t utc_s)
{
    char line[LINE_MAX_BYTES];
    int len = snprintf(line, sizeof line, "%020lld\n", (long long)utc_s);
    ssize_t written = pwrite(lock_fd, line, (size_t)len, 0);

    (void)written; /* a time that is missing is old soon, and that is what `status` reports */
}

int64_t last_run_read(const struct config *config)
{
    char path[PATH_MAX];
    struct strbuf text;
    int64_t utc_s = 0;

    strbuf_init(&text, LINE_MAX_BYTES);
    if (stores_path(config, LAST_RUN_FILE, path, NULL) == ST_OK && file_read(path, &text, NULL) == ST_OK)
        utc_s = strtoll(text.data, NULL, 10);
    strbuf_done(&text);
    return utc_s;
}
