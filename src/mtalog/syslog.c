/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "reader.h"

/* Bytes before the first `byte` in text; all if it is not there. */
static size_t bytes_before(struct span text, char byte)
{
    const char *found = memchr(text.at, byte, text.len);

    return found != NULL ? (size_t)(found - text.at) : text.len;
}

static struct span skip(struct span text, size_t len)
{
    return (struct span){text.at + len, text.len - len};
}

bool syslog_split(struct span rest, struct syslog_line *out)
{
    size_t len = bytes_before(rest, ' ');
    size_t tag_len = 0;

    if (len == 0 || len == rest.len)
        return false;
    out->host = (struct span){rest.at, len};
    rest = skip(rest, len + 1);
    while (tag_len < rest.len && rest.at[tag_len] != ':' && rest.at[tag_len] != '[' &&
           rest.at[tag_len] != ' ')
        tag_len++;
    out->tag = (struct span){rest.at, tag_len};
    rest = skip(rest, tag_len);
    out->pid = (struct span){rest.at, 0};
    if (rest.len > 0 && rest.at[0] == '[') {
        len = bytes_before(rest, ']');
        if (len == rest.len)
            return false;
        out->pid = (struct span){rest.at + 1, len - 1};
        rest = skip(rest, len + 1);
    }
    if (tag_len == 0 || rest.len < 2 || rest.at[0] != ':' || rest.at[1] != ' ')
        return false;
    out->message = skip(rest, 2);
    return true;
}
