/* SPDX-License-Identifier: MIT */
/*
 * dry_run.h - what the formats of a dry run share: table (dry_run_table.c), json and mail (dry_run.c).
 */
#ifndef GENERATE_DRY_RUN_H
#define GENERATE_DRY_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/terminal.h"
#include "candidates.h"
#include "generate/run.h"
#include "model/utc_day.h"

struct dry_run_table;
struct dry_run;

/* One format; all but show may be NULL. */
struct view {
    enum status (*begin_day)(struct dry_run *dry_run, struct err *err);
    /* The report, if the candidate gets one, is in dry_run->file. */
    enum status (*show)(struct dry_run *dry_run, const struct candidate *candidate, struct err *err);
    enum status (*end_day)(struct dry_run *dry_run, struct err *err);
    enum status (*end)(struct dry_run *dry_run, struct err *err);
    bool needs_json;
};

/* A line on stderr that says how much of the day is done; only on a terminal, erased at the day's end. */
struct progress {
    bool is_wanted;
    uint64_t done, total; /* domains */
};

struct dry_run {
    struct generator generator;
    const struct dry_run_options *options;
    const struct view *view;
    int32_t utc_day;
    char day[UTC_DAY_TEXT_SIZE];
    struct candidates batch;
    struct arena arena; /* of the batch's reports */
    struct report_file file;
    struct strbuf text; /* one line or message */
    struct strbuf held; /* view mail: the first message, until a second one comes or the run ends */
    uint64_t shown;     /* reports and skipped domains */
    uint64_t messages;

    struct dry_run_table *table; /* view table: the day's rows */
    bool needs_json;             /* the view does, or -v or --domain is given */
    unsigned days_shown;
    struct progress progress;
};

/* The rows of a day are held until it ends, then sorted by failures and printed with their totals. */
enum status dry_run_table_begin_day(struct dry_run *dry_run, struct err *err);
enum status dry_run_table_show(struct dry_run *dry_run, const struct candidate *candidate, struct err *err);
enum status dry_run_table_end_day(struct dry_run *dry_run, struct err *err);
void dry_run_table_free(struct dry_run_table **table);

#endif
