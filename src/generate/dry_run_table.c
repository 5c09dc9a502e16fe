/* SPDX-License-Identifier: MIT */
/*
 * How it works.  `--dry-run` for a person: a table of the day, or with -v or --domain each report in words.
 * A row is kept for each domain until the day ends; then the rows are sorted and printed.  Words are made
 * when the report is at hand, by reading its JSON back as its receiver would.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/report_view.h"
#include "app/table.h"
#include "dry_run.h"
#include "report/report_read.h"

#define ROWS_BYTES_MAX     (1UL << 30) /* of all rows of a day */
#define READ_BYTES_MAX     (256UL << 20)
#define DESTINATIONS_BYTES 4096
#define REASONS_MAX        8

struct dry_run_row {
    const char *domain;
    struct session_counts sessions;
    enum result_type top; /* RESULT_TYPE_COUNT: no failure */
    size_t gzip_bytes;
    size_t mailto_count, https_count;
    const char *destinations; /* of a report */
    const char *reason;       /* NULL: there is a report */
    bool is_waiting;
    const char *words; /* the report in words; NULL: not asked for */
};

/* Why domains get no report, and how many for each reason. */
struct reason {
    const char *text;
    uint64_t count;
};

struct totals {
    struct session_counts sessions;
    uint64_t reports, gzip_bytes, mailto_count, https_count;
    struct reason reasons[REASONS_MAX];
    size_t reason_count;
    uint64_t other_reasons;
};

struct dry_run_table {
    struct terminal terminal;
    struct arena arena;
    struct dry_run_row *rows;
    size_t count, capacity;
    struct totals totals;
};

static enum status out_of_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "table: out of memory");
}

/* ---- collecting ---- */

enum status dry_run_table_begin_day(struct dry_run *dry_run, struct err *err)
{
    struct dry_run_table *table = calloc(1, sizeof *table);

    if (table == NULL)
        return out_of_memory(err);
    dry_run_table_free(&dry_run->table);
    terminal_detect(STDOUT_FILENO, &table->terminal);
    arena_init(&table->arena, ROWS_BYTES_MAX);
    dry_run->table = table;
    return ST_OK;
}

void dry_run_table_free(struct dry_run_table **table)
{
    if (*table == NULL)
        return;
    arena_done(&(*table)->arena);
    free((*table)->rows);
    free(*table);
    *table = NULL;
}

static struct dry_run_row *add_row(struct dry_run_table *table, const struct candidate *candidate)
{
    size_t capacity = table->capacity > 0 ? table->capacity * 2 : 256;
    struct dry_run_row *rows = table->rows;

    if (table->count == table->capacity) {
        rows = realloc(table->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return NULL;
        table->rows = rows;
        table->capacity = capacity;
    }
    rows[table->count] = (struct dry_run_row){
        .domain = arena_copy_text(&table->arena, candidate->domain, strlen(candidate->domain)),
        .sessions = candidate->sessions,
        .top = RESULT_TYPE_COUNT,
    };
    table->totals.sessions.success += candidate->sessions.success;
    table->totals.sessions.failure += candidate->sessions.failure;
    return rows[table->count].domain != NULL ? &rows[table->count++] : NULL;
}

/* Addresses bare, URLs whole, with ", " between. */
static const char *list_destinations(struct dry_run_table *table, struct dry_run_row *row,
                                     const struct candidate *candidate)
{
    struct strbuf text;
    const char *copy;

    strbuf_init(&text, DESTINATIONS_BYTES);
    for (size_t i = 0; i < candidate->record.rua_count; i++) {
        const struct rua *rua = &candidate->record.ruas[i];
        bool is_mail = rua->kind == RUA_MAILTO;

        row->mailto_count += is_mail ? 1 : 0;
        row->https_count += is_mail ? 0 : 1;
        strbuf_addf(&text, "%s%s", i > 0 ? ", " : "", is_mail ? rua->address : rua->uri);
    }
    copy = arena_copy_text(&table->arena, text.data, text.len);
    strbuf_done(&text);
    return copy;
}

/* The report that was just built: -v wants its policies and failures, --domain all of it. */
static void print_words(const struct dry_run *dry_run, const struct report_document *document,
                        const struct finding_list *findings, FILE *out)
{
    const struct report_envelope envelope = {.file_name = dry_run->file.file_name, .is_gzip = true};
    const struct terminal *terminal = &dry_run->table->terminal;

    if (dry_run->options->domain != NULL)
        show_report_print(terminal, document, &envelope, findings, "what would be sent", out);
    else
        show_report_print_policies(terminal, document, out);
}

static enum status put_in_words(struct dry_run *dry_run, struct dry_run_row *row, struct err *err)
{
    struct report_document document;
    struct finding_list findings;
    struct arena arena;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    enum status status;

    if (out == NULL)
        return out_of_memory(err);
    arena_init(&arena, READ_BYTES_MAX);
    finding_list_init(&findings, &arena);
    status = report_read(dry_run->file.json.data, dry_run->file.json.len, &arena, &findings, &document, err);
    if (status == ST_OK)
        print_words(dry_run, &document, &findings, out);
    if (fclose(out) != 0 && status == ST_OK)
        status = out_of_memory(err);
    if (status == ST_OK) {
        row->words = arena_copy_text(&dry_run->table->arena, text, len);
        status = row->words != NULL ? ST_OK : out_of_memory(err);
    }
    free(text);
    arena_done(&arena);
    return status;
}

static enum status add_report(struct dry_run *dry_run, struct dry_run_row *row,
                              const struct candidate *candidate, struct err *err)
{
    struct dry_run_table *table = dry_run->table;

    row->top = report_summary_top(&dry_run->file.built.summary);
    row->gzip_bytes = dry_run->file.gzip.len;
    row->destinations = list_destinations(table, row, candidate);
    if (row->destinations == NULL)
        return out_of_memory(err);
    table->totals.reports++;
    table->totals.gzip_bytes += row->gzip_bytes;
    table->totals.mailto_count += row->mailto_count;
    table->totals.https_count += row->https_count;
    return dry_run->needs_json ? put_in_words(dry_run, row, err) : ST_OK;
}

static void count_reason(struct totals *totals, const char *text)
{
    for (size_t i = 0; i < totals->reason_count; i++)
        if (strcmp(totals->reasons[i].text, text) == 0) {
            totals->reasons[i].count++;
            return;
        }
    if (totals->reason_count < REASONS_MAX)
        totals->reasons[totals->reason_count++] = (struct reason){text, 1};
    else
        totals->other_reasons++;
}

static enum status add_reason(struct dry_run_table *table, struct dry_run_row *row,
                              const struct candidate *candidate, struct err *err)
{
    row->is_waiting = candidate->disposition == CANDIDATE_WAIT;
    row->reason = arena_copy_text(&table->arena, candidate->reason, strlen(candidate->reason));
    if (row->reason == NULL)
        return out_of_memory(err);
    count_reason(&table->totals, row->reason);
    return ST_OK;
}

enum status dry_run_table_show(struct dry_run *dry_run, const struct candidate *candidate, struct err *err)
{
    struct dry_run_row *row = add_row(dry_run->table, candidate);

    if (row == NULL)
        return out_of_memory(err);
    return candidate->disposition == CANDIDATE_REPORT ? add_report(dry_run, row, candidate, err)
                                                      : add_reason(dry_run->table, row, candidate, err);
}

/* ---- printing ---- */

static const struct table_column COLUMNS[] = {
    {.title = "domain", .min = 22},        {.title = "ok", .is_right = true},
    {.title = "failed", .is_right = true}, {.title = "most frequent failure", .min = 15},
    {.title = "bytes", .is_right = true},  {.title = "destinations", .min = 14},
};

/* What failed most comes first; then what was most. */
static int compare_rows(const void *a_pointer, const void *b_pointer)
{
    const struct dry_run_row *a = a_pointer, *b = b_pointer;

    if (a->sessions.failure != b->sessions.failure)
        return a->sessions.failure < b->sessions.failure ? 1 : -1;
    if (a->sessions.success != b->sessions.success)
        return a->sessions.success < b->sessions.success ? 1 : -1;
    return strcmp(a->domain, b->domain);
}

static void add_cells(struct table *table, const struct dry_run_row *row)
{
    enum terminal_style style = row->sessions.failure > 0 ? STYLE_BAD : STYLE_PLAIN;

    table_add_row(table);
    table_add_cell(table, STYLE_PLAIN, row->domain);
    table_add_number(table, STYLE_PLAIN, row->sessions.success);
    table_add_number(table, style, row->sessions.failure);
    table_add_cell(table, style, row->top < RESULT_TYPE_COUNT ? result_type_name(row->top) : "-");
    if (row->reason != NULL) {
        table_add_cell(table, STYLE_DIM, "-");
        table_add_cellf(table, row->is_waiting ? STYLE_WARN : STYLE_DIM, "(%s%s)",
                        row->is_waiting ? "waits: " : "", row->reason);
        return;
    }
    table_add_number(table, STYLE_PLAIN, row->gzip_bytes);
    table_add_cell(table, STYLE_PLAIN, row->destinations);
}

static void add_totals(struct table *table, const struct dry_run_table *rows)
{
    char number[TABLE_NUMBER_SIZE];

    table_add_rule(table);
    table_add_row(table);
    table_add_cellf(table, STYLE_BOLD, "%s domain%s", table_number(rows->count, number),
                    rows->count == 1 ? "" : "s");
    table_add_number(table, STYLE_BOLD, rows->totals.sessions.success);
    table_add_number(table, STYLE_BOLD, rows->totals.sessions.failure);
    table_add_cell(table, STYLE_BOLD, "");
    table_add_number(table, STYLE_BOLD, rows->totals.gzip_bytes);
}

static void print_row_in_words(const struct dry_run_table *rows, const struct dry_run_row *row)
{
    const struct terminal *terminal = &rows->terminal;
    const char *to = row->reason == NULL ? "to " : row->is_waiting ? "waits: " : "no report: ";
    char ok_text[TABLE_NUMBER_SIZE], failed_text[TABLE_NUMBER_SIZE], bytes_text[TABLE_NUMBER_SIZE];
    char counts[4 * TABLE_NUMBER_SIZE];
    size_t width = terminal_width(row->domain);

    table_print_text(terminal, STYLE_BOLD, row->domain, stdout);
    (void)snprintf(counts, sizeof counts, "%s ok, %s failed%s%s%s",
                   table_number(row->sessions.success, ok_text),
                   table_number(row->sessions.failure, failed_text), row->reason == NULL ? ", " : "",
                   row->reason == NULL ? table_number(row->gzip_bytes, bytes_text) : "",
                   row->reason == NULL ? " bytes" : "");
    if (width + 2 + strlen(counts) > terminal->columns)
        (void)printf("\n  %s\n  %s", counts, to);
    else
        (void)printf("  %s\n  %s", counts, to);
    table_print_wrapped(terminal, strlen(to) + 2, 4, row->reason != NULL ? row->reason : row->destinations,
                        stdout);
    (void)printf("%s\n", row->words != NULL ? row->words : "");
}

/* "no TLSRPT record (3), ..." */
static void add_reasons(const struct totals *totals, struct strbuf *text)
{
    char number[TABLE_NUMBER_SIZE];

    for (size_t i = 0; i < totals->reason_count; i++)
        strbuf_addf(text, "%s%s (%s)", i > 0 ? ", " : "", totals->reasons[i].text,
                    table_number(totals->reasons[i].count, number));
    if (totals->other_reasons > 0)
        strbuf_addf(text, ", other reasons (%s)", table_number(totals->other_reasons, number));
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void print_foot(const struct dry_run_table *rows)
{
    const struct totals *totals = &rows->totals;
    uint64_t without = rows->count - totals->reports;
    char number[TABLE_NUMBER_SIZE];
    struct strbuf text;

    strbuf_init(&text, 8192);
    if (totals->reports == 0)
        strbuf_add_text(&text, "Nothing to send");
    else
        strbuf_addf(&text, "%s report%s to ", table_number(totals->reports, number), plural(totals->reports));
    if (totals->mailto_count > 0)
        strbuf_addf(&text, "%s mail address%s", table_number(totals->mailto_count, number),
                    totals->mailto_count == 1 ? "" : "es");
    if (totals->https_count > 0)
        strbuf_addf(&text, "%s%s URL%s", totals->mailto_count > 0 ? " and " : "",
                    table_number(totals->https_count, number), plural(totals->https_count));
    if (without > 0) {
        strbuf_addf(&text, "; %s domain%s no report: ", table_number(without, number),
                    without == 1 ? " gets" : "s get");
        add_reasons(totals, &text);
    }
    table_print_wrapped(&rows->terminal, 0, 2, text.data, stdout);
    strbuf_done(&text);
}

static void print_title(const struct dry_run *dry_run)
{
    const struct terminal *terminal = &dry_run->table->terminal;
    int32_t today = utc_day_of(dry_run->generator.now_s);

    (void)printf("%s%s%s%s\n", terminal_begin(terminal, STYLE_BOLD), dry_run->day,
                 terminal_end(terminal, STYLE_BOLD),
                 dry_run->utc_day >= today ? " UTC, today so far" : " UTC");
}

enum status dry_run_table_end_day(struct dry_run *dry_run, struct err *err)
{
    struct dry_run_table *rows = dry_run->table;
    struct table table;
    enum status status = ST_OK;

    if (rows->count == 0)
        return ST_OK;
    qsort(rows->rows, rows->count, sizeof *rows->rows, compare_rows);
    if (dry_run->days_shown++ > 0)
        (void)putchar('\n');
    print_title(dry_run);
    if (dry_run->needs_json) {
        for (size_t i = 0; i < rows->count; i++)
            print_row_in_words(rows, &rows->rows[i]);
    } else {
        table_init(&table, &rows->terminal, COLUMNS, ARRAY_COUNT(COLUMNS));
        for (size_t i = 0; i < rows->count; i++)
            add_cells(&table, &rows->rows[i]);
        add_totals(&table, rows);
        status = table_print(&table, stdout, err);
        table_done(&table);
    }
    print_foot(rows);
    return status;
}
