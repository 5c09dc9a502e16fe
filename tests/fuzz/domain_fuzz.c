/* SPDX-License-Identifier: MIT */
/* Any bytes as a domain name: what is accepted is in the one form, and stays as it is when read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/domain.h"

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyz0123456789-_."

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *name, *again;
    struct arena arena;

    arena_init(&arena, 1 << 16);
    if (domain_normalise(text, size, &arena, &name, NULL) == ST_OK) {
        size_t len = strlen(name);

        require(len > 0 && len <= DOMAIN_NAME_MAX && strspn(name, NAME_BYTES) == len);
        require(name[0] != '.' && name[len - 1] != '.' && strstr(name, "..") == NULL);
        require(domain_normalise(name, len, &arena, &again, NULL) == ST_OK && strcmp(name, again) == 0);
    }
    if (domain_pattern_normalise(text, size, &arena, &name, NULL) == ST_OK) {
        require(name[0] != '*' || !domain_matches(name + 2, name));
        require(domain_pattern_normalise(name, strlen(name), &arena, &again, NULL) == ST_OK &&
                strcmp(name, again) == 0);
    }
    arena_done(&arena);
    return 0;
}
