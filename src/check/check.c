/* SPDX-License-Identifier: MIT */
/*
 * The parts run in a fixed order, each one prints its findings as it makes them, and the sum comes last.  Later
 * parts use what earlier ones found (sockets with a listener, a resolver that answers, loaded keys).
 */
#include "check/check.h"

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/program.h"
#include "app/table.h"
#include "checkup.h"

#define ARENA_BYTES_MAX (16UL << 20)
#define TOPIC_COLUMNS   10
#define TEXT_COLUMN     (6 + TOPIC_COLUMNS + 2)
#define TEXT_BYTES      4096
#define SETTING         "set " /* the start of a fix that is a line of the settings file */

static void (*const PARTS[])(struct checkup *checkup) = {
    check_settings, check_folders,   check_sockets, check_collector, check_ledger, check_postfix,
    check_resolver, check_mailboxes, check_relay,   check_dkim,      check_fleet,  check_schedule,
};

/* ---- saying ---- */

static void print_finding(const struct terminal *terminal, enum verdict verdict, const char *topic,
                          const char *text)
{
    static const char *const NAMES[VERDICT_COUNT] = {
        [VERDICT_OK] = "ok", [VERDICT_WARN] = "warn", [VERDICT_FAIL] = "FAIL"};
    static const enum terminal_style STYLES[VERDICT_COUNT] = {
        [VERDICT_OK] = STYLE_GOOD, [VERDICT_WARN] = STYLE_WARN, [VERDICT_FAIL] = STYLE_BAD};

    (void)printf("%s%-4s%s  %-*s  ", terminal_begin(terminal, STYLES[verdict]), NAMES[verdict],
                 terminal_end(terminal, STYLES[verdict]), TOPIC_COLUMNS, topic);
    table_print_wrapped(terminal, TEXT_COLUMN, TEXT_COLUMN, text, stdout);
}

/* Text to be copied stays on one line, however long. */
static void print_fix(struct checkup *checkup, const char *fix)
{
    static const char *const LITERAL[] = {"run ", SETTING, "publish "};
    const struct terminal *terminal = &checkup->terminal;
    bool is_literal = false;

    for (size_t i = 0; i < ARRAY_COUNT(LITERAL); i++)
        is_literal = is_literal || strncmp(fix, LITERAL[i], strlen(LITERAL[i])) == 0;
    checkup->has_setting_fix = checkup->has_setting_fix || strstr(fix, SETTING) != NULL;
    (void)printf("%*smend: ", TEXT_COLUMN, "");
    if (is_literal) {
        table_print_text(terminal, STYLE_PLAIN, fix, stdout);
        (void)putchar('\n');
    } else {
        table_print_wrapped(terminal, TEXT_COLUMN + 6, TEXT_COLUMN + 6, fix, stdout);
    }
}

void checkup_say(struct checkup *checkup, enum verdict verdict, const char *topic, const char *fix,
                 const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_finding(&checkup->terminal, verdict, topic, text);
    if (fix != NULL)
        print_fix(checkup, fix);
    (void)fflush(stdout); /* the next look may take seconds */
    checkup->counts[verdict]++;
}

const char *checkup_format(struct checkup *checkup, const char *format, ...)
{
    char text[TEXT_BYTES];
    const char *copy;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    copy = arena_copy_text(&checkup->arena, text, strlen(text));
    return copy != NULL ? copy : "";
}

const char *checkup_domain_of(const char *mailbox)
{
    const char *at_sign = strrchr(mailbox, '@');

    return at_sign != NULL ? at_sign + 1 : "";
}

static void print_sum(struct checkup *checkup)
{
    (void)printf("\n%zu ok, %zu to look at, %zu failed\n", checkup->counts[VERDICT_OK],
                 checkup->counts[VERDICT_WARN], checkup->counts[VERDICT_FAIL]);
    if (checkup->has_setting_fix)
        table_print_wrapped(
            &checkup->terminal, 0, 0,
            checkup_format(checkup, "What is to be set goes into %s; restart tlsrpt-gen-collect afterwards.",
                           checkup->config->file),
            stdout);
}

/* ---- settings ---- */

static void check_obsolete(struct checkup *checkup)
{
    const struct options *options = &checkup->config->options;

    for (const struct option_row *row = NULL; (row = options_next_obsolete(options, row)) != NULL;) {
        char origin[PATH_MAX + 16];

        options_origin_format(options, row->name, origin, sizeof origin);
        checkup_say(checkup, VERDICT_WARN, "settings", "remove it", "%s: %s has no effect: %s", origin,
                    row->name, row->help);
    }
}

void check_settings(struct checkup *checkup)
{
    const struct config *config = checkup->config;

    if (*config->organization_name == '\0')
        checkup_say(checkup, VERDICT_FAIL, "settings", "set organization_name = Example Ltd (your own name)",
                    "organization_name is not set: no report can be sent");
    if (*config->contact_info == '\0')
        checkup_say(checkup, VERDICT_FAIL, "settings",
                    "set contact_info = tls-reports@example.org (your own address)",
                    "contact_info is not set: no report can be sent");
    if (*config->organization_name != '\0' && *config->contact_info != '\0')
        checkup_say(checkup, VERDICT_OK, "settings", NULL, "reports come from %s <%s> as submitter %s",
                    config->organization_name, config->from, config->submitter);
    check_obsolete(checkup);
}

/* ---- the command line ---- */

static const struct option LONG_OPTIONS[] = {
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    (void)puts("usage: tlsrpt-gen [-c FILE] check\n"
               "\n"
               "Look at the settings, folders, sockets, the collector, Postfix, DNS, the relay, DKIM and the "
               "timer.\n"
               "One line each: ok, warn or FAIL, with the mend.  Nothing is changed and no mail is sent.\n"
               "\n"
               "  -h, --help          this text\n"
               "\n"
               "exit code: 0 nothing failed, 1 something did");
}

/* -1 to go on, else the exit code. */
static int take_options(int argc, char **argv)
{
    int option;

    optind = 0; /* begin anew: the words before were another parser's */
    opterr = 0;
    option = getopt_long(argc, argv, "h", LONG_OPTIONS, NULL);
    if (option == 'h') {
        print_help();
        return 0;
    }
    if (option == -1 && optind == argc)
        return -1;
    (void)fputs("tlsrpt-gen check: takes no words; see tlsrpt-gen check --help\n", stderr);
    return EXIT_USAGE;
}

int cmd_check(const struct config *config, int argc, char **argv)
{
    struct checkup checkup = {.config = config};
    int code = take_options(argc, argv);

    if (code >= 0)
        return code;
    terminal_detect(STDOUT_FILENO, &checkup.terminal);
    arena_init(&checkup.arena, ARENA_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(PARTS); i++)
        PARTS[i](&checkup);
    print_sum(&checkup);
    resolve_close(&checkup.resolver);
    dkim_keys_free(&checkup.keys);
    arena_done(&checkup.arena);
    return checkup.counts[VERDICT_FAIL] > 0 ? EXIT_NEGATIVE : 0;
}

int cmd_check_unset(const struct err *err, int argc, char **argv)
{
    struct checkup checkup = {0};
    int code = take_options(argc, argv);

    if (code >= 0)
        return code;
    terminal_detect(STDOUT_FILENO, &checkup.terminal);
    checkup_say(&checkup, VERDICT_FAIL, "settings", NULL, "%s", err->text);
    (void)puts("\nThe rest needs settings that can be read.");
    return EXIT_NEGATIVE;
}
