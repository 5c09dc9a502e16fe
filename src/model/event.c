/* SPDX-License-Identifier: MIT */
#include "model/event.h"

void event_set_sending_mta_ip(struct event *event, const char *address)
{
    for (size_t i = 0; i < event->policy_count; i++)
        for (size_t k = 0; k < event->policies[i].detail_count; k++)
            event->policies[i].details[k].sending_mta_ip = address;
}
