/* SPDX-License-Identifier: MIT */
#include "smtp_pin.h"

#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

typedef int getaddrinfo_fn(const char *node, const char *service, const struct addrinfo *hints,
                           struct addrinfo **result);

static const char *pinned_address;

void smtp_pin_address(const char *address)
{
    pinned_address = address;
}

static getaddrinfo_fn *next_getaddrinfo(void)
{
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    getaddrinfo_fn *function = NULL;

    memcpy(&function, &symbol, sizeof function); /* ISO C has no cast from void * to a function */
    return function;
}

/* Visible to the libraries of this process, libesmtp above all. */
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's are reserved names
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **result)
{
    getaddrinfo_fn *next = next_getaddrinfo();

    if (next == NULL)
        return EAI_FAIL;
    return next(pinned_address != NULL ? pinned_address : node, service, hints, result);
}
