/* SPDX-License-Identifier: MIT */
/*
 * Cells are cleaned and kept until table_print, which knows the width of every column only then.  If the table is
 * wider than the terminal: first the hidden columns go, then the widest column is cut one column at a time.
 */
#include "app/table.h"

#include <stdarg.h>
#include <string.h>

#define GAP             2             /* blanks between columns */
#define NARROWEST       8             /* where the terminal leaves no other way */
#define TABLE_BYTES_MAX (512UL << 20) /* of all cells */
#define CELL_BYTES_MAX  8192

void table_init(struct table *table, const struct terminal *terminal, const struct table_column *columns,
                size_t count)
{
    *table = (struct table){.terminal = terminal, .columns = columns, .count = count};
    arena_init(&table->arena, TABLE_BYTES_MAX);
    table->end = &table->first;
}

void table_done(struct table *table)
{
    arena_done(&table->arena);
}

void table_add_row(struct table *table)
{
    table->row = arena_alloc(&table->arena, sizeof *table->row);
    table->at = 0;
    if (table->row == NULL) {
        table->is_failed = true;
        return;
    }
    *table->end = table->row;
    table->end = &table->row->next;
}

void table_add_rule(struct table *table)
{
    table_add_row(table);
    if (table->row != NULL)
        table->row->is_rule = true;
}

void table_add_cell(struct table *table, enum terminal_style style, const char *text)
{
    struct strbuf clean;
    char *copy = NULL;

    if (table->row == NULL || table->at == table->count)
        return;
    strbuf_init(&clean, (size_t)CELL_BYTES_MAX * 8);
    terminal_clean(table->terminal, text, strnlen(text, CELL_BYTES_MAX), &clean);
    if (!strbuf_is_failed(&clean))
        copy = arena_copy_text(&table->arena, clean.data, clean.len);
    strbuf_done(&clean);
    if (copy == NULL)
        table->is_failed = true;
    else
        table->row->cells[table->at] =
            (struct table_cell){.text = copy, .width = terminal_width(copy), .style = style};
    table->at++;
}

void table_add_cellf(struct table *table, enum terminal_style style, const char *format, ...)
{
    char text[CELL_BYTES_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    table_add_cell(table, style, text);
}

void table_add_number(struct table *table, enum terminal_style style, uint64_t number)
{
    char text[TABLE_NUMBER_SIZE];

    table_add_cell(table, style, table_number(number, text));
}

/* ---- widths ---- */

struct layout {
    size_t widths[TABLE_COLUMNS_MAX]; /* 0: not shown */
};

static size_t total_of(const struct table *table, const struct layout *layout)
{
    size_t total = 0;

    for (size_t i = 0; i < table->count; i++)
        if (layout->widths[i] > 0)
            total += layout->widths[i] + (total > 0 ? GAP : 0);
    return total;
}

static void measure(const struct table *table, struct layout *layout)
{
    for (size_t i = 0; i < table->count; i++)
        layout->widths[i] = terminal_width(table->columns[i].title);
    for (const struct table_row *row = table->first; row != NULL; row = row->next)
        for (size_t i = 0; i < table->count; i++)
            if (!row->is_rule && row->cells[i].width > layout->widths[i])
                layout->widths[i] = row->cells[i].width;
}

/* The widest column that may still be cut, down to its own least width or to hard_min if that is less. */
static size_t find_widest(const struct table *table, const struct layout *layout, size_t hard_min)
{
    size_t widest = table->count;

    for (size_t i = 0; i < table->count; i++) {
        size_t min = table->columns[i].min < hard_min ? table->columns[i].min : hard_min;

        if (min == 0 || layout->widths[i] <= min)
            continue;
        if (widest == table->count || layout->widths[i] > layout->widths[widest])
            widest = i;
    }
    return widest;
}

static void cut(const struct table *table, struct layout *layout, size_t hard_min)
{
    while (total_of(table, layout) > table->terminal->columns) {
        size_t widest = find_widest(table, layout, hard_min);

        if (widest == table->count)
            return;
        layout->widths[widest]--;
    }
}

/* First leave out what may be left out, from the right; then cut the widest again and again, at first not
 * below what each column ought to have. */
static void fit(const struct table *table, struct layout *layout)
{
    for (size_t i = table->count; i-- > 0 && total_of(table, layout) > table->terminal->columns;)
        if (table->columns[i].is_hidden)
            layout->widths[i] = 0;
    cut(table, layout, SIZE_MAX);
    cut(table, layout, NARROWEST);
}

/* ---- printing ---- */

static void print_blanks(size_t count, FILE *out)
{
    (void)fprintf(out, "%*s", (int)count, "");
}

static void print_repeated(const char *text, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++)
        (void)fputs(text, out);
}

/* One cell, cut if it must be; returns the columns printed. */
static size_t print_cut(const struct terminal *terminal, const struct table_cell *cell, size_t width,
                        FILE *out)
{
    const char *more = terminal->is_utf8 ? "…" : "..";
    size_t more_width = terminal->is_utf8 ? 1 : 2;
    size_t bytes = strlen(cell->text);

    if (cell->width > width)
        bytes = terminal_cut(cell->text, width > more_width ? width - more_width : 0);
    else
        more = "";
    (void)fprintf(out, "%s%.*s%s%s", terminal_begin(terminal, cell->style), (int)bytes, cell->text, more,
                  terminal_end(terminal, cell->style));
    return cell->width > width ? width : cell->width;
}

static void print_row(const struct table *table, const struct layout *layout, const struct table_cell *cells,
                      FILE *out)
{
    size_t pending = 0; /* blanks that are printed only if something follows */

    for (size_t i = 0; i < table->count; i++) {
        const struct table_cell *cell = &cells[i];
        size_t width = layout->widths[i];

        if (width == 0)
            continue;
        if (cell->text != NULL && cell->width > 0) {
            if (table->columns[i].is_right && cell->width < width)
                pending += width - cell->width;
            print_blanks(pending, out);
            pending = width - print_cut(table->terminal, cell, width, out);
            if (table->columns[i].is_right)
                pending = 0;
        } else {
            pending += width;
        }
        pending += GAP;
    }
    (void)fputc('\n', out);
}

static void print_titles(const struct table *table, const struct layout *layout, FILE *out)
{
    struct table_cell cells[TABLE_COLUMNS_MAX] = {0};

    for (size_t i = 0; i < table->count; i++)
        cells[i] = (struct table_cell){.text = table->columns[i].title,
                                       .width = terminal_width(table->columns[i].title),
                                       .style = STYLE_BOLD};
    print_row(table, layout, cells, out);
}

enum status table_print(const struct table *table, FILE *out, struct err *err)
{
    struct layout layout = {0};
    const char *line = table->terminal->is_utf8 ? "─" : "-";

    measure(table, &layout);
    fit(table, &layout);
    print_titles(table, &layout, out);
    for (const struct table_row *row = table->first; row != NULL; row = row->next) {
        if (!row->is_rule) {
            print_row(table, &layout, row->cells, out);
            continue;
        }
        print_repeated(line, total_of(table, &layout), out);
        (void)fputc('\n', out);
    }
    return table->is_failed ? err_set(err, ST_NOMEM, "out of memory: rows are missing") : ST_OK;
}

/* ---- other shapes ---- */

const char *table_number(uint64_t number, char text_out[TABLE_NUMBER_SIZE])
{
    char reversed[TABLE_NUMBER_SIZE];
    size_t len = 0, digits = 0;

    do {
        if (digits > 0 && digits % 3 == 0)
            reversed[len++] = ',';
        reversed[len++] = (char)('0' + number % 10);
        digits++;
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < len; i++)
        text_out[i] = reversed[len - 1 - i];
    text_out[len] = '\0';
    return text_out;
}

const char *table_duration(int64_t seconds, char text_out[TABLE_NUMBER_SIZE])
{
    static const struct {
        int64_t seconds;
        const char *name;
    } UNITS[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t unit = 0;
    int len;

    if (seconds < 0)
        seconds = 0;
    while (unit + 1 < ARRAY_COUNT(UNITS) && seconds < UNITS[unit].seconds)
        unit++;
    len = snprintf(text_out, TABLE_NUMBER_SIZE, "%lld %s", (long long)(seconds / UNITS[unit].seconds),
                   UNITS[unit].name);
    seconds %= UNITS[unit].seconds;
    if (unit + 1 < ARRAY_COUNT(UNITS) && len > 0 && seconds >= UNITS[unit + 1].seconds)
        (void)snprintf(text_out + len, TABLE_NUMBER_SIZE - (size_t)len, " %lld %s",
                       (long long)(seconds / UNITS[unit + 1].seconds), UNITS[unit + 1].name);
    return text_out;
}

void table_print_bar(const struct terminal *terminal, uint64_t good, uint64_t bad, size_t columns, FILE *out)
{
    long double all = (long double)good + (long double)bad;
    size_t bad_columns = all > 0 ? (size_t)((long double)bad / all * (long double)columns + 0.5L) : 0;

    if (bad > 0 && bad_columns == 0)
        bad_columns = 1;
    if (good > 0 && bad_columns == columns)
        bad_columns = columns - 1;
    if (all <= 0) {
        print_blanks(columns, out);
        return;
    }
    (void)fputs(terminal_begin(terminal, STYLE_GOOD), out);
    print_repeated(terminal->is_utf8 ? "█" : "#", columns - bad_columns, out);
    (void)fputs(terminal_end(terminal, STYLE_GOOD), out);
    (void)fputs(terminal_begin(terminal, STYLE_BAD), out);
    print_repeated(terminal->is_utf8 ? "░" : "!", bad_columns, out);
    (void)fputs(terminal_end(terminal, STYLE_BAD), out);
}

/* Where the next word of a paragraph goes. */
struct paragraph {
    const struct terminal *terminal;
    size_t indent;
    size_t column;
    bool is_line_begin;
    FILE *out;
};

static void break_line(struct paragraph *paragraph)
{
    (void)fputc('\n', paragraph->out);
    print_blanks(paragraph->indent, paragraph->out);
    paragraph->column = paragraph->indent;
    paragraph->is_line_begin = true;
}

/* A word that no line can hold is cut where the lines end. */
static void print_word(struct paragraph *paragraph, const char *word)
{
    size_t columns = paragraph->terminal->columns;
    size_t width = terminal_width(word);

    if (!paragraph->is_line_begin && paragraph->column + 1 + width > columns)
        break_line(paragraph);
    if (!paragraph->is_line_begin) {
        (void)fputc(' ', paragraph->out);
        paragraph->column++;
    }
    while (paragraph->column + width > columns) {
        size_t bytes = terminal_cut(word, columns > paragraph->column ? columns - paragraph->column : 0);

        if (bytes == 0 && paragraph->column <= paragraph->indent)
            break;
        (void)fprintf(paragraph->out, "%.*s", (int)bytes, word);
        word += bytes;
        width = terminal_width(word);
        break_line(paragraph);
    }
    (void)fputs(word, paragraph->out);
    paragraph->column += width;
    paragraph->is_line_begin = false;
}

void table_print_wrapped(const struct terminal *terminal, size_t first, size_t indent, const char *text,
                         FILE *out)
{
    struct paragraph paragraph = {
        .terminal = terminal, .indent = indent, .column = first, .is_line_begin = true, .out = out};
    struct strbuf clean;
    char *rest = NULL;

    strbuf_init(&clean, (size_t)CELL_BYTES_MAX * 8);
    terminal_clean(terminal, text, strnlen(text, CELL_BYTES_MAX), &clean);
    for (char *word = strtok_r(clean.data, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        print_word(&paragraph, word);
    (void)fputc('\n', out);
    strbuf_done(&clean);
}

void table_print_text(const struct terminal *terminal, enum terminal_style style, const char *text, FILE *out)
{
    struct strbuf clean;

    strbuf_init(&clean, (size_t)CELL_BYTES_MAX * 8);
    terminal_clean(terminal, text, strnlen(text, CELL_BYTES_MAX), &clean);
    (void)fprintf(out, "%s%s%s", terminal_begin(terminal, style), clean.data, terminal_end(terminal, style));
    strbuf_done(&clean);
}
