/* SPDX-License-Identifier: MIT */
/*
 * 1. Physical lines become logical ones: a line that begins with a blank continues the one before.
 * 2. A logical line is split at its first "=", and its name is looked up in the table.
 * 3. The value is parsed by the row's kind and stored at the row's offset in the caller's struct; where it came
 *    from is kept for messages and --show-config.
 * A variable of the environment or a word of the command line begins at step 2.
 */
#include "base/options.h"

#include <string.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/strbuf.h"

#define BLANKS     " \t\r"
#define ARENA_MAX  (4 * OPTIONS_FILE_MAX)
#define LIST_SPLIT ", \t\r\n"

/* A logical line: name = value, and where it began. */
struct assignment {
    const char *name;
    const char *value;
    const char *file;
    unsigned line;
};

const char OPTION_NO_MEMORY[] = "out of memory";

struct unit {
    const char *word;
    int64_t factor;
};

static const struct unit DURATION_UNITS[] = {
    {"", 1}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0},
};
static const struct unit SIZE_UNITS[] = {
    {"", 1}, {"K", 1024}, {"M", 1024 * 1024}, {"G", 1024LL * 1024 * 1024}, {NULL, 0},
};
static const struct unit PLAIN_UNITS[] = {{"", 1}, {NULL, 0}};

/* ---- one value ---- */

static enum status bad_value(const struct option_row *option, const char *value, const char *why,
                             struct err *err)
{
    return err_set(err, ST_CONFIG, "%s: \"%.80s\": %s", option->name, value, why);
}

/* The largest unit that divides number, so that limits read as people write them. */
static void format_with_unit(int64_t number, const struct unit *units, char *text_out, size_t size)
{
    const struct unit *best = &units[0];

    for (const struct unit *unit = units; unit->word != NULL; unit++)
        if (number != 0 && number % unit->factor == 0 && unit->factor > best->factor)
            best = unit;
    (void)snprintf(text_out, size, "%lld%s", (long long)(number / best->factor), best->word);
}

static const struct unit *units_of(enum option_kind kind)
{
    if (kind == OPTION_DURATION)
        return DURATION_UNITS;
    return kind == OPTION_SIZE ? SIZE_UNITS : PLAIN_UNITS;
}

static enum status out_of_range(const struct option_row *option, const char *value, struct err *err)
{
    char low[32], high[32];

    if (option->kind == OPTION_MODE) {
        (void)snprintf(low, sizeof low, "%04llo", (unsigned long long)option->min);
        (void)snprintf(high, sizeof high, "%04llo", (unsigned long long)option->max);
    } else {
        format_with_unit(option->min, units_of(option->kind), low, sizeof low);
        format_with_unit(option->max, units_of(option->kind), high, sizeof high);
    }
    return err_set(err, ST_CONFIG, "%s: \"%.80s\" is out of range; use %s to %s", option->name, value, low,
                   high);
}

static enum status parse_number(const struct option_row *option, const char *value, int64_t *number_out,
                                struct err *err)
{
    static const char *const HINTS[] = {
        [OPTION_NUMBER] = "not a number; use digits only, as in 30",
        [OPTION_DURATION] = "not a duration; use a number with s, min, h or d, as in 15min",
        [OPTION_SIZE] = "not a size; use a number with K, M or G, as in 64M",
    };
    struct cursor cursor;
    uint64_t number;
    struct span word;

    cursor_init(&cursor, value, strlen(value));
    number = cursor_take_number(&cursor, INT64_MAX / (1024LL * 1024 * 1024));
    (void)cursor_skip_any(&cursor, " ");
    word = cursor_take_until(&cursor, "");
    for (const struct unit *unit = units_of(option->kind); !cursor.is_failed && unit->word != NULL; unit++) {
        if (!span_is(word, unit->word))
            continue;
        *number_out = (int64_t)number * unit->factor;
        return *number_out < option->min || *number_out > option->max ? out_of_range(option, value, err)
                                                                      : ST_OK;
    }
    return bad_value(option, value, HINTS[option->kind], err);
}

static enum status parse_mode(const struct option_row *option, const char *value, int64_t *mode_out,
                              struct err *err)
{
    size_t digits = strspn(value, "01234567");
    int64_t mode = 0;

    if (digits == 0 || digits > 5 || value[digits] != '\0')
        return bad_value(option, value, "not a file mode; use octal digits, as in 0660", err);
    for (size_t i = 0; i < digits; i++)
        mode = mode * 8 + (value[i] - '0');
    *mode_out = mode;
    return mode < option->min || mode > option->max ? out_of_range(option, value, err) : ST_OK;
}

static enum status parse_choice(const struct option_row *option, const char *value, int *index_out,
                                struct err *err)
{
    char words[200] = "";
    size_t used = 0;

    for (int i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *index_out = i;
            return ST_OK;
        }
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", i > 0 ? ", " : "",
                                 option->choices[i]);
        if (used >= sizeof words)
            break;
    }
    return err_set(err, ST_CONFIG, "%s: \"%.80s\" is no choice here; use one of: %s", option->name, value,
                   words);
}

/* An empty value for a setting whose default is not empty. */
static bool is_missing(const struct option_row *option, const char *value)
{
    return option->kind == OPTION_TEXT && *value == '\0' && *option->default_value != '\0';
}

static enum status parse_text(struct options *options, const struct option_row *option, const char *value,
                              const char **text_out, struct err *err)
{
    const char *wrong = option->check != NULL && *value != '\0' ? option->check(value) : NULL;

    if (is_missing(option, value))
        return err_set(err, ST_CONFIG, "%s: empty; remove it for the default, %s, or write a value",
                       option->name, option->default_value);
    if (wrong == OPTION_NO_MEMORY)
        return err_set(err, ST_NOMEM, "%s: out of memory", option->name);
    if (wrong != NULL)
        return bad_value(option, value, wrong, err);
    *text_out = arena_copy_text(&options->arena, value, strlen(value));
    return *text_out != NULL ? ST_OK : err_set(err, ST_NOMEM, "%s: out of memory", option->name);
}

static size_t count_items(const char *value)
{
    size_t count = 0;

    for (value += strspn(value, LIST_SPLIT); *value != '\0'; value += strspn(value, LIST_SPLIT)) {
        count++;
        value += strcspn(value, LIST_SPLIT);
    }
    return count;
}

static enum status parse_list(struct options *options, const struct option_row *option, const char *value,
                              struct option_list *list_out, struct err *err)
{
    size_t max = count_items(value);
    struct option_list list = {.items = arena_alloc_array(&options->arena, max + 1, sizeof *list.items)};
    enum status status = ST_OK;

    if (list.items == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", option->name);
    for (value += strspn(value, LIST_SPLIT); status == ST_OK && list.count < max;
         value += strspn(value, LIST_SPLIT)) {
        size_t len = strcspn(value, LIST_SPLIT);
        const char *item = arena_copy_text(&options->arena, value, len);

        if (item == NULL)
            return err_set(err, ST_NOMEM, "%s: out of memory", option->name);
        status = parse_text(options, option, item, &list.items[list.count++], err);
        value += len;
    }
    if (status == ST_OK)
        *list_out = list;
    return status;
}

static enum status parse_value(struct options *options, const struct option_row *option, const char *value,
                               struct err *err)
{
    void *field = (char *)options->values + option->offset;

    switch (option->kind) {
    case OPTION_TEXT:
        return parse_text(options, option, value, field, err);
    case OPTION_LIST:
        return parse_list(options, option, value, field, err);
    case OPTION_NUMBER:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return parse_number(option, value, field, err);
    case OPTION_MODE:
        return parse_mode(option, value, field, err);
    case OPTION_CHOICE:
        return parse_choice(option, value, field, err);
    case OPTION_OBSOLETE:
        return ST_OK;
    }
    return err_set(err, ST_INTERNAL, "%s: unknown kind of option", option->name);
}

/* ---- finding the row ---- */

/* Number of single-letter changes between two names, up to a few: for "did you mean". */
static size_t distance(const char *a, const char *b)
{
    size_t row[64];
    size_t b_len = strlen(b);

    if (strlen(a) >= ARRAY_COUNT(row) || b_len >= ARRAY_COUNT(row))
        return ARRAY_COUNT(row);
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);

            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
        }
    }
    return row[b_len];
}

static enum status unknown_name(const struct options *options, const char *name, struct err *err)
{
    const char *nearest = NULL;
    size_t best = 4;

    for (size_t i = 0; i < options->count; i++) {
        size_t changes = distance(name, options->table[i].name);

        if (changes < best && options->table[i].kind != OPTION_OBSOLETE) {
            best = changes;
            nearest = options->table[i].name;
        }
    }
    if (nearest != NULL)
        return err_set(err, ST_CONFIG, "%.80s: unknown setting; did you mean %s?", name, nearest);
    return err_set(err, ST_CONFIG,
                   "%.80s: unknown setting; remove it, or see tlsrpt-gen --help for the names", name);
}

static const struct option_row *find(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->count; i++)
        if (strcmp(options->table[i].name, name) == 0)
            return &options->table[i];
    return NULL;
}

static enum status assign(struct options *options, const struct assignment *assignment, struct err *err)
{
    const struct option_row *option = find(options, assignment->name);
    struct option_origin *origin;
    enum status status;

    if (option == NULL)
        return unknown_name(options, assignment->name, err);
    origin = &options->origins[option - options->table];
    if (origin->file != NULL && assignment->line > 0)
        return err_set(err, ST_CONFIG, "%s: set twice, first in line %u; keep one of the two", option->name,
                       origin->line);
    status = parse_value(options, option, assignment->value, err);
    if (status == ST_OK)
        *origin = (struct option_origin){assignment->file, assignment->line, assignment->value};
    return status;
}

/* ---- a file ---- */

static char *trim(char *text)
{
    char *end;

    text += strspn(text, BLANKS);
    end = text + strlen(text);
    while (end > text && strchr(BLANKS, end[-1]) != NULL)
        *--end = '\0';
    return text;
}

/* Split "name = value" in place; false if there is no '=' or no name. */
static bool split(char *text, struct assignment *assignment)
{
    char *equals = strchr(text, '=');

    if (equals == NULL)
        return false;
    *equals = '\0';
    assignment->name = trim(text);
    assignment->value = trim(equals + 1);
    return *assignment->name != '\0';
}

static enum status take_logical_line(struct options *options, struct strbuf *logical,
                                     struct assignment *assignment, struct err *err)
{
    enum status status;
    char *text;

    if (logical->len == 0)
        return ST_OK;
    text = arena_copy_text(&options->arena, logical->data, logical->len);
    strbuf_reset(logical);
    if (text == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", assignment->file);
    if (!split(text, assignment)) {
        (void)err_set(err, ST_CONFIG,
                      "\"%.80s\": not of the form name = value; write it so, or put a # in front", text);
        return err_wrap(err, "%s:%u", assignment->file, assignment->line);
    }
    status = assign(options, assignment, err);
    return status == ST_OK ? ST_OK : err_wrap(err, "%s:%u", assignment->file, assignment->line);
}

/* Physical lines to logical ones: a line that begins with a blank continues the one before. */
static enum status read_lines(struct options *options, char *text, const char *path, struct err *err)
{
    struct assignment assignment = {.file = path};
    struct strbuf logical;
    enum status status = ST_OK;
    unsigned line = 0;

    strbuf_init(&logical, OPTIONS_FILE_MAX);
    for (char *at = text, *next; status == ST_OK && at != NULL; at = next) {
        bool is_continuation = *at == ' ' || *at == '\t';

        line++;
        next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        at = trim(at);
        if (*at == '\0' || *at == '#')
            continue;
        if (is_continuation && logical.len > 0) {
            strbuf_addf(&logical, " %s", at);
            continue;
        }
        status = take_logical_line(options, &logical, &assignment, err);
        assignment.line = line;
        strbuf_add_text(&logical, at);
    }
    if (status == ST_OK && strbuf_is_failed(&logical))
        status = err_set(err, ST_NOMEM, "%s: out of memory", path);
    if (status == ST_OK)
        status = take_logical_line(options, &logical, &assignment, err);
    strbuf_done(&logical);
    return status;
}

enum status options_read_file(struct options *options, const char *path, struct err *err)
{
    const char *name = arena_copy_text(&options->arena, path, strlen(path));
    struct strbuf text;
    enum status status;

    if (name == NULL)
        return err_set(err, ST_NOMEM, "%s: out of memory", path);
    strbuf_init(&text, OPTIONS_FILE_MAX);
    status = file_read(path, &text, err);
    if (status == ST_OK && strlen(text.data) != text.len)
        status = err_set(err, ST_CONFIG, "%s: has a NUL byte at offset %zu; it is not a text file", path,
                         strlen(text.data));
    if (status == ST_OK)
        status = read_lines(options, text.data, name, err);
    strbuf_done(&text);
    return status;
}

enum status options_override(struct options *options, const char *assignment, struct err *err)
{
    struct assignment parsed = {.file = "-o", .line = 0};
    char *text = arena_copy_text(&options->arena, assignment, strlen(assignment));
    enum status status;

    if (text == NULL)
        return err_set(err, ST_NOMEM, "-o: out of memory");
    if (!split(text, &parsed))
        return err_set(err, ST_CONFIG, "-o \"%.80s\": not of the form name=value", assignment);
    status = assign(options, &parsed, err);
    return status == ST_OK ? ST_OK : err_wrap(err, "-o");
}

/* ---- the environment ---- */

static bool is_among(const char *name, const char *const *names)
{
    while (*names != NULL && strcmp(name, *names) != 0)
        names++;
    return *names != NULL;
}

/* "PREFIX_RELAY" to "relay", in place. */
static const char *setting_of(char *variable, size_t prefix_len)
{
    char *name = variable + prefix_len;

    for (char *at = name; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
        else if (*at >= 'a' && *at <= 'z')
            return NULL;
    return name;
}

/* "PREFIX_RELAY=localhost:25" */
static enum status take_variable(struct options *options, const char *text, size_t prefix_len,
                                 const char *const *others, struct err *err)
{
    size_t name_len = strcspn(text, "=");
    const char *variable = arena_copy_text(&options->arena, text, name_len);
    char *name = arena_copy_text(&options->arena, text, name_len);
    char *value = arena_copy_text(&options->arena, text + name_len, strlen(text + name_len));
    struct assignment assignment = {.file = variable, .line = 0};
    enum status status;

    if (variable == NULL || name == NULL || value == NULL)
        return err_set(err, ST_NOMEM, "environment: out of memory");
    if (is_among(variable, others))
        return ST_OK;
    assignment.name = setting_of(name, prefix_len);
    assignment.value = *value == '=' ? trim(value + 1) : value;
    if (assignment.name == NULL)
        return err_set(err, ST_CONFIG, "%.80s: unknown variable; write its name in capitals", variable);
    status = assign(options, &assignment, err);
    return status == ST_OK ? ST_OK : err_wrap(err, "%.80s", variable);
}

enum status options_read_environment(struct options *options, const char *prefix, const char *const *others,
                                     char *const *environment, struct err *err)
{
    size_t prefix_len = strlen(prefix);
    enum status status = ST_OK;

    for (; status == ST_OK && *environment != NULL; environment++)
        if (strncmp(*environment, prefix, prefix_len) == 0)
            status = take_variable(options, *environment, prefix_len, others, err);
    return status;
}

/* ---- the whole ---- */

enum status options_init(struct options *options, const struct option_row *table, size_t count, void *values,
                         struct err *err)
{
    enum status status = ST_OK;

    *options = (struct options){.table = table, .count = count, .values = values};
    arena_init(&options->arena, ARENA_MAX);
    if (count > OPTIONS_MAX)
        return err_set(err, ST_INTERNAL, "more than %d options", OPTIONS_MAX);
    for (size_t i = 0; status == ST_OK && i < count; i++) {
        status = parse_value(options, &table[i], table[i].default_value, err);
        options->origins[i].text = table[i].default_value;
    }
    if (status == ST_CONFIG)
        status = ST_INTERNAL;
    return status;
}

void options_done(struct options *options)
{
    arena_done(&options->arena);
}

static void format_origin(const struct option_origin *origin, char *text_out, size_t size)
{
    if (origin->file == NULL)
        (void)snprintf(text_out, size, "default");
    else if (origin->line == 0)
        (void)snprintf(text_out, size, "%s", origin->file);
    else
        (void)snprintf(text_out, size, "%s:%u", origin->file, origin->line);
}

void options_origin_format(const struct options *options, const char *name, char *text_out, size_t size)
{
    const struct option_row *option = find(options, name);

    if (option != NULL)
        format_origin(&options->origins[option - options->table], text_out, size);
    else
        (void)snprintf(text_out, size, "unknown");
}

const struct option_row *options_next_obsolete(const struct options *options, const struct option_row *after)
{
    for (size_t i = after != NULL ? (size_t)(after - options->table) + 1 : 0; i < options->count; i++)
        if (options->table[i].kind == OPTION_OBSOLETE && options->origins[i].file != NULL)
            return &options->table[i];
    return NULL;
}

void options_show(const struct options *options, FILE *out)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct option_row *option = &options->table[i];
        bool is_obsolete = option->kind == OPTION_OBSOLETE;
        char origin[ERR_TEXT_MAX];
        int width;

        if (is_obsolete && options->origins[i].file == NULL)
            continue;
        format_origin(&options->origins[i], origin, sizeof origin);
        width = fprintf(out, "%s = %s", option->name, options->origins[i].text);
        (void)fprintf(out, "%*s# %s%s%s\n", width < 50 ? 50 - width : 2, "", origin, is_obsolete ? ": " : "",
                      is_obsolete ? option->help : "");
    }
}

void options_help(const struct option_row *table, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = table[i].default_value;

        if (table[i].kind == OPTION_OBSOLETE)
            continue;
        (void)fprintf(out, "  %s = %s\n        %s\n", table[i].name, *value != '\0' ? value : "(unset)",
                      table[i].help);
    }
}
