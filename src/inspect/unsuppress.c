/* SPDX-License-Identifier: MIT */
#include "inspect/unsuppress.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/program.h"
#include "app/stores.h"
#include "store/ledger.h"

static enum status open_ledger(const struct config *config, struct fleet *fleet, struct ledger **ledger_out,
                               struct err *err)
{
    char path[PATH_MAX];
    enum status status = stores_path(config, "reports.db", path, err);

    if (status == ST_OK && fleet == NULL && access(path, F_OK) != 0)
        status = err_set(err, ST_NOT_FOUND, "%s: there is none; nothing has been sent yet", path);
    return status == ST_OK ? stores_open_ledger(config, fleet, LEDGER_WRITE, ledger_out, NULL, err) : status;
}

int cmd_unsuppress(const struct config *config, int argc, char **argv)
{
    const struct program program = {.name = "tlsrpt-gen"};
    struct fleet *fleet = NULL;
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
        status = stores_open_fleet(config, &fleet, &err);
    if (status == ST_OK)
        status = open_ledger(config, fleet, &ledger, &err);
    for (int i = 1; i < argc && status == ST_OK; i++) {
        status = ledger_unsuppress(ledger, argv[i], &err);
        if (status == ST_OK)
            (void)printf("%s may get reports again\n", argv[i]);
    }
    ledger_close(&ledger);
    fleet_close(&fleet);
    return status == ST_OK ? 0 : program_fail(&program, &err);
}
