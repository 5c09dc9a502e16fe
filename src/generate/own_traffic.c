/* SPDX-License-Identifier: MIT */
#include "own_traffic.h"

/* Successes by policy type: a session is counted at most once in each type, but maybe in several types. */
struct counts {
    uint64_t by_type[POLICY_TYPE_COUNT];
};

static enum status add_policy(void *context, const struct policy *policy,
                              const struct session_counts *sessions, struct err *err)
{
    struct counts *counts = context;

    (void)err;
    counts->by_type[policy->type] += sessions->success;
    return ST_OK;
}

/* The fewest sessions that these counts can come from. */
static uint64_t fewest_sessions(const struct counts *counts)
{
    uint64_t most = 0;

    for (size_t i = 0; i < POLICY_TYPE_COUNT; i++)
        if (counts->by_type[i] > most)
            most = counts->by_type[i];
    return most;
}

enum status own_traffic_is_all(struct generator *generator, int32_t utc_day, const char *domain,
                               const struct session_counts *sessions, bool *is_all_out, struct err *err)
{
    struct counts counts = {.by_type = {0}};
    const struct report_visitor visitor = {.policy = add_policy, .context = &counts};
    int64_t mailed = 0;
    enum status status = ST_OK;

    *is_all_out = false;
    if (sessions->failure > 0 || generator->ledger == NULL)
        return ST_OK;
    status = ledger_mailed(generator->ledger, utc_day, domain, &mailed, err);
    if (status != ST_OK || mailed == 0 || sessions->success > (uint64_t)mailed * POLICY_TYPE_COUNT)
        return status;
    status = session_reader_read_domain(generator->sessions, utc_day, domain, &visitor, err);
    if (status == ST_OK)
        *is_all_out = fewest_sessions(&counts) <= (uint64_t)mailed;
    return status;
}
