/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt-gen-smtp - one SMTP session; tlsrpt-gen starts it with the job on its standard input.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/program.h"
#include "smtpworker/smtp_worker.h"

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("tlsrpt-gen-smtp %s\n", TLSRPT_GEN_VERSION);
        return 0;
    }
    if (argc > 1 || isatty(STDIN_FILENO)) {
        (void)fputs("tlsrpt-gen-smtp is started by tlsrpt-gen; see tlsrpt-gen(8)\n", stderr);
        return EXIT_USAGE;
    }
    return smtp_worker_run();
}
