/* SPDX-License-Identifier: MIT */
/*
 * records.c - what the record parser makes of many sets of TXT RRs, for the comparison with the model in
 * tests/differential.
 *
 * In:  a line per set: the RRs in hexadecimal, with a blank between (an empty RR is "-").
 * Out: a line per set: {"rua":[...],"error":null|"...","warnings":n}
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tlsrpt_record.h"

#define RRS_MAX  16
#define LINE_MAX (1 << 20)

static char line[LINE_MAX];
static char bytes[LINE_MAX];

/* Decode the words of line into bytes; returns how many RRs there are. */
static size_t read_rrs(struct span *rrs)
{
    char *rest = line, *word;
    char *out = bytes;
    size_t count = 0;

    while (count < RRS_MAX && (word = strsep(&rest, " \n")) != NULL) {
        if (*word == '\0')
            continue;
        rrs[count].at = out;
        for (; word[0] != '\0' && word[0] != '-' && word[1] != '\0'; word += 2) {
            char digits[3] = {word[0], word[1], '\0'};

            *out++ = (char)strtoul(digits, NULL, 16);
        }
        rrs[count].len = (size_t)(out - rrs[count].at);
        count++;
    }
    return count;
}

static int print_record(const struct tlsrpt_record *record)
{
    json_t *ruas = json_array();
    const char *error = record->result == TLSRPT_OK ? NULL : tlsrpt_record_result_name(record->result);
    json_t *answer;
    int code;

    for (size_t i = 0; i < record->rua_count; i++)
        json_array_append_new(ruas, json_string(record->ruas[i].uri));
    answer = json_pack("{sosssI}", "rua", ruas, "error", error != NULL ? error : "", "warnings",
                       (json_int_t)record->skipped_count);
    code = json_dumpf(answer, stdout, JSON_COMPACT);
    json_decref(answer);
    return code == 0 && putchar('\n') != EOF ? 0 : 1;
}

int main(void)
{
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct tlsrpt_record record;
        struct span rrs[RRS_MAX];
        struct arena arena;
        int code;

        arena_init(&arena, TLSRPT_ARENA_MAX);
        if (tlsrpt_record_choose(rrs, read_rrs(rrs), &arena, &record, NULL) != ST_OK)
            return 1;
        code = print_record(&record);
        arena_done(&arena);
        if (code != 0)
            return code;
    }
    return 0;
}
