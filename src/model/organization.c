/* SPDX-License-Identifier: MIT */
#include "model/organization.h"

#include <libpsl.h>
#include <pthread.h>
#include <stddef.h>

static psl_ctx_t *list;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Kept until the process ends. */
static void load_list(void)
{
    list = psl_latest(NULL);
}

const char *organization_of(const char *domain)
{
    const char *found;

    (void)pthread_once(&once, load_list);
    found = list != NULL ? psl_registrable_domain(list, domain) : NULL;
    return found != NULL ? found : domain;
}
