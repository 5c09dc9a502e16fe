/* SPDX-License-Identifier: MIT */
/* tlsrpt-gen-collect - receive session results of MTAs on sockets and count them in the store. */
#include <stdio.h>

#include "app/program.h"
#include "base/log.h"
#include "collect/collector.h"

static int usage(void)
{
    fputs("Usage: tlsrpt-gen-collect [-c FILE] [-o KEY=VALUE]...\n"
          "Receive session outcomes of MTAs and count them for tlsrpt-gen.\n\n"
          "  -c, --config FILE   settings (default " CONFIG_DEFAULT_FILE ")\n"
          "  -o KEY=VALUE        a setting that wins over file and environment\n"
          "      --foreground    stay in the foreground; it always does\n"
          "  -h, --help          this text\n"
          "  -V, --version       the version\n\nSettings:\n",
          stdout);
    config_help(stdout);
    return 0;
}

/* -1: go on; else the exit code. */
static int take_options(struct program *program, int argc, char **argv)
{
    static const struct option LONG_OPTIONS[] = {
        PROGRAM_LONG_OPTIONS, {"foreground", no_argument, NULL, 'F'}, {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, PROGRAM_SHORT_OPTIONS, LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h')
            return usage();
        if (option == 'V') {
            program_print_version(program);
            return 0;
        }
        if (option != 'F' && !program_take_option(program, option, optarg))
            return EXIT_USAGE;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument %s\n", program->name, argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct program program = {.name = "tlsrpt-gen-collect", .config_path = CONFIG_DEFAULT_FILE};
    struct err err;
    enum status status;
    int code = take_options(&program, argc, argv);

    if (code >= 0)
        return code;
    log_open(program.name, LOG_TO_STDERR);
    status = program_load_config(&program, false, &err);
    if (status == ST_OK)
        status = collector_run(&program.config, argv, &err);
    code = status == ST_OK ? 0 : program_fail(&program, &err);
    config_done(&program.config);
    return code;
}
