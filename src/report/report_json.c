/* SPDX-License-Identifier: MIT */
#include "report_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "report/report_read.h"

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"
#define UTF8_GROWTH     3 /* one bad byte becomes the three of U+FFFD */

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

static enum status load_text(const char *json, size_t len, struct finding_list *findings, json_t **tree_out,
                             struct err *err)
{
    size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;

    for (size_t round = 0; round <= ARRAY_COUNT(PARDONS); round++) {
        json_error_t error;
        json_t *tree;
        size_t pardon;

        (void)memory_was_short(); /* an earlier lack is no news */
        tree = json_loadb(json, len, flags, &error);
        if (memory_was_short()) {
            json_decref(tree);
            return err_set(err, ST_NOMEM, "out of memory");
        }
        if (tree != NULL) {
            *tree_out = tree;
            return ST_OK;
        }
        pardon = find_pardon(json_error_code(&error), flags);
        if (pardon == ARRAY_COUNT(PARDONS))
            return err_set(err, ST_SYNTAX, "not JSON: %s (line %d, column %d)", error.text, error.line,
                           error.column);
        flags = (flags | PARDONS[pardon].add) & ~PARDONS[pardon].remove;
        add_finding(findings, PARDONS[pardon].rule, PARDONS[pardon].text);
    }
    return err_set(err, ST_SYNTAX, "not JSON");
}

enum status report_json_load(const char *json, size_t len, struct finding_list *findings, json_t **tree_out,
                             struct err *err)
{
    struct strbuf repaired;
    enum status status;

    json_set_alloc_funcs(memory_alloc, free);
    if (len >= strlen(BYTE_ORDER_MARK) && memcmp(json, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0) {
        add_finding(findings, "RFC 8259 section 8.1", "a byte order mark stands in front");
        json += strlen(BYTE_ORDER_MARK);
        len -= strlen(BYTE_ORDER_MARK);
    }
    if (utf8_is_valid(json, len))
        return load_text(json, len, findings, tree_out, err);
    add_finding(findings, "RFC 7493 section 2.1", "not everything is UTF-8; what is not is shown as U+FFFD");
    strbuf_init(&repaired, len > SIZE_MAX / UTF8_GROWTH ? SIZE_MAX : len * UTF8_GROWTH);
    (void)utf8_repair(json, len, &repaired);
    status = strbuf_is_failed(&repaired) ? err_set(err, ST_NOMEM, "out of memory")
                                         : load_text(repaired.data, repaired.len, findings, tree_out, err);
    strbuf_done(&repaired);
    return status;
}
