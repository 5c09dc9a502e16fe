/* SPDX-License-Identifier: MIT */
#include "json_text.h"

#include "base/memory.h"

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

enum status json_text_load(const char *text, size_t len, json_t **root_out, json_error_t *error)
{
    json_t *root;

    (void)memory_was_short(); /* an earlier lack is no news */
    root = json_loadb(text, len, FLAGS, error);
    if (memory_was_short()) {
        json_decref(root);
        return ST_NOMEM;
    }
    *root_out = root;
    return root != NULL ? ST_OK : ST_SYNTAX;
}

enum status json_text_load_in(struct arena *arena, const char *text, size_t len, json_t **root_out,
                              json_error_t *error)
{
    jmp_buf escape;
    json_t *root;

    if (setjmp(escape) != 0)
        return ST_NOMEM;
    memory_enter(arena, &escape);
    root = json_loadb(text, len, FLAGS, error);
    memory_leave();
    if (root == NULL)
        return ST_SYNTAX;
    *root_out = root;
    return ST_OK;
}
