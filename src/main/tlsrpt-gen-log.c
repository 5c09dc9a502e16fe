/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt-gen-log - read what an MTA's log says about its TLS sessions and tell the collector; see
 * tlsrpt-gen-log(8).
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/log_events.h"
#include "app/program.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "datagram/ndjson_line.h"
#include "model/utc_day.h"
#include "readlog/dane_lookup.h"
#include "readlog/log_read.h"

#define RELAYS_MAX  64
#define SENDERS_MAX 16
#define PATIENCE_MS 10000 /* files and pipes: how long a collector may be away */

enum input {
    INPUT_NONE,
    INPUT_EXIM,
    INPUT_POSTFIX,
    INPUT_POSTFIX_STS, /* only the warning about MX hosts outside an MTA-STS policy */
    INPUT_JSON,
};

struct log_arguments {
    struct program program;
    enum input input;
    const char *follow; /* NULL: FILEs or "-" */
    bool is_once;
    enum log_sink_kind sink;
    const char *socket; /* NULL: the first of the settings */
    int64_t from_s, until_s;
    enum policy_type mandatory_tls;
    struct mtalog_relay relays[RELAYS_MAX];
    size_t relay_count;
    const char *senders[SENDERS_MAX + 1];
    size_t sender_count;
    char **files;
    int file_count;
};

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
        "  -o NAME=VALUE           one setting that wins over the file\n"
        "  -h, --help              this text\n"
        "  -V, --version           the version");
}

/* ---- values of options ---- */

struct word {
    const char *name;
    int value;
};

static const struct word INPUTS[] = {{"exim", INPUT_EXIM},
                                     {"postfix", INPUT_POSTFIX},
                                     {"postfix-sts", INPUT_POSTFIX_STS},
                                     {"ndjson", INPUT_JSON},
                                     {NULL, 0}};

static const struct word POLICIES[] = {
    {"dane", POLICY_TLSA}, {"sts", POLICY_STS}, {"unknown", POLICY_NO_POLICY_FOUND}, {NULL, 0}};

static bool take_word(const struct word *words, const char *text, int *value_out)
{
    for (; words->name != NULL; words++)
        if (strcmp(words->name, text) == 0) {
            *value_out = words->value;
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

    if (strlen(text) < UTC_DAY_TEXT_SIZE - 1)
        return false;
    (void)snprintf(day_text, sizeof day_text, "%s", text);
    if (!utc_day_parse(day_text, &utc_day))
        return false;
    *utc_s_out = utc_day_begin_s(utc_day) + (is_end ? UTC_DAY_SECONDS : 0);
    text += UTC_DAY_TEXT_SIZE - 1;
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
static bool take_relay(struct log_arguments *arguments, char *text)
{
    char *sign = strchr(text, '=');

    if (sign == NULL || sign == text || arguments->relay_count == RELAYS_MAX)
        return false;
    *sign = '\0';
    arguments->relays[arguments->relay_count++] =
        (struct mtalog_relay){.host = text, .domain = sign[1] != '\0' ? sign + 1 : NULL};
    return true;
}

static bool take_sender(struct log_arguments *arguments, const char *text)
{
    if (arguments->sender_count == SENDERS_MAX)
        return false;
    arguments->senders[arguments->sender_count++] = text;
    return true;
}

static bool take_option(struct log_arguments *arguments, int option, char *value)
{
    int word = 0;
    bool is_fine = true;

    switch (option) {
    case OPTION_MTA:
        is_fine = take_word(INPUTS, value, &word);
        arguments->input = (enum input)word;
        return is_fine;
    case OPTION_MANDATORY_TLS:
        is_fine = take_word(POLICIES, value, &word);
        arguments->mandatory_tls = (enum policy_type)word;
        return is_fine;
    case OPTION_FOLLOW:
        arguments->follow = value;
        return true;
    case OPTION_ONCE:
        arguments->is_once = true;
        return true;
    case OPTION_SOCKET:
        arguments->socket = value;
        return true;
    case OPTION_STDOUT:
        arguments->sink = LOG_SINK_STDOUT;
        return true;
    case OPTION_SUMMARY:
        arguments->sink = LOG_SINK_SUMMARY;
        return true;
    case OPTION_FROM:
        return take_time(value, false, &arguments->from_s);
    case OPTION_UNTIL:
        return take_time(value, true, &arguments->until_s);
    case OPTION_RELAY:
        return take_relay(arguments, value);
    case OPTION_IGNORE_SENDER:
        return take_sender(arguments, value);
    default:
        return program_take_option(&arguments->program, option, value);
    }
}

/* What is wrong with the whole, or NULL. */
static const char *check_arguments(const struct log_arguments *arguments)
{
    if (arguments->input == INPUT_NONE)
        return "--mta is missing: exim, postfix, postfix-sts or ndjson";
    if (arguments->follow != NULL && arguments->file_count > 0)
        return "--follow takes one file, and there may be no other";
    if (arguments->follow == NULL && arguments->file_count == 0)
        return "no file is given; use - to read standard input";
    if (arguments->is_once && arguments->follow == NULL)
        return "--once needs --follow";
    if (arguments->follow != NULL && arguments->sink == LOG_SINK_SUMMARY)
        return "--summary reads files or standard input, it does not follow";
    return NULL;
}

/* -1: go on; else the exit code. */
static int take_arguments(struct log_arguments *arguments, int argc, char **argv)
{
    const char *mistake;
    int option;

    while ((option = getopt_long(argc, argv, PROGRAM_SHORT_OPTIONS, LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option == 'V') {
            program_print_version(&arguments->program);
            return 0;
        }
        if (option == '?' || !take_option(arguments, option, optarg)) {
            if (option != '?')
                (void)fprintf(stderr, "%s: %s: not a value for this option\n", arguments->program.name,
                              optarg != NULL ? optarg : "");
            return EXIT_USAGE;
        }
    }
    arguments->files = argv + optind;
    arguments->file_count = argc - optind;
    mistake = check_arguments(arguments);
    if (mistake == NULL)
        return -1;
    (void)fprintf(stderr, "%s: %s\n", arguments->program.name, mistake);
    return EXIT_USAGE;
}

/* ---- running ---- */

static void stop(int signal_number)
{
    (void)signal_number;
    log_sink_is_stopping = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = stop};

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* STATE_DIR/log-MTA-HASH.place: one for each log, by its absolute path. */
static enum status make_checkpoint_path(const struct log_arguments *arguments, char path[PATH_MAX],
                                        struct err *err)
{
    static const char *const NAMES[] = {[INPUT_NONE] = "",
                                        [INPUT_EXIM] = "exim",
                                        [INPUT_POSTFIX] = "postfix",
                                        [INPUT_POSTFIX_STS] = "postfix-sts",
                                        [INPUT_JSON] = "ndjson"};
    const char *state_dir = arguments->program.config.state_dir;
    const char *follow = arguments->follow;
    char folder[PATH_MAX] = "";
    char absolute[2 * PATH_MAX];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    if (follow[0] != '/' && getcwd(folder, sizeof folder) == NULL)
        return err_set_errno(err, ST_IO, errno, "current folder");
    if (strlen(follow) >= PATH_MAX)
        return err_set(err, ST_CONFIG, "%s: path is too long", follow);
    (void)snprintf(absolute, sizeof absolute, "%s%s%s", folder, follow[0] != '/' ? "/" : "", follow);
    for (const char *at = absolute; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    if ((size_t)snprintf(path, PATH_MAX, "%s/log-%s-%016llx.place", state_dir, NAMES[arguments->input],
                         (unsigned long long)hash) >= PATH_MAX)
        return err_set(err, ST_CONFIG, "state_dir is too long");
    return file_make_folders(state_dir, 0750, err);
}

/* What a log leaves open, DNS tells: whether a host that TLS was demanded of has TLSA records. */
static enum status open_dane_lookup(const struct log_arguments *arguments, struct dane_lookup **lookup_out,
                                    struct err *err)
{
    bool is_pipe = arguments->file_count > 0 && strcmp(arguments->files[0], "-") == 0;
    bool is_live = is_pipe || (arguments->follow != NULL && !arguments->is_once);

    if (arguments->input != INPUT_EXIM && arguments->input != INPUT_POSTFIX)
        return ST_OK;
    return dane_lookup_open(&arguments->program.config.resolver,
                            is_live ? DANE_LOOKUP_PIPE_MS : DANE_LOOKUP_FILE_MS, lookup_out, err);
}

static enum status open_reader(struct log_arguments *arguments, struct log_reader *reader,
                               struct dane_lookup *lookup, struct err *err)
{
    const struct mtalog_settings settings = {
        .mta = arguments->input == INPUT_EXIM ? MTALOG_EXIM : MTALOG_POSTFIX,
        .mandatory_tls = arguments->mandatory_tls,
        .relays = arguments->relays,
        .relay_count = arguments->relay_count,
        .ignored_senders = arguments->senders,
        .ignored_sender_count = arguments->sender_count,
        .only_mx_mismatch = arguments->input == INPUT_POSTFIX_STS,
        .dane_of = lookup != NULL ? dane_lookup_of : NULL,
        .dane_context = lookup,
        .on_result = log_reader_emit,
        .context = reader,
    };

    arena_init(&reader->arena, NDJSON_LINE_ARENA_BYTES);
    return arguments->input == INPUT_JSON ? ST_OK : mtalog_new(&settings, &reader->mtalog, err);
}

static enum status read_all(struct log_arguments *arguments, struct log_reader *reader, struct err *err)
{
    char checkpoint_path[PATH_MAX];
    enum status status = ST_OK;

    if (arguments->follow != NULL) {
        status = make_checkpoint_path(arguments, checkpoint_path, err);
        if (status == ST_OK)
            status = log_follow(reader, arguments->follow, checkpoint_path, arguments->is_once, err);
        return status;
    }
    for (int i = 0; status == ST_OK && i < arguments->file_count && !log_sink_is_stopping; i++)
        status = log_read_file(reader, arguments->files[i], err);
    return status == ST_OK ? log_read_end(reader, err) : status;
}

static void log_counts(const struct log_reader *reader)
{
    static const struct mtalog_counts NOTHING;
    const struct mtalog_counts *counts = reader->mtalog != NULL ? mtalog_counts(reader->mtalog) : &NOTHING;

    LOG_FACT(EV_LOG_READ, log_number("lines", (int64_t)reader->lines),
             log_number("told", (int64_t)reader->sink->emitted),
             log_number("ambiguous", (int64_t)counts->ambiguous),
             log_number("no_domain", (int64_t)counts->no_domain),
             log_number("too_long", (int64_t)counts->too_long),
             log_number("evicted", (int64_t)counts->evicted),
             log_number("malformed", (int64_t)reader->malformed));
}

static enum status run(struct log_arguments *arguments, struct err *err)
{
    struct log_reader reader = {.mtalog = NULL};
    struct dane_lookup *lookup = NULL;
    struct log_sink sink;
    enum status status;

    catch_signals();
    status = log_sink_open(&sink, arguments->sink, arguments->socket, err);
    sink.from_s = arguments->from_s;
    sink.until_s = arguments->until_s;
    sink.patience_ms = arguments->follow != NULL && !arguments->is_once ? -1 : PATIENCE_MS;
    reader.sink = &sink;
    if (status == ST_OK)
        status = open_dane_lookup(arguments, &lookup, err);
    if (status == ST_OK)
        status = open_reader(arguments, &reader, lookup, err);
    if (status == ST_OK)
        status = read_all(arguments, &reader, err);
    if (fflush(stdout) != 0 && status == ST_OK)
        status = err_set_errno(err, ST_IO, errno, "write standard output");
    if (status == ST_OK && arguments->sink == LOG_SINK_SUMMARY)
        log_sink_print_summary(&sink, stdout);
    log_counts(&reader);
    mtalog_free(&reader.mtalog);
    dane_lookup_close(&lookup);
    arena_done(&reader.arena);
    log_sink_close(&sink);
    return status;
}

/* Defaults that the settings give: the collector's socket, and our own reports' sender. */
static enum status apply_settings(struct log_arguments *arguments, struct err *err)
{
    const struct config *config = &arguments->program.config;

    if (arguments->sink == LOG_SINK_SOCKET && arguments->socket == NULL) {
        if (config->socket.count == 0)
            return err_set(err, ST_CONFIG, "no socket: set socket, or use --socket or --stdout");
        arguments->socket = config->socket.items[0];
    }
    if (arguments->socket != NULL && strlen(arguments->socket) > 107)
        return err_set(err, ST_CONFIG, "%s: longer than a socket path may be", arguments->socket);
    if (arguments->sender_count == 0 && config->envelope_from[0] != '\0')
        arguments->senders[arguments->sender_count++] = config->envelope_from;
    return ST_OK;
}

int main(int argc, char **argv)
{
    static struct log_arguments arguments = {
        .program = {.name = "tlsrpt-gen-log", .config_path = CONFIG_DEFAULT_FILE},
        .mandatory_tls = POLICY_NO_POLICY_FOUND,
        .from_s = INT64_MIN,
        .until_s = INT64_MAX,
    };
    struct err err;
    enum status status;
    int code = take_arguments(&arguments, argc, argv);

    if (code >= 0)
        return code;
    log_open(arguments.program.name, LOG_TO_STDERR);
    status = program_load_config(&arguments.program, false, &err);
    if (status == ST_OK)
        status = apply_settings(&arguments, &err);
    if (status == ST_OK)
        status = run(&arguments, &err);
    code = status == ST_OK ? 0 : program_fail(&arguments.program, &err);
    config_done(&arguments.program.config);
    return code;
}
