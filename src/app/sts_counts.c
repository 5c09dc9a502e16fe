/* SPDX-License-Identifier: MIT */
#include "app/sts_counts.h"

#include <stdio.h>
#include <string.h>

#include "app/stores.h"
#include "base/clock.h"
#include "model/utc_day.h"

static enum status add_domain(void *context, const struct session_sts *sts, struct err *err)
{
    struct sts_counts *counts = context;
    size_t len = strlen(counts->names);

    (void)err;
    if (sts->is_enforced && *counts->enforced == '\0')
        (void)snprintf(counts->enforced, sizeof counts->enforced, "%s", sts->domain);
    if (sts->without_type == 0)
        return ST_OK;
    if (counts->domains <= STS_DOMAINS_SHOWN)
        (void)snprintf(counts->names + len, sizeof counts->names - len, "%s%s", len > 0 ? ", " : "",
                       counts->domains < STS_DOMAINS_SHOWN ? sts->domain : "...");
    counts->sessions += sts->without_type;
    counts->domains++;
    return ST_OK;
}

void sts_counts_read(const struct config *config, struct sts_counts *counts_out)
{
    const int32_t yesterday = utc_day_of(clock_utc_s() - UTC_DAY_SECONDS);
    struct session_reader *sessions = NULL;
    struct sts_counts counts = {0};
    struct err err;
    enum status status = stores_open_sessions(config, SESSION_READ, &sessions, &err);

    if (status == ST_OK && sessions != NULL)
        status =
            session_reader_each_sts(sessions, yesterday, config->mta_sts_domain, add_domain, &counts, &err);
    session_reader_close(&sessions);
    *counts_out = status == ST_OK ? counts : (struct sts_counts){0};
}
