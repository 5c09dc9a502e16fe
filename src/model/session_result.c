/* SPDX-License-Identifier: MIT */
#include "model/session_result.h"

void session_result_set_sending_mta_ip(struct session_result *result, const char *address)
{
    for (size_t i = 0; i < result->policy_count; i++)
        for (size_t k = 0; k < result->policies[i].detail_count; k++)
            result->policies[i].details[k].sending_mta_ip = address;
}
