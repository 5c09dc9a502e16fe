/* SPDX-License-Identifier: MIT */
#include "store/session_text.h"

#include <string.h>

#include "base/cursor.h"

enum status session_text_split(const char *joined, struct arena *arena, struct text_list *list_out,
                               struct err *err)
{
    struct text_list list = {0};
    struct cursor cursor;

    cursor_init(&cursor, joined, strlen(joined));
    if (cursor_at_end(&cursor)) {
        *list_out = list;
        return ST_OK;
    }
    list.items = arena_alloc_array(arena, POLICY_LINES_MAX, sizeof list.items[0]);
    do {
        struct span line = cursor_take_until(&cursor, "\n");

        if (list.items == NULL || list.count == POLICY_LINES_MAX)
            return err_set(err, ST_NOMEM, "session store: a policy's text is too long");
        list.items[list.count] = arena_copy_text(arena, line.at, line.len);
        if (list.items[list.count++] == NULL)
            return err_set(err, ST_NOMEM, "session store: out of memory");
    } while (cursor_skip_word(&cursor, "\n"));
    *list_out = list;
    return ST_OK;
}
