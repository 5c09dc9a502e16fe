/* SPDX-License-Identifier: MIT */
#include "base/json_text.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/strbuf.h"
#include "base/utf8.h"

#define UTF8_GROWTH 3 /* one bad byte becomes the three of U+FFFD */

/* ---- Jansson's memory ---- */

static _Thread_local struct arena *entered; /* where this thread's tree grows; NULL: it parses nothing now */
static _Thread_local jmp_buf *way_out;

/* In a tree's arena a refusal leaves Jansson at once: it holds nothing but what the arena holds. */
static void *take_memory(size_t size)
{
    void *memory;

    if (entered == NULL)
        return malloc(size);
    memory = arena_alloc(entered, size);
    if (memory == NULL)
        longjmp(*way_out, 1);
    return memory;
}

static void give_memory(void *memory)
{
    if (entered == NULL)
        free(memory);
}

static void leave(void)
{
    entered = NULL;
    way_out = NULL;
}

/* ---- trees ---- */

static void prepare_jansson(void)
{
    json_set_alloc_funcs(take_memory, give_memory);
    json_object_seed(0); /* names cannot be chosen to collide */
}

enum status json_text_load(struct arena *arena, const char *text, size_t len, size_t flags, json_t **root_out,
                           json_error_t *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    jmp_buf escape;
    json_t *root;

    (void)pthread_once(&once, prepare_jansson);
    if (setjmp(escape) != 0) {
        leave();
        return ST_NOMEM;
    }
    entered = arena;
    way_out = &escape;
    root = json_loadb(text, len, flags, error);
    leave();
    if (root == NULL)
        return ST_SYNTAX;
    *root_out = root;
    return ST_OK;
}

enum status json_text_load_repaired(struct arena *arena, const char *text, size_t len, size_t flags,
                                    json_t **root_out, json_error_t *error)
{
    enum status status = ST_NOMEM;
    struct strbuf repaired;

    strbuf_init(&repaired, len > SIZE_MAX / UTF8_GROWTH ? SIZE_MAX : len * UTF8_GROWTH);
    (void)utf8_repair(text, len, &repaired);
    if (!strbuf_is_failed(&repaired))
        status = json_text_load(arena, repaired.data, repaired.len, flags, root_out, error);
    strbuf_done(&repaired);
    return status;
}

struct span json_text_span(const json_t *value)
{
    if (!json_is_string(value))
        return (struct span){.at = "", .len = 0};
    return (struct span){.at = json_string_value(value), .len = json_string_length(value)};
}
