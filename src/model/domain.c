/* SPDX-License-Identifier: MIT */
/*
 * U-labels become A-labels (libidn2), then one pass folds letters and checks every byte and label.  Names in
 * this form are compared as bytes; a pattern is "*." before such a name.
 */
#include "model/domain.h"

#include <idn2.h>
#include <string.h>

/*
 * Copy text[0..len) with its letters folded to lower case into out and check it against
 * name = label *("." label), label = 1*63(LDH / "_"), no '-' at either end.
 */
static enum status fold_and_check(const char *text, size_t len, char *out, struct err *err)
{
    size_t label = 0;

    for (size_t i = 0; i <= len; i++) {
        char byte = i < len ? text[i] : '.';

        if (byte >= 'A' && byte <= 'Z')
            byte = (char)(byte - 'A' + 'a');
        out[i] = byte;
        if (byte == '.') {
            if (label == 0)
                return err_set(err, ST_SYNTAX, "domain name has an empty label");
            if (label > DOMAIN_LABEL_MAX)
                return err_set(err, ST_RANGE, "domain name has a label longer than %d bytes",
                               DOMAIN_LABEL_MAX);
            if (out[i - 1] == '-' || out[i - label] == '-')
                return err_set(err, ST_SYNTAX, "domain name has a label that begins or ends with '-'");
            label = 0;
            continue;
        }
        if (!((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_'))
            return err_set(err, ST_SYNTAX, "domain name has byte 0x%02x at offset %zu", (unsigned char)byte,
                           i);
        label++;
    }
    out[len] = '\0';
    return ST_OK;
}

static bool is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

/* A dotted quad passes for a name by its letters; it is an address, not a domain. */
static bool is_all_numeric(const char *name)
{
    return strspn(name, "0123456789.") == strlen(name);
}

static enum status to_a_labels(const char *text, size_t len, struct arena *arena, const char **text_out,
                               struct err *err)
{
    char *copy = arena_copy_text(arena, text, len);
    char *ascii = NULL;
    int code;

    if (copy == NULL)
        return err_set(err, ST_NOMEM, "domain name: out of memory");
    if (strlen(copy) != len)
        return err_set(err, ST_SYNTAX, "domain name has a NUL byte");
    code = idn2_to_ascii_8z(copy, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
    if (code == IDN2_MALLOC)
        return err_set(err, ST_NOMEM, "domain name: out of memory");
    if (code != IDN2_OK)
        return err_set(err, ST_SYNTAX, "domain name: %s", idn2_strerror(code));
    *text_out = arena_copy_text(arena, ascii, strlen(ascii));
    idn2_free(ascii);
    return *text_out != NULL ? ST_OK : err_set(err, ST_NOMEM, "domain name: out of memory");
}

enum status domain_normalise(const char *text, size_t len, struct arena *arena, const char **domain_out,
                             struct err *err)
{
    enum status status;
    char *name;

    if (len > 4 * DOMAIN_NAME_MAX)
        return err_set(err, ST_RANGE, "domain name is longer than %d bytes", DOMAIN_NAME_MAX);
    if (!is_ascii(text, len)) {
        status = to_a_labels(text, len, arena, &text, err);
        if (status != ST_OK)
            return status;
        len = strlen(text);
    }
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len > DOMAIN_NAME_MAX)
        return err_set(err, ST_RANGE, "domain name is longer than %d bytes", DOMAIN_NAME_MAX);
    name = arena_alloc(arena, len + 1);
    if (name == NULL)
        return err_set(err, ST_NOMEM, "domain name: out of memory");
    status = fold_and_check(text, len, name, err);
    if (status != ST_OK)
        return status;
    if (is_all_numeric(name))
        return err_set(err, ST_SYNTAX, "an address stands where a domain name is expected");
    *domain_out = name;
    return ST_OK;
}

enum status domain_pattern_normalise(const char *text, size_t len, struct arena *arena,
                                     const char **pattern_out, struct err *err)
{
    bool is_wildcard = len >= 2 && memcmp(text, "*.", 2) == 0;
    const char *name = NULL;
    enum status status;

    status = domain_normalise(text + (is_wildcard ? 2 : 0), len - (is_wildcard ? 2 : 0), arena, &name, err);
    if (status != ST_OK)
        return status;
    if (is_wildcard)
        name = arena_format(arena, "*.%s", name);
    if (name == NULL)
        return err_set(err, ST_NOMEM, "domain pattern: out of memory");
    *pattern_out = name;
    return ST_OK;
}

bool domain_matches(const char *domain, const char *pattern)
{
    size_t domain_len = strlen(domain);
    size_t rest_len;

    if (strncmp(pattern, "*.", 2) != 0)
        return strcmp(domain, pattern) == 0;
    rest_len = strlen(pattern + 1);
    return domain_len > rest_len && strcmp(domain + domain_len - rest_len, pattern + 1) == 0;
}
