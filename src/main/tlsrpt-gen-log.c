/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt-gen-log - read what an MTA's log says about its TLS sessions and pass it on to the collector; see
 * tlsrpt-gen-log(8).
 *
 * The command line fills struct readlog_options (take_option) and is checked as a whole (find_mistake); all else
 * is in readlog/readlog.c.
 */
#include <stdio.h>
#include <string.h>

#include "app/program.h"
#include "base/cursor.h"
#include "base/log.h"
#include "model/utc_day.h"
#include "readlog/readlog.h"

enum {
    OPTION_MTA = 256,
    OPTION_FOLLOW,
    OPTION_ONCE,
    OPTION_SOCKET,
    OPTION_STDOUT,
    OPTION_SUMMARY,
    OPTION_FROM,
    OPTION_UNTIL,
    OPTION_RELAY,
    OPTION_MANDATORY_TLS,
    OPTION_IGNORE_SENDER,
};

static const struct option LONG_OPTIONS[] = {
    PROGRAM_LONG_OPTIONS,
    {"mta", required_argument, NULL, OPTION_MTA},
    {"follow", required_argument, NULL, OPTION_FOLLOW},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"stdout", no_argument, NULL, OPTION_STDOUT},
    {"summary", no_argument, NULL, OPTION_SUMMARY},
    {"from", required_argument, NULL, OPTION_FROM},
    {"until", required_argument, NULL, OPTION_UNTIL},
    {"relay", required_argument, NULL, OPTION_RELAY},
    {"mandatory-tls", required_argument, NULL, OPTION_MANDATORY_TLS},
    {"ignore-sender", required_argument, NULL, OPTION_IGNORE_SENDER},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    (void)puts(
        "usage: tlsrpt-gen-log --mta MTA [OPTION]... FILE...\n"
        "       tlsrpt-gen-log --mta MTA [OPTION]... -\n"
        "       tlsrpt-gen-log --mta MTA [OPTION]... --follow FILE [--once]\n"
        "\n"
        "Tell the collector what an MTA's log says about its TLS sessions.\n"
        "\n"
        "      --mta MTA           exim, postfix, postfix-sts (only MX hosts that an MTA-STS policy refuses: "
        "beside\n"
        "                          a Postfix that reports by itself) or ndjson (one JSON object per line)\n"
        "      --follow FILE       go on where the last run ended, through rotation; do not end\n"
        "      --once              with --follow: end at the log's present end\n"
        "      --socket PATH       the collector's socket (default: the first of the setting socket)\n"
        "      --stdout            write the datagrams to standard output instead, one a line\n"
        "      --summary           tell nobody; print how many sessions there were\n"
        "      --from TIME         only sessions from then on: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ (UTC)\n"
        "      --until TIME        only sessions before then; a day means its end\n"
        "      --relay HOST=DOMAIN sessions with this host are about that domain (HOST= : about none)\n"
        "      --mandatory-tls P   verified or required TLS in Postfix's log means P: dane, sts or unknown\n"
        "      --ignore-sender A   leave out mail from this address (default: the setting envelope_from)\n"
        "  -c, --config FILE       settings (" CONFIG_DEFAULT_FILE ")\n"
        "  -o NAME=VALUE           one setting that wins over file and environment\n"
        "  -h, --help              this text\n"
        "  -V, --version           the version");
}

/* ---- values of options ---- */

static const char *const INPUTS[] = {
    [READLOG_EXIM] = "exim",
    [READLOG_POSTFIX] = "postfix",
    [READLOG_POSTFIX_STS] = "postfix-sts",
    [READLOG_NDJSON] = "ndjson",
};

static const char *const POLICIES[] = {
    [POLICY_TLSA] = "dane", [POLICY_STS] = "sts", [POLICY_NO_POLICY_FOUND] = "unknown"};

static bool take_word(const char *const *words, size_t count, const char *text, unsigned *index_out)
{
    for (unsigned i = 0; i < count; i++)
        if (words[i] != NULL && strcmp(words[i], text) == 0) {
            *index_out = i;
            return true;
        }
    return false;
}

/* YYYY-MM-DD (its begin, or with is_end the next day's) or YYYY-MM-DDTHH:MM:SSZ */
static bool take_time(const char *text, bool is_end, int64_t *utc_s_out)
{
    char day_text[UTC_DAY_TEXT_SIZE];
    uint64_t hour, minute, second;
    struct cursor cursor;
    int32_t utc_day;

    (void)snprintf(day_text, sizeof day_text, "%s", text);
    if (!utc_day_parse(day_text, &utc_day))
        return false;
    *utc_s_out = utc_day_begin_s(utc_day) + (is_end ? UTC_DAY_SECONDS : 0);
    text += strlen(day_text);
    if (*text == '\0')
        return true;
    cursor_init(&cursor, text, strlen(text));
    cursor_expect(&cursor, "T");
    hour = cursor_take_number(&cursor, 23);
    cursor_expect(&cursor, ":");
    minute = cursor_take_number(&cursor, 59);
    cursor_expect(&cursor, ":");
    second = cursor_take_number(&cursor, 60);
    cursor_expect(&cursor, "Z");
    *utc_s_out = utc_day_begin_s(utc_day) + (int64_t)(hour * 3600 + minute * 60 + second);
    return !cursor.is_failed && cursor_at_end(&cursor);
}

/* HOST=DOMAIN, which is cut in two. */
static bool take_relay(struct readlog_options *options, char *text)
{
    char *sign = strchr(text, '=');

    if (sign == NULL || sign == text || options->relay_count == READLOG_RELAYS_MAX)
        return false;
    *sign = '\0';
    options->relays[options->relay_count++] =
        (struct mtalog_relay){.host = text, .domain = sign[1] != '\0' ? sign + 1 : NULL};
    return true;
}

static bool take_sender(struct readlog_options *options, const char *text)
{
    if (options->sender_count == READLOG_SENDERS_MAX)
        return false;
    options->senders[options->sender_count++] = text;
    return true;
}

/* ---- the command line ---- */

static bool take_option(struct program *program, struct readlog_options *options, int option, char *value)
{
    unsigned word = 0;
    bool is_fine;

    switch (option) {
    case OPTION_MTA:
        is_fine = take_word(INPUTS, ARRAY_COUNT(INPUTS), value, &word);
        options->input = (enum readlog_input)word;
        return is_fine;
    case OPTION_MANDATORY_TLS:
        is_fine = take_word(POLICIES, ARRAY_COUNT(POLICIES), value, &word);
        options->mandatory_tls = (enum policy_type)word;
        return is_fine;
    case OPTION_FOLLOW:
        options->follow = value;
        return true;
    case OPTION_ONCE:
        options->is_once = true;
        return true;
    case OPTION_SOCKET:
        options->socket = value;
        return true;
    case OPTION_STDOUT:
        options->output = READLOG_TO_STDOUT;
        return true;
    case OPTION_SUMMARY:
        options->output = READLOG_TO_SUMMARY;
        return true;
    case OPTION_FROM:
        return take_time(value, false, &options->from_s);
    case OPTION_UNTIL:
        return take_time(value, true, &options->until_s);
    case OPTION_RELAY:
        return take_relay(options, value);
    case OPTION_IGNORE_SENDER:
        return take_sender(options, value);
    default:
        return program_take_option(program, option, value);
    }
}

/* What is wrong with the options taken together, or NULL. */
static const char *find_mistake(const struct readlog_options *options)
{
    if (options->input == READLOG_NONE)
        return "--mta is missing: exim, postfix, postfix-sts or ndjson";
    if (options->follow != NULL && options->file_count > 0)
        return "--follow takes one file, and there may be no other";
    if (options->follow == NULL && options->file_count == 0)
        return "no file is given; use - to read standard input";
    if (options->is_once && options->follow == NULL)
        return "--once needs --follow";
    if (options->follow != NULL && options->output == READLOG_TO_SUMMARY)
        return "--summary reads files or standard input, it does not follow";
    return NULL;
}

/* -1: go on; else the exit code. */
static int take_arguments(struct program *program, struct readlog_options *options, int argc, char **argv)
{
    const char *mistake;
    int option;

    while ((option = getopt_long(argc, argv, PROGRAM_SHORT_OPTIONS, LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option == 'V') {
            program_print_version(program);
            return 0;
        }
        if (option == '?')
            return EXIT_USAGE;
        if (!take_option(program, options, option, optarg)) {
            (void)fprintf(stderr, "%s: %s: not a value for this option\n", program->name,
                          optarg != NULL ? optarg : "");
            return EXIT_USAGE;
        }
    }
    options->files = argv + optind;
    options->file_count = argc - optind;
    mistake = find_mistake(options);
    if (mistake == NULL)
        return -1;
    (void)fprintf(stderr, "%s: %s\n", program->name, mistake);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct program program = {.name = "tlsrpt-gen-log"};
    struct readlog_options options = {
        .mandatory_tls = POLICY_NO_POLICY_FOUND, .from_s = INT64_MIN, .until_s = INT64_MAX};
    struct err err;
    enum status status;
    int code = take_arguments(&program, &options, argc, argv);

    if (code >= 0)
        return code;
    log_open(program.name, LOG_TO_STDERR);
    status = program_load_config(&program, false, &err);
    if (status == ST_OK)
        status = readlog_run(&program.config, &options, &err);
    code = status == ST_OK ? 0 : program_fail(&program, &err);
    config_done(&program.config);
    return code;
}
