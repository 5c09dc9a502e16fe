/* SPDX-License-Identifier: MIT */
#include "model/dkim_key.h"

#include <stdbool.h>
#include <string.h>

#include "base/cursor.h"
#include "model/domain.h"

static const char *const ALGORITHMS[DKIM_ALGORITHM_COUNT] = {
    [DKIM_RSA_SHA256] = "rsa-sha256",
    [DKIM_ED25519_SHA256] = "ed25519-sha256",
};

const char *dkim_algorithm_name(enum dkim_algorithm algorithm)
{
    return ALGORITHMS[algorithm];
}

static bool find_algorithm(struct span name, enum dkim_algorithm *algorithm_out)
{
    for (int i = 0; i < DKIM_ALGORITHM_COUNT; i++)
        if (span_is(name, ALGORITHMS[i])) {
            *algorithm_out = (enum dkim_algorithm)i;
            return true;
        }
    return false;
}

enum status dkim_key_parse(const char *text, struct arena *arena, struct dkim_key_setting *setting_out,
                           struct err *err)
{
    struct dkim_key_setting setting = {0};
    struct span selector, algorithm;
    struct cursor cursor;
    enum status status;

    cursor_init(&cursor, text, strlen(text));
    selector = cursor_take_until(&cursor, ":");
    cursor_expect(&cursor, ":");
    algorithm = cursor_take_until(&cursor, ":");
    cursor_expect(&cursor, ":");
    if (cursor.is_failed || cursor_peek(&cursor) != '/')
        return err_set(err, ST_SYNTAX,
                       "not a DKIM key; use SELECTOR:ALGORITHM:/FILE, as in "
                       "tlsrpt:rsa-sha256:/etc/tlsrpt-gen/dkim.pem");
    if (!find_algorithm(algorithm, &setting.algorithm))
        return err_set(err, ST_SYNTAX, "not a DKIM algorithm; use rsa-sha256 or ed25519-sha256");
    status = domain_normalise(selector.at, selector.len, arena, &setting.selector, NULL);
    if (status != ST_OK && status != ST_NOMEM)
        return err_set(err, ST_SYNTAX, "not a DKIM selector; use letters, digits and '-'");
    setting.file = arena_copy_text(arena, cursor.at, (size_t)(cursor.end - cursor.at));
    if (status == ST_NOMEM || setting.file == NULL)
        return err_set(err, ST_NOMEM, "DKIM key: out of memory");
    *setting_out = setting;
    return ST_OK;
}

struct span dkim_tag_find(struct span list, const char *tag)
{
    struct cursor cursor;

    cursor_init(&cursor, list.at, list.len);
    while (!cursor_at_end(&cursor)) {
        struct span name, value;

        (void)cursor_skip_any(&cursor, " \t\r\n;");
        name = cursor_take_until(&cursor, " \t\r\n=;");
        (void)cursor_skip_any(&cursor, " \t\r\n");
        (void)cursor_skip_word(&cursor, "=");
        (void)cursor_skip_any(&cursor, " \t\r\n");
        value = cursor_take_until(&cursor, ";");
        while (value.len > 0 && strchr(" \t\r\n", value.at[value.len - 1]) != NULL)
            value.len--;
        if (span_is(name, tag))
            return value;
    }
    return (struct span){NULL, 0};
}
