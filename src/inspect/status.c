/* SPDX-License-Identifier: MIT */
/*
 * The facts are gathered once and printed by one of three printers.  With --output the text is built in memory
 * and replaces the file as a whole, so that a reader never sees half of it.
 */
#include "inspect/status.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/program.h"
#include "base/file.h"
#include "status_facts.h"

#define OUTPUT_MODE      0644
#define LAST_RUN_FRESH_S 3600 /* runs begin every 15 minutes, and a run may take longer */

enum status_format {
    FORMAT_TABLE,
    FORMAT_JSON,
    FORMAT_PROMETHEUS,
    FORMAT_COUNT,
};

static const char *const FORMAT_NAMES[FORMAT_COUNT] = {
    [FORMAT_TABLE] = "table", [FORMAT_JSON] = "json", [FORMAT_PROMETHEUS] = "prometheus"};

/* ---- what --require may name ---- */

/* NULL: it works; else what is wrong. */
typedef const char *status_fault_fn(const struct status_facts *facts);

static const char *find_collector_fault(const struct status_facts *facts)
{
    static const char *const FAULTS[] = {
        [COLLECTOR_NEVER] = "the collector has never run",
        [COLLECTOR_UP] = NULL,
        [COLLECTOR_STUCK] = "the collector runs, but counts nothing",
        [COLLECTOR_SILENT] = "the collector is not running",
    };

    return FAULTS[facts->collector.liveness];
}

static const char *find_generator_fault(const struct status_facts *facts)
{
    int64_t age_s = facts->now_s - facts->last_run_s;

    if (facts->last_run_s == 0)
        return "no run of tlsrpt-gen has succeeded yet";
    return age_s > LAST_RUN_FRESH_S || age_s < -LAST_RUN_FRESH_S
               ? "no run of tlsrpt-gen has succeeded in the last hour"
               : NULL;
}

static const struct {
    const char *name;
    status_fault_fn *find_fault;
} PARTS[] = {
    {"collector", find_collector_fault},
    {"generator", find_generator_fault},
};

struct status_arguments {
    enum status_format format;
    const char *output; /* NULL: stdout */
    bool is_required[ARRAY_COUNT(PARTS)];
};

/* 0, or EXIT_NEGATIVE after printing what does not work. */
static int check_required(const struct status_arguments *arguments, const struct status_facts *facts)
{
    int code = 0;

    for (size_t i = 0; i < ARRAY_COUNT(PARTS); i++) {
        const char *fault = arguments->is_required[i] ? PARTS[i].find_fault(facts) : NULL;

        if (fault == NULL)
            continue;
        (void)fprintf(stderr, "tlsrpt-gen status: %s\n", fault);
        code = EXIT_NEGATIVE;
    }
    return code;
}

/* ---- printing ---- */

static enum status print(const struct status_arguments *arguments, const struct status_facts *facts,
                         FILE *out, struct err *err)
{
    struct terminal terminal;

    terminal_detect(STDOUT_FILENO, &terminal);
    switch (arguments->format) {
    case FORMAT_JSON:
        return status_print_json(facts, out, err);
    case FORMAT_PROMETHEUS:
        status_print_prometheus(facts, out);
        return ST_OK;
    case FORMAT_TABLE:
    case FORMAT_COUNT:
        break;
    }
    terminal.has_color = terminal.has_color && arguments->output == NULL;
    return status_print_table(facts, &terminal, out, err);
}

/* A reader of the file sees all of it or the one before. */
static enum status print_to_file(const struct status_arguments *arguments, const struct status_facts *facts,
                                 struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    enum status status;

    if (out == NULL)
        return err_set_errno(err, ST_NOMEM, errno, "out of memory");
    status = print(arguments, facts, out, err);
    if (fclose(out) != 0 && status == ST_OK)
        status = err_set(err, ST_NOMEM, "out of memory");
    if (status == ST_OK)
        status = file_replace(arguments->output, text, len, OUTPUT_MODE, err);
    free(text);
    return status;
}

static int usage_error(const char *text)
{
    (void)fprintf(stderr, "tlsrpt-gen status: %s; see tlsrpt-gen status --help\n", text);
    return EXIT_USAGE;
}

static void print_help(void)
{
    (void)puts(
        "usage: tlsrpt-gen [-c FILE] status [--format FORMAT] [--output FILE] [--require PART]...\n"
        "\n"
        "Print whether the collector runs, what was counted on which day, what became of the reports, and\n"
        "what went wrong last.\n"
        "\n"
        "      --format FORMAT table, json or prometheus (default: table)\n"
        "      --output FILE   write there instead, whole or not at all (for node_exporter's textfiles)\n"
        "      --require PART  exit with 1 if that does not work: collector (is up) or generator (a run has\n"
        "                      succeeded in the last hour)\n"
        "  -h, --help          this text");
}

enum {
    OPTION_FORMAT = 256,
    OPTION_OUTPUT,
    OPTION_REQUIRE,
};

static const struct option LONG_OPTIONS[] = {
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"require", required_argument, NULL, OPTION_REQUIRE},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool parse_format(const char *text, enum status_format *format_out)
{
    for (enum status_format i = FORMAT_TABLE; i < FORMAT_COUNT; i++)
        if (strcmp(text, FORMAT_NAMES[i]) == 0) {
            *format_out = i;
            return true;
        }
    return false;
}

static bool parse_required(const char *text, struct status_arguments *arguments)
{
    for (size_t i = 0; i < ARRAY_COUNT(PARTS); i++)
        if (strcmp(text, PARTS[i].name) == 0) {
            arguments->is_required[i] = true;
            return true;
        }
    return false;
}

/* An option other than --help; -1 to go on, else the exit code. */
static int take_option(struct status_arguments *arguments, int option, char **argv)
{
    switch (option) {
    case OPTION_OUTPUT:
        arguments->output = optarg;
        return -1;
    case OPTION_FORMAT:
        return parse_format(optarg, &arguments->format)
                   ? -1
                   : usage_error("--format is table, json or prometheus");
    case OPTION_REQUIRE:
        return parse_required(optarg, arguments) ? -1 : usage_error("--require is collector or generator");
    default:
        return program_refuse_option("tlsrpt-gen status", argv);
    }
}

/* -1 to go on, else the exit code. */
static int take_options(struct status_arguments *arguments, int argc, char **argv)
{
    int option, code;

    optind = 0; /* begin anew: the words before were another parser's */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return 0;
        }
        if ((code = take_option(arguments, option, argv)) >= 0)
            return code;
    }
    return optind < argc ? usage_error("one word too many") : -1;
}

int cmd_status(const struct config *config, int argc, char **argv)
{
    const struct program program = {.name = "tlsrpt-gen status"};
    struct status_arguments arguments = {.format = FORMAT_TABLE};
    struct status_facts *facts = NULL;
    struct err err;
    enum status status;
    int code = take_options(&arguments, argc, argv);

    if (code >= 0)
        return code;
    facts = calloc(1, sizeof *facts);
    if (facts == NULL)
        status = err_set(&err, ST_NOMEM, "out of memory");
    else
        status = status_facts_gather(config, facts, &err);
    if (status == ST_OK)
        status = arguments.output != NULL ? print_to_file(&arguments, facts, &err)
                                          : print(&arguments, facts, stdout, &err);
    code = status == ST_OK ? check_required(&arguments, facts) : program_fail(&program, &err);
    if (facts != NULL)
        status_facts_done(facts);
    free(facts);
    return code;
}
