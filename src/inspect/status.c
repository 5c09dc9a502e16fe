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

#define OUTPUT_MODE 0644

enum status_format {
    FORMAT_TABLE,
    FORMAT_JSON,
    FORMAT_PROMETHEUS,
    FORMAT_COUNT,
};

static const char *const FORMAT_NAMES[FORMAT_COUNT] = {
    [FORMAT_TABLE] = "table", [FORMAT_JSON] = "json", [FORMAT_PROMETHEUS] = "prometheus"};

struct status_arguments {
    enum status_format format;
    const char *output; /* NULL: stdout */
};

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
        "usage: tlsrpt-gen [-c FILE] status [--format FORMAT] [--output FILE]\n"
        "\n"
        "Print whether the collector runs, what was counted on which day, what became of the reports, and\n"
        "what went wrong last.\n"
        "\n"
        "      --format FORMAT table, json or prometheus (default: table)\n"
        "      --output FILE   write there instead, whole or not at all (for node_exporter's textfiles)\n"
        "  -h, --help          this text");
}

enum {
    OPTION_FORMAT = 256,
    OPTION_OUTPUT
};

static const struct option LONG_OPTIONS[] = {
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"output", required_argument, NULL, OPTION_OUTPUT},
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

/* -1 to go on, else the exit code. */
static int take_options(struct status_arguments *arguments, int argc, char **argv)
{
    int option;

    optind = 0; /* begin anew: the words before were another parser's */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option == OPTION_OUTPUT)
            arguments->output = optarg;
        else if (option != OPTION_FORMAT)
            return program_refuse_option("tlsrpt-gen status", argv);
        else if (!parse_format(optarg, &arguments->format))
            return usage_error("--format is table, json or prometheus");
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
    if (facts != NULL)
        status_facts_done(facts);
    free(facts);
    return status == ST_OK ? 0 : program_fail(&program, &err);
}
