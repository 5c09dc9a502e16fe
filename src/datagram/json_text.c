/* SPDX-License-Identifier: MIT */
#include "json_text.h"

#include "base/memory.h"

enum status json_text_load(const char *text, size_t len, json_t **root_out, json_error_t *error)
{
    json_t *root;

    (void)memory_was_short(); /* an earlier lack is no news */
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, error);
    if (memory_was_short()) {
        json_decref(root);
        return ST_NOMEM;
    }
    *root_out = root;
    return root != NULL ? ST_OK : ST_SYNTAX;
}
