/* SPDX-License-Identifier: MIT */
/*
 * A file's bytes are unwrapped step by step: a mail gives its attachment, gzip its content, and what is left must
 * be the report's JSON.  A name without a file is a domain: then the ledger's newest report goes the same way.
 */
#include "inspect/show.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/program.h"
#include "app/report_view.h"
#include "base/file.h"
#include "compress/gzip.h"
#include "mail/mail_read.h"
#include "model/domain.h"
#include "report/report_read.h"
#include "show_ledger.h"

#define ARENA_BYTES_MAX  (256UL << 20)
#define ORIGIN_SIZE      300
#define PRETTY_BYTES_MAX ((size_t)REPORT_READ_BYTES_MAX * 4)

struct show {
    bool is_json;
    const char *day_text; /* NULL: not given */
    struct arena arena;
    struct strbuf raw, unpacked;
    const struct strbuf *json; /* one of the two */
    struct report_envelope envelope;
    char origin[ORIGIN_SIZE];
};

static int usage_error(const char *text)
{
    (void)fprintf(stderr, "tlsrpt-gen show: %s; see tlsrpt-gen show --help\n", text);
    return EXIT_USAGE;
}

/* ---- a report from a file ---- */

static bool is_gzip(const struct strbuf *bytes)
{
    return bytes->len >= 2 && memcmp(bytes->data, "\x1f\x8b", 2) == 0;
}

/* The mail's report takes the place of the mail. */
static enum status take_out_of_mail(struct show *show, struct err *err)
{
    enum status status =
        mail_read_report(show->raw.data, show->raw.len, &show->arena, &show->unpacked, &show->envelope, err);

    if (status != ST_OK)
        return status;
    strbuf_reset(&show->raw);
    strbuf_add(&show->raw, show->unpacked.data, show->unpacked.len);
    strbuf_reset(&show->unpacked);
    return strbuf_is_failed(&show->raw) ? err_set(err, ST_NOMEM, "out of memory") : ST_OK;
}

/* raw is the report itself, perhaps compressed; let json be it, and origin say so. */
static enum status unpack(struct show *show, const char *name, struct err *err)
{
    const char *mail = show->envelope.is_mail ? "a mail with " : "";
    enum status status = ST_OK;

    show->envelope.is_gzip = is_gzip(&show->raw);
    show->json = show->envelope.is_gzip ? &show->unpacked : &show->raw;
    if (show->envelope.is_gzip)
        status = gzip_inflate(show->raw.data, show->raw.len, &show->unpacked, err);
    if (status != ST_OK)
        return status;
    if (show->envelope.is_gzip)
        (void)snprintf(show->origin, sizeof show->origin, "%.150s, %s%zu bytes of gzip, %zu of JSON", name,
                       mail, show->raw.len, show->json->len);
    else
        (void)snprintf(show->origin, sizeof show->origin, "%.150s, %s%zu bytes of JSON", name, mail,
                       show->json->len);
    return ST_OK;
}

static enum status load(struct show *show, const char *path, struct err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *slash = strrchr(path, '/');
    const char *name = is_stdin ? "stdin" : slash != NULL ? slash + 1 : path;
    enum status status =
        is_stdin ? file_read_fd(STDIN_FILENO, "stdin", &show->raw, err) : file_read(path, &show->raw, err);

    if (status != ST_OK)
        return status;
    if (show->raw.len == 0)
        return err_set(err, ST_SYNTAX, "nothing is in it; a report is JSON, gzip, or a mail with one inside");
    show->envelope = (struct report_envelope){.file_name = is_stdin ? "" : name};
    if (mail_read_is_mail(show->raw.data, show->raw.len))
        status = take_out_of_mail(show, err);
    if (status == ST_OK)
        status = unpack(show, name, err);
    return status;
}

/* ---- what is shown ---- */

static enum status print_json(const struct strbuf *json, struct err *err)
{
    struct strbuf pretty;
    enum status status;

    strbuf_init(&pretty, PRETTY_BYTES_MAX);
    status = report_format_pretty(json->data, json->len, &pretty, err);
    if (status == ST_OK)
        (void)fwrite(pretty.data, 1, pretty.len, stdout);
    strbuf_done(&pretty);
    return status;
}

/* *is_sound_out: it breaks no MUST. */
static enum status print_report(struct show *show, bool *is_sound_out, struct err *err)
{
    struct report_document document;
    struct finding_list findings;
    struct terminal terminal;
    enum status status;

    finding_list_init(&findings, &show->arena);
    terminal_detect(STDOUT_FILENO, &terminal);
    status = report_read(show->json->data, show->json->len, &show->arena, &findings, &document, err);
    if (status != ST_OK)
        return status;
    report_check_envelope(&show->envelope, &document, &findings);
    show_report_print(&terminal, &document, &show->envelope, &findings, show->origin, stdout);
    *is_sound_out = findings.totals[FINDING_MUST] == 0;
    return ST_OK;
}

static int show_file(struct show *show, const char *path)
{
    const struct program program = {.name = "tlsrpt-gen show"};
    bool is_sound = true;
    struct err err;
    enum status status = load(show, path, &err);

    if (status == ST_OK)
        status = show->is_json ? print_json(show->json, &err) : print_report(show, &is_sound, &err);
    if (status != ST_OK) {
        if (status != ST_NOT_FOUND || show->raw.len > 0) /* else it names the file itself */
            (void)err_wrap(&err, "%.150s", strcmp(path, "-") == 0 ? "stdin" : path);
        return program_fail(&program, &err);
    }
    return is_sound ? 0 : EXIT_DATA;
}

/* ---- a domain ---- */

/* The frozen report of the ledger, as if it came from a file. */
static enum status show_stored(void *context, const struct ledger_report *report, struct err *err)
{
    struct show *show = context;
    bool is_sound;
    enum status status;

    strbuf_add(&show->raw, report->gzip, report->gzip_len);
    if (strbuf_is_failed(&show->raw))
        return err_set(err, ST_NOMEM, "out of memory");
    show->envelope = (struct report_envelope){.file_name = report->file_name};
    status = unpack(show, "the ledger", err);
    if (status != ST_OK)
        return status;
    return show->is_json ? print_json(show->json, err) : print_report(show, &is_sound, err);
}

static int show_domain(struct show *show, const struct config *config, const char *text)
{
    const struct program program = {.name = "tlsrpt-gen show"};
    const char *domain;
    int32_t utc_day = -1;
    struct err err;

    if (show->day_text != NULL && program_parse_day(show->day_text, &utc_day, &err) != ST_OK) {
        (void)program_fail(&program, &err);
        return EXIT_USAGE;
    }
    if (domain_normalise(text, strlen(text), &show->arena, &domain, NULL) != ST_OK) {
        (void)err_set_errno(&err, ST_NOT_FOUND, ENOENT, "%.150s", text);
        return program_fail(&program, &err);
    }
    if (show_ledger(config, domain, utc_day, !show->is_json, &show->arena, show_stored, show, &err) != ST_OK)
        return program_fail(&program, &err);
    return 0;
}

/* ---- the command line ---- */

enum {
    OPTION_DAY = 256,
    OPTION_FORMAT
};

static const struct option LONG_OPTIONS[] = {
    {"day", required_argument, NULL, OPTION_DAY},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    (void)puts(
        "usage: tlsrpt-gen show [--format FORMAT] [FILE]\n"
        "       tlsrpt-gen [-c FILE] show [--day DAY] [--format FORMAT] DOMAIN\n"
        "\n"
        "Print a TLSRPT report so that a person can read it, with every departure from RFC 8460; or what\n"
        "reports.db holds of a domain, and what became of each delivery.\n"
        "\n"
        "  FILE                .json, .json.gz, or a mail with one inside; stdin if it is - or left out\n"
        "  DOMAIN              a name for which there is no file\n"
        "      --day DAY       YYYY-MM-DD, yesterday or today (default: the newest report)\n"
        "      --format FORMAT table, or json: the report itself, one member a line (default: table)\n"
        "  -h, --help          this text");
}

/* -1 to go on, else the exit code. */
static int take_options(struct show *show, int argc, char **argv)
{
    int option;

    optind = 0; /* begin anew: the words before were another parser's */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option == OPTION_DAY)
            show->day_text = optarg;
        else if (option == OPTION_FORMAT && strcmp(optarg, "json") == 0)
            show->is_json = true;
        else if (option == OPTION_FORMAT && strcmp(optarg, "table") != 0)
            return usage_error("--format is table or json");
        else if (option != OPTION_FORMAT)
            return program_refuse_option("tlsrpt-gen show", argv);
    }
    if (argc - optind > 1)
        return usage_error("one file or one domain, please");
    if (show->day_text != NULL && argc == optind)
        return usage_error("--day goes with a domain");
    return -1;
}

/* config is NULL if the settings could not be read, because of settings_err. */
static int run(const struct config *config, const struct err *settings_err, int argc, char **argv)
{
    const struct program program = {.name = "tlsrpt-gen"};
    struct show show = {0};
    const char *what;
    int code;

    arena_init(&show.arena, ARENA_BYTES_MAX);
    strbuf_init(&show.raw, REPORT_READ_BYTES_MAX);
    strbuf_init(&show.unpacked, REPORT_READ_BYTES_MAX);
    code = take_options(&show, argc, argv);
    if (code >= 0)
        goto out;
    what = optind < argc ? argv[optind] : "-";
    if (optind == argc &&
        isatty(STDIN_FILENO) == 1) { /* it would wait in silence for somebody to type JSON */
        code = usage_error("give a file, a domain, or - for standard input");
        goto out;
    }
    if (show.day_text == NULL &&
        (strcmp(what, "-") == 0 || strchr(what, '/') != NULL || access(what, F_OK) == 0))
        code = show_file(&show, what);
    else
        code = config != NULL ? show_domain(&show, config, what) : program_fail(&program, settings_err);
out:
    strbuf_done(&show.raw);
    strbuf_done(&show.unpacked);
    arena_done(&show.arena);
    return code;
}

int cmd_show(const struct config *config, int argc, char **argv)
{
    return run(config, NULL, argc, argv);
}

int cmd_show_unset(const struct err *err, int argc, char **argv)
{
    return run(NULL, err, argc, argv);
}
