/* SPDX-License-Identifier: MIT */
/*
 * Opens what the settings name.  This is the only file that knows whether src/fleet is built in: everything
 * else has a struct fleet or NULL.
 */
#include "app/stores.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/named_file.h"

enum status stores_path(const struct config *config, const char *name, char path_out[PATH_MAX],
                        struct err *err)
{
    int len = snprintf(path_out, PATH_MAX, "%s/%s", config->state_dir, name);

    return len > 0 && len < PATH_MAX
               ? ST_OK
               : err_set(err, ST_CONFIG, "state_dir: path is too long; use a shorter one");
}

const char *stores_host(const struct config *config, char name_out[FLEET_HOST_SIZE])
{
    if (*config->fleet_host != '\0')
        (void)snprintf(name_out, FLEET_HOST_SIZE, "%s", config->fleet_host);
    else if (gethostname(name_out, FLEET_HOST_SIZE) != 0)
        (void)snprintf(name_out, FLEET_HOST_SIZE, "unknown");
    name_out[FLEET_HOST_SIZE - 1] = '\0';
    return name_out;
}

/* A file that cannot be read at all is an error when it is read. */
static enum status check_password_file(const char *path, struct err *err)
{
    struct named_file_fault fault;

    if (*path == '\0' || named_file_is_good(NAMED_FILE_PASSWORD, path, &fault) || fault.what == NULL)
        return ST_OK;
    return err_set(err, ST_CONFIG, "fleet_password_file: %.200s %s; %s%s%.200s", path, fault.what, fault.fix,
                   fault.is_mode ? " " : "", fault.is_mode ? path : "");
}

static enum status open_fleet(const struct config *config, bool is_any_version, struct fleet **fleet_out,
                              struct err *err)
{
    char name[FLEET_HOST_SIZE];
    const struct fleet_settings settings = {.conninfo = config->fleet,
                                            .password_file = config->fleet_password_file,
                                            .host = stores_host(config, name),
                                            .window_s = config->fleet_window_s,
                                            .lease_s = config->fleet_lease_s,
                                            .is_any_version = is_any_version};
    enum status status;

    *fleet_out = NULL;
    if (*config->fleet == '\0')
        return ST_OK;
    status = check_password_file(config->fleet_password_file, err);
    if (status != ST_OK)
        return status;
#ifdef WITH_PGSQL
    return fleet_open(&settings, fleet_out, err);
#else
    (void)settings;
    return err_set(err, ST_CONFIG,
                   "fleet: this tlsrpt-gen was built without libpq; unset fleet, or install libpq's "
                   "development files and build it again (make WITH_PGSQL=yes)");
#endif
}

enum status stores_open_fleet(const struct config *config, struct fleet **fleet_out, struct err *err)
{
    return open_fleet(config, false, fleet_out, err);
}

enum status stores_open_fleet_for_init(const struct config *config, struct fleet **fleet_out, struct err *err)
{
    return open_fleet(config, true, fleet_out, err);
}

/* Is the file there?  A folder that we may not look into is an error, not a missing file. */
static enum status find_file(const char *path, bool *is_there_out, struct err *err)
{
    *is_there_out = access(path, F_OK) == 0;
    if (*is_there_out || errno == ENOENT)
        return ST_OK;
    return err_set_errno(err, errno == EACCES ? ST_DENIED : ST_IO, errno, "%s", path);
}

enum status stores_open_sessions(const struct config *config, enum session_access access,
                                 struct session_reader **reader_out, struct err *err)
{
    char path[PATH_MAX];
    bool is_there = false;
    enum status status = stores_path(config, "sessions.db", path, err);

    *reader_out = NULL;
    if (status == ST_OK)
        status = find_file(path, &is_there, err);
    if (is_there)
        status = session_reader_open(path, access, reader_out, err);
    return status;
}

enum status stores_open_ledger(const struct config *config, struct fleet *fleet, enum ledger_mode mode,
                               struct ledger **ledger_out, bool *is_new_out, struct err *err)
{
    char path[PATH_MAX];
    bool is_there = false;
    enum status status;

    *ledger_out = NULL;
    if (is_new_out != NULL)
        *is_new_out = false;
    if (fleet != NULL)
        return fleet_open_ledger(fleet, ledger_out, err);
    status = stores_path(config, "reports.db", path, err);
    if (status == ST_OK)
        status = find_file(path, &is_there, err);
    if (status == ST_OK && (is_there || mode == LEDGER_WRITE))
        status = ledger_open(path, mode, ledger_out, err);
    if (status == ST_OK && is_new_out != NULL)
        *is_new_out = mode == LEDGER_WRITE && !is_there;
    return status;
}
