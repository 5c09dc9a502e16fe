/* SPDX-License-Identifier: MIT */
#include "cmd/unsuppress.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/program.h"
#include "store/ledger.h"

static enum status open_ledger(const struct config *config, struct ledger **ledger_out, struct err *err)
{
    char path[PATH_MAX];

    if ((size_t)snprintf(path, sizeof path, "%s/reports.db", config->state_dir) >= sizeof path)
        return err_set(err, ST_CONFIG, "state_dir: path is too long; use a shorter one");
    if (access(path, F_OK) != 0)
        return err_set(err, ST_NOT_FOUND, "%s: there is none; nothing has been sent yet", path);
    return ledger_open(path, LEDGER_WRITE, ledger_out, err);
}

int cmd_unsuppress(const struct config *config, int argc, char **argv)
{
    const struct program program = {.name = "tlsrpt-gen"};
    struct ledger *ledger = NULL;
    struct err err;
    enum status status;

    if (argc < 2 || argv[1][0] == '-') {
        bool is_help = argc == 2 && strcmp(argv[1], "--help") == 0;

        (void)fputs("usage: tlsrpt-gen unsuppress ADDRESS ...\n", is_help ? stdout : stderr);
        return is_help ? 0 : EXIT_USAGE;
    }
    status = program_leave_root(config->state_dir, &err);
    if (status == ST_OK)
        status = open_ledger(config, &ledger, &err);
    for (int i = 1; i < argc && status == ST_OK; i++) {
        status = ledger_unsuppress(ledger, argv[i], &err);
        if (status == ST_OK)
            (void)printf("%s may get reports again\n", argv[i]);
    }
    ledger_close(&ledger);
    return status == ST_OK ? 0 : program_fail(&program, &err);
}
