/* SPDX-License-Identifier: MIT */
/* The lines of the input as the TXT RRs of one name: limits hold, words are printable, counts agree. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/tlsrpt_record.h"
#include "model/tlsrpt_typo.h"

#define RRS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

static void check_words(const struct tlsrpt_finding *finding, struct strbuf *words)
{
    strbuf_reset(words);
    tlsrpt_finding_describe(finding, words);
    require(words->len > 0 && !strbuf_is_failed(words));
    for (size_t i = 0; i < words->len; i++)
        require(words->data[i] >= ' ' && words->data[i] < 0x7F);
}

static void check_record(const struct tlsrpt_record *record)
{
    struct strbuf words;
    size_t skipped = 0;

    strbuf_init(&words, 4096);
    require(record->rua_count <= TLSRPT_RUA_MAX);
    require((record->result == TLSRPT_OK) == (record->rua_count > 0));
    for (size_t i = 0; i < record->rua_count; i++)
        for (size_t j = 0; j < i; j++)
            require(strcmp(record->ruas[i].uri, record->ruas[j].uri) != 0);
    for (const struct tlsrpt_finding *at = record->findings; at != NULL; at = at->next) {
        skipped += tlsrpt_finding_is_skip(at) ? 1 : 0;
        require(at->kind == FINDING_OTHER_RR || at->offset + at->part.len <= record->text.len);
        check_words(at, &words);
    }
    require(skipped == record->skipped_count);
    strbuf_done(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rrs[RRS_MAX];
    struct tlsrpt_record record;
    struct cursor cursor;
    struct arena arena;
    size_t count = 0;

    cursor_init(&cursor, (const char *)data, size);
    while (count < RRS_MAX && !cursor_at_end(&cursor)) {
        rrs[count++] = cursor_take_until(&cursor, "\n");
        (void)cursor_skip_word(&cursor, "\n");
    }
    arena_init(&arena, TLSRPT_ARENA_MAX);
    require(tlsrpt_record_choose(rrs, count, &arena, &record, NULL) == ST_OK);
    check_record(&record);
    for (size_t i = 0; i < count; i++)
        require(tlsrpt_typo_words(tlsrpt_typo_find(rrs[i])) != NULL);
    arena_done(&arena);
    return 0;
}
