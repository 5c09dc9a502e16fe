/* SPDX-License-Identifier: MIT */
#include "report_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/utf8.h"
#include "report/report_read.h"

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

/* What Jansson refuses at first, and the flag that makes it go on. */
static const struct {
    enum json_error_code code;
    size_t add, remove; /* flags */
    const char *rule;
    const char *text;
} PARDONS[] = {
    {json_error_duplicate_key, 0, JSON_REJECT_DUPLICATES, "RFC 7493 section 2.3",
     "an object has two members of the same name; the last one is shown"},
    {json_error_end_of_input_expected, JSON_DISABLE_EOF_CHECK, 0, "RFC 8259 section 2",
     "there is something behind the JSON text; it is left out"},
};

static void add_finding(struct finding_list *findings, const char *rule, const char *text)
{
    if (findings != NULL)
        finding_add(findings, FINDING_MUST, rule, "(the whole text)", "%s", text);
}

/* Index of the pardon for this error that is not given yet; ARRAY_COUNT(PARDONS) if there is none. */
static size_t find_pardon(enum json_error_code code, size_t flags)
{
    for (size_t i = 0; i < ARRAY_COUNT(PARDONS); i++)
        if (PARDONS[i].code == code && ((PARDONS[i].add & ~flags) != 0 || (PARDONS[i].remove & flags) != 0))
            return i;
    return ARRAY_COUNT(PARDONS);
}

typedef enum status load_fn(struct arena *arena, const char *text, size_t len, size_t flags,
                            json_t **root_out, json_error_t *error);

static enum status load_text(load_fn *load, struct arena *arena, const char *json, size_t len,
                             struct finding_list *findings, json_t **tree_out, struct err *err)
{
    size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;

    for (size_t round = 0; round <= ARRAY_COUNT(PARDONS); round++) {
        json_error_t error;
        size_t pardon;
        enum status status = load(arena, json, len, flags, tree_out, &error);

        if (status == ST_NOMEM)
            return err_set(err, ST_NOMEM, "out of memory");
        if (status == ST_OK)
            return ST_OK;
        pardon = find_pardon(json_error_code(&error), flags);
        if (pardon == ARRAY_COUNT(PARDONS))
            return err_set(err, ST_SYNTAX, "not JSON: %s (line %d, column %d)", error.text, error.line,
                           error.column);
        flags = (flags | PARDONS[pardon].add) & ~PARDONS[pardon].remove;
        add_finding(findings, PARDONS[pardon].rule, PARDONS[pardon].text);
    }
    return err_set(err, ST_SYNTAX, "not JSON");
}

enum status report_json_load(struct arena *arena, const char *json, size_t len, struct finding_list *findings,
                             json_t **tree_out, struct err *err)
{
    if (len >= strlen(BYTE_ORDER_MARK) && memcmp(json, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0) {
        add_finding(findings, "RFC 8259 section 8.1", "a byte order mark stands in front");
        json += strlen(BYTE_ORDER_MARK);
        len -= strlen(BYTE_ORDER_MARK);
    }
    if (utf8_is_valid(json, len))
        return load_text(json_text_load, arena, json, len, findings, tree_out, err);
    add_finding(findings, "RFC 7493 section 2.1", "not everything is UTF-8; what is not is shown as U+FFFD");
    return load_text(json_text_load_repaired, arena, json, len, findings, tree_out, err);
}
