/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/program.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "setup/setup.h"

#define FRAGMENT_DIR TLSRPT_GEN_DATADIR "/exim"
#define FRAGMENT_MAX (256 * 1024)
#define EXIM_SOCKET  TLSRPT_GEN_RUNDIR "/exim.sock"

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static enum status print_file(const char *name, struct err *err)
{
    struct strbuf text;
    char path[PATH_MAX];
    enum status status;

    (void)snprintf(path, sizeof(path), FRAGMENT_DIR "/%s", name);
    strbuf_init(&text, FRAGMENT_MAX);
    status = file_read(path, &text, err);
    if (status == ST_OK)
        (void)printf("\n==== %s\n\n%s", path, text.data);
    strbuf_done(&text);
    return status;
}

/* README comes before the fragments in the order of names. */
static enum status print_fragments(struct err *err)
{
    struct dirent **entries = NULL;
    enum status status = ST_OK;
    int count = scandir(FRAGMENT_DIR, &entries, is_visible, alphasort);

    if (count <= 0)
        status = count < 0
                     ? err_set_errno(err, ST_NOT_FOUND, errno, "%s", FRAGMENT_DIR)
                     : err_set(err, ST_NOT_FOUND, "%s is empty; install tlsrpt-gen again", FRAGMENT_DIR);
    for (int i = 0; i < count; i++) {
        if (status == ST_OK)
            status = print_file(entries[i]->d_name, err);
        free(entries[i]);
    }
    free(entries);
    return status;
}

int cmd_setup_exim(const struct config *config, int argc, char **argv)
{
    struct err err;

    (void)config;
    if (argc > 1) {
        (void)fprintf(stderr, "tlsrpt-gen: %s takes no words; \"%.40s\" is one\n", argv[0], argv[1]);
        return EXIT_USAGE;
    }
    (void)puts("1. The collector's socket for Exim, " EXIM_SOCKET ":\n"
               "       systemctl enable tlsrpt-gen-exim.socket\n"
               "       systemctl restart tlsrpt-gen-collect.socket tlsrpt-gen-exim.socket "
               "tlsrpt-gen-collect.service\n"
               "   Without systemd, in tlsrpt-gen.conf:\n"
               "       exim_socket = " EXIM_SOCKET "\n"
               "       socket_group = Debian-exim\n"
               "\n"
               "2. Exim's configuration, as told here; nothing is changed by this command:");
    if (print_fragments(&err) == ST_OK)
        return 0;
    (void)fflush(stdout);
    (void)fprintf(stderr, "tlsrpt-gen: %s\n", err.text);
    return program_exit_code(err.code);
}
