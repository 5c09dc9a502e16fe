/* SPDX-License-Identifier: MIT */
#include "identity.h"

#include <string.h>

#include "model/domain.h"

#define LOCAL_PART_MAX 64 /* RFC 5321 section 4.5.3.1.1 */

/* dot-atom (RFC 5322 section 3.2.3). */
static bool is_dot_atom(const char *text, size_t len)
{
    static const char ATEXT_AND_DOT[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~.";

    return len > 0 && len <= LOCAL_PART_MAX && strspn(text, ATEXT_AND_DOT) >= len && text[0] != '.' &&
           text[len - 1] != '.' && memmem(text, len, "..", 2) == NULL;
}

enum status identity_mailbox_normalise(const char *text, struct arena *arena, const char **mailbox_out,
                                       const char **domain_out, struct err *err)
{
    const char *at_sign = strrchr(text, '@');
    const char *domain, *mailbox;
    enum status status;

    if (at_sign == NULL || !is_dot_atom(text, (size_t)(at_sign - text)))
        return err_set(err, ST_SYNTAX,
                       "not a mail address; use local@domain without display name or brackets");
    status = domain_normalise(at_sign + 1, strlen(at_sign + 1), arena, &domain, err);
    if (status == ST_NOMEM)
        return status;
    if (status != ST_OK || strchr(domain, '.') == NULL)
        return err_set(err, ST_SYNTAX,
                       "the part after the @ is not a full domain name, as in reports@example.org");
    mailbox = arena_format(arena, "%.*s@%s", (int)(at_sign - text), text, domain);
    if (mailbox == NULL)
        return err_set(err, ST_NOMEM, "mail address: out of memory");
    *mailbox_out = mailbox;
    *domain_out = domain;
    return ST_OK;
}

static bool is_below(const char *name, const char *parent)
{
    size_t name_len = strlen(name);
    size_t parent_len = strlen(parent);

    return name_len > parent_len && name[name_len - parent_len - 1] == '.' &&
           strcmp(name + name_len - parent_len, parent) == 0;
}

bool identity_is_aligned(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || is_below(a, b) || is_below(b, a);
}
