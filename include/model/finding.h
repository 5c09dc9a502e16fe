/* SPDX-License-Identifier: MIT */
/*
 * finding.h - where somebody's report departs from RFC 8460: how badly, which rule, where, in words.
 *
 * Findings of the same kind at the same member of different array items are one finding with a count.
 * Limits: at most FINDINGS_MAX kinds; what comes after is counted.  where and text may hold bytes of the
 * report: clean them before they reach a terminal.
 */
#ifndef MODEL_FINDING_H
#define MODEL_FINDING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

#define FINDINGS_MAX       200
#define FINDING_WHERE_SIZE 200

enum finding_level {
    FINDING_MUST,   /* breaks the RFC, or receivers that follow it */
    FINDING_SHOULD, /* against its advice, or refused by some receivers */
    FINDING_NOTE,   /* allowed, and worth knowing */
    FINDING_LEVEL_COUNT,
};

struct finding {
    enum finding_level level;
    const char *rule;  /* "RFC 8460 section 4.4" */
    const char *where; /* "policies[0].policy.mx-host" */
    const char *text;
    const void *kind; /* what makes two findings the same, with the member's name */
    size_t count;     /* at least 1; where and text are those of the first */
};

struct finding_list {
    struct arena *arena; /* borrowed */
    struct finding *items;
    size_t count;
    size_t left_out;                    /* kinds beyond FINDINGS_MAX, or that memory was lacking for */
    size_t totals[FINDING_LEVEL_COUNT]; /* of all, also those left out */
};

/* arena is borrowed and holds everything. */
void finding_list_init(struct finding_list *list, struct arena *arena);

/* Findings with the same format (its address), rule and last member name in where are of one kind. */
void finding_add(struct finding_list *list, enum finding_level level, const char *rule, const char *where,
                 const char *format, ...) PRINTF_LIKE(5, 6);

/* "MUST", "SHOULD", "note" */
const char *finding_level_name(enum finding_level level);

#endif
