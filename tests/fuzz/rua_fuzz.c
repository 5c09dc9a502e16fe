/* SPDX-License-Identifier: MIT */
/* Any bytes as a report destination: what is accepted is printable, bounded, and reads back as itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/rua.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

/* Visible ASCII only, except that a quoted local part may have blanks. */
static void check_text(const char *text, bool may_have_blank)
{
    for (; *text != '\0'; text++)
        require((*text > ' ' && *text < 0x7F) || (may_have_blank && *text == ' '));
}

static void check_mailto(const struct rua *rua)
{
    check_text(rua->address, rua->local_part[0] == '"');
    require(strlen(rua->address) <= RUA_ADDRESS_MAX && strlen(rua->local_part) <= RUA_LOCAL_PART_MAX);
    require(rua->local_part[0] == '"' || strpbrk(rua->local_part, "@<>(),;:\\\"[]") == NULL);
    require(strchr(rua->domain, '.') != NULL && strpbrk(rua->domain, "@<>(),;:\\\"[]!%/") == NULL);
}

static void check_https(const struct rua *rua)
{
    check_text(rua->host, false);
    require(rua->port != 0 && rua->target[0] == '/');
    require(strpbrk(rua->target, "[]{}#!,;\\\"<>") == NULL && strpbrk(rua->host, "@/?#[]") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct rua rua, again;

    arena_init(&arena, 1 << 20);
    if (rua_read((const char *)data, size, &arena, &rua) == RUA_FAULT_NONE) {
        check_text(rua.uri, false);
        if (rua.kind == RUA_MAILTO)
            check_mailto(&rua);
        else
            check_https(&rua);
        require(rua_read(rua.uri, strlen(rua.uri), &arena, &again) == RUA_FAULT_NONE);
        require(again.kind == rua.kind && strcmp(again.uri, rua.uri) == 0);
    }
    arena_done(&arena);
    return 0;
}
