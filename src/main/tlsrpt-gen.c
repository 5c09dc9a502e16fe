/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt-gen - build and deliver the RFC 8460 reports of every complete day.
 *
 * Started by cron, a timer or hand; see tlsrpt-gen(8).  Options in front of a subcommand are taken first (FLAGS,
 * take_option) and checked together (check_command, check_job).  Then the first other word names a row of
 * SUBCOMMANDS, which reads its own options; without one the reports are built and delivered.
 */
#include <stdio.h>
#include <string.h>

#include "app/log_events.h"
#include "app/program.h"
#include "base/log.h"
#include "check/check.h"
#include "generate/push.h"
#include "generate/run.h"
#include "inspect/explain.h"
#include "inspect/show.h"
#include "inspect/status.h"
#include "inspect/unsuppress.h"
#include "model/domain.h"
#include "setup/setup.h"

typedef int subcommand_fn(const struct config *config, int argc, char **argv);

/* For when the settings cannot be read; err says why. */
typedef int unset_fn(const struct err *err, int argc, char **argv);

static const struct {
    const char *name;
    subcommand_fn *run;
    unset_fn *run_unset; /* NULL: print err and exit */
    const char *help;
} SUBCOMMANDS[] = {
    {"show", cmd_show, cmd_show_unset, "print a report (file, mail, stdin), or what is known of a domain's"},
    {"status", cmd_status, NULL, "tell whether the collector runs and what became of the reports"},
    {"check", cmd_check, cmd_check_unset,
     "look whether everything is in place, and say how to mend what is not"},
    {"push", cmd_push, NULL, "bring what this host counted into its fleet's database"},
    {"fleet-init", cmd_fleet_init, NULL, "make a fleet's tables, or bring them up to date; print GRANTs"},
    {"fleet-forget", cmd_fleet_forget, NULL, "let a fleet wait no more for hosts that have left it"},
    {"explain", cmd_explain, NULL, "say in words what a domain's TLSRPT record asks for"},
    {"unsuppress", cmd_unsuppress, NULL, "let mailboxes that refused get reports again"},
    {"setup-postfix", cmd_setup_postfix, NULL,
     "show what Postfix needs to report its sessions; --apply sets it"},
    {"setup-exim", cmd_setup_exim, NULL, "show what Exim needs to report its sessions, and where to put it"},
};

struct main_arguments {
    struct program program;
    bool is_dry_run;
    bool is_show_config;
    bool is_if_configured;
    bool has_dry_run_option; /* --day, --domain, --format or -v */
    struct run_options run;
    struct dry_run_options dry_run;
    struct arena arena; /* holds the domain */
};

enum {
    OPTION_DAY = 256,
    OPTION_DOMAIN,
    OPTION_FORMAT,
    OPTION_SHOW_CONFIG,
    OPTION_IF_CONFIGURED,
    OPTION_FLUSH,
    OPTION_LINGER,
    OPTION_ACCEPT_CLOCK,
};

static const struct option LONG_OPTIONS[] = {
    PROGRAM_LONG_OPTIONS,
    {"dry-run", no_argument, NULL, 'n'},
    {"verbose", no_argument, NULL, 'v'},
    {"day", required_argument, NULL, OPTION_DAY},
    {"domain", required_argument, NULL, OPTION_DOMAIN},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"show-config", no_argument, NULL, OPTION_SHOW_CONFIG},
    {"flush", no_argument, NULL, OPTION_FLUSH},
    {"linger", no_argument, NULL, OPTION_LINGER},
    {"accept-clock", no_argument, NULL, OPTION_ACCEPT_CLOCK},
    {"if-configured", no_argument, NULL, OPTION_IF_CONFIGURED},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    (void)puts("usage: tlsrpt-gen [-c FILE] [-o NAME=VALUE]... [--flush] [--linger] [--accept-clock]\n"
               "       tlsrpt-gen [-c FILE] [-o NAME=VALUE]... --dry-run [-v] [--day DAY] "
               "[--domain DOMAIN] [--format FORMAT]\n"
               "       tlsrpt-gen [-c FILE] [-o NAME=VALUE]... --show-config\n"
               "       tlsrpt-gen [-c FILE] [-o NAME=VALUE]... COMMAND [ARGUMENT]...\n"
               "\n"
               "Without a command: build the reports of every complete UTC day and deliver what is due.\n"
               "\n"
               "  -c, --config FILE   settings (" CONFIG_DEFAULT_FILE ")\n"
               "  -o NAME=VALUE       one setting that wins over file and environment\n"
               "  -n, --dry-run       show what would be sent; change nothing, send nothing\n"
               "  -v, --verbose       with --dry-run: each policy and failure in words\n"
               "      --day DAY       YYYY-MM-DD, yesterday or today (default: every day not yet reported)\n"
               "      --domain DOMAIN only this domain\n"
               "      --format FORMAT table, json (one object per line) or mail (default: table)\n"
               "      --flush         also try what is to be tried later\n"
               "      --linger        go on until nothing is open; for a daily cron line\n"
               "      --accept-clock  the clock is right, although it jumped by more than a day\n"
               "      --if-configured do nothing while organization_name or contact_info is unset\n"
               "      --show-config   every setting, its value and where it came from\n"
               "  -h, --help          this text\n"
               "  -V, --version       the version\n"
               "\n"
               "Commands:");
    for (size_t i = 0; i < ARRAY_COUNT(SUBCOMMANDS); i++)
        (void)printf("  %-19s %s\n", SUBCOMMANDS[i].name, SUBCOMMANDS[i].help);
    (void)puts("\nSettings (tlsrpt-gen.conf(5)); TLSRPT_GEN_NAME in the environment wins over the file:");
    config_help(stdout);
}

/* ---- options ---- */

static enum status parse_format(const char *text, struct dry_run_options *options, struct err *err)
{
    static const char *const NAMES[] = {
        [DRY_RUN_TABLE] = "table", [DRY_RUN_JSON] = "json", [DRY_RUN_MAIL] = "mail"};

    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++)
        if (strcmp(text, NAMES[i]) == 0) {
            options->format = (enum dry_run_format)i;
            return ST_OK;
        }
    return err_set(err, ST_SYNTAX, "--format \"%.40s\": use table, json or mail", text);
}

static enum status parse_domain(const char *text, struct main_arguments *arguments, struct err *err)
{
    enum status status =
        domain_normalise(text, strlen(text), &arguments->arena, &arguments->dry_run.domain, err);

    return status == ST_OK ? ST_OK : err_wrap(err, "--domain \"%.80s\"", text);
}

/* Options without a value; those with a name do not go with a command. */
static const struct {
    int option;
    size_t offset;
    const char *name;
} FLAGS[] = {
    {'n', offsetof(struct main_arguments, is_dry_run), "--dry-run"},
    {OPTION_FLUSH, offsetof(struct main_arguments, run.is_flush), "--flush"},
    {OPTION_LINGER, offsetof(struct main_arguments, run.is_linger), "--linger"},
    {OPTION_ACCEPT_CLOCK, offsetof(struct main_arguments, run.is_clock_accepted), "--accept-clock"},
    {OPTION_SHOW_CONFIG, offsetof(struct main_arguments, is_show_config), "--show-config"},
    {OPTION_IF_CONFIGURED, offsetof(struct main_arguments, is_if_configured), "--if-configured"},
    {'v', offsetof(struct main_arguments, dry_run.is_verbose), NULL},
};

/* One option of the command line other than help and version. */
static enum status take_option(struct main_arguments *arguments, int option, struct err *err)
{
    if (program_take_option(&arguments->program, option, optarg))
        return ST_OK;
    arguments->has_dry_run_option = arguments->has_dry_run_option || option == 'v' || option == OPTION_DAY ||
                                    option == OPTION_FORMAT || option == OPTION_DOMAIN;
    for (size_t i = 0; i < ARRAY_COUNT(FLAGS); i++)
        if (FLAGS[i].option == option) {
            *(bool *)((char *)arguments + FLAGS[i].offset) = true;
            return ST_OK;
        }
    if (option == OPTION_DAY) {
        arguments->dry_run.days = DRY_RUN_ONE_DAY;
        return program_parse_day(optarg, &arguments->dry_run.utc_day, err);
    }
    if (option == OPTION_FORMAT)
        return parse_format(optarg, &arguments->dry_run, err);
    if (option == OPTION_DOMAIN)
        return parse_domain(optarg, arguments, err);
    return err_set(err, ST_SYNTAX, "see tlsrpt-gen --help");
}

static int usage_error(const struct err *err)
{
    (void)fprintf(stderr, "tlsrpt-gen: %s\n", err->text);
    return EXIT_USAGE;
}

/* Options that have no effect here are refused, so that none is ignored in silence: first, in front of a command. */
static enum status check_command(const struct main_arguments *arguments, const char *command, struct err *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(FLAGS); i++)
        if (FLAGS[i].name != NULL && *(const bool *)((const char *)arguments + FLAGS[i].offset))
            return err_set(err, ST_SYNTAX, "%s does not go with a command; leave out %s or \"%.40s\"",
                           FLAGS[i].name, FLAGS[i].name, command);
    if (arguments->has_dry_run_option)
        return err_set(err, ST_SYNTAX,
                       "--day, --domain, --format and -v stand behind the command, if it has them; see "
                       "tlsrpt-gen --help");
    return ST_OK;
}

/* And without a command, those that exclude each other. */
static enum status check_job(const struct main_arguments *arguments, struct err *err)
{
    const char *shown = arguments->is_dry_run ? "--dry-run" : "--show-config";
    const struct run_options *run = &arguments->run;

    if (arguments->has_dry_run_option && !arguments->is_dry_run)
        return err_set(err, ST_SYNTAX, "--day, --domain, --format and -v go with --dry-run");
    if (arguments->is_dry_run && arguments->is_show_config)
        return err_set(err, ST_SYNTAX, "--dry-run does not go with --show-config; leave out one of them");
    if ((arguments->is_dry_run || arguments->is_show_config) &&
        (run->is_flush || run->is_linger || run->is_clock_accepted))
        return err_set(err, ST_SYNTAX, "%s does not go with %s, which sends nothing; leave out one of them",
                       run->is_flush    ? "--flush"
                       : run->is_linger ? "--linger"
                                        : "--accept-clock",
                       shown);
    return ST_OK;
}

/* Take the options of the command line up to the first other word; -1 to go on, else the exit code. */
static int take_options(struct main_arguments *arguments, int argc, char **argv)
{
    struct err err;
    int option;

    while ((option = getopt_long(argc, argv, "+nv" PROGRAM_SHORT_OPTIONS, LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return 0;
        }
        if (option == 'V') {
            program_print_version(&arguments->program);
            return 0;
        }
        if (take_option(arguments, option, &err) != ST_OK)
            return usage_error(&err);
    }
    if ((optind < argc ? check_command(arguments, argv[optind], &err) : check_job(arguments, &err)) != ST_OK)
        return usage_error(&err);
    return -1;
}

/* ---- jobs ---- */

static int run_subcommand(struct main_arguments *arguments, int argc, char **argv)
{
    struct program *program = &arguments->program;
    struct err err;
    int code;

    for (size_t i = 0; i < ARRAY_COUNT(SUBCOMMANDS); i++) {
        if (strcmp(argv[0], SUBCOMMANDS[i].name) != 0)
            continue;
        if (program_load_config(program, false, &err) == ST_OK)
            code = SUBCOMMANDS[i].run(&program->config, argc, argv);
        else if (SUBCOMMANDS[i].run_unset != NULL)
            code = SUBCOMMANDS[i].run_unset(&err, argc, argv);
        else
            code = program_fail(program, &err);
        config_done(&program->config);
        return code;
    }
    (void)err_set(&err, ST_SYNTAX, "\"%.40s\": no such command; see tlsrpt-gen --help", argv[0]);
    return usage_error(&err);
}

/* A package cannot know who sends the reports: until that is set, the runs of its timer do nothing. */
static bool is_identity_set(const struct config *config)
{
    const char *missing = config_missing_identity(config);
    char fix[1024];

    (void)snprintf(fix, sizeof fix, "set it in %s; nothing is sent until then", config->file);
    if (missing != NULL)
        LOG_FACT(EV_NOT_CONFIGURED, log_text("missing", missing), log_text("mend", fix));
    return missing == NULL;
}

/* Build and deliver, as the owner of state_dir. */
static int run_as_owner(struct main_arguments *arguments)
{
    struct program *program = &arguments->program;
    struct err err;

    return program_leave_root(program->config.state_dir, &err) == ST_OK
               ? cmd_run(&program->config, &arguments->run)
               : program_fail(program, &err);
}

static int run_main_job(struct main_arguments *arguments)
{
    struct program *program = &arguments->program;
    bool needs_identity = !arguments->is_show_config && !arguments->is_if_configured;
    struct err err;
    int code = 0;

    if (program_load_config(program, needs_identity, &err) != ST_OK)
        code = program_fail(program, &err);
    else if (arguments->is_show_config)
        config_show(&program->config, stdout);
    else if (arguments->is_if_configured && !is_identity_set(&program->config))
        code = 0;
    else if (arguments->is_dry_run)
        code = cmd_dry_run(&program->config, &arguments->dry_run);
    else
        code = run_as_owner(arguments);
    config_done(&program->config);
    return code;
}

int main(int argc, char **argv)
{
    struct main_arguments arguments = {.program = {.name = "tlsrpt-gen"}};
    int code;

    log_open(arguments.program.name, LOG_TO_STDERR);
    arena_init(&arguments.arena, 8192);
    code = take_options(&arguments, argc, argv);
    if (code < 0)
        code = optind < argc ? run_subcommand(&arguments, argc - optind, argv + optind)
                             : run_main_job(&arguments);
    arena_done(&arguments.arena);
    if (code == 0 && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        (void)fprintf(stderr, "tlsrpt-gen: standard output: write failed\n");
        code = EXIT_IO;
    }
    return code;
}
