/* SPDX-License-Identifier: MIT */
/*
 * A table names each setting with the kind of thing that its value must be on this host (folder, file, group,
 * ...), and each kind has one check, one text for what is wrong and one fix.  The first fault ends the check.
 */
#include "app/host_settings.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/named_file.h"
#include "model/dkim_key.h"

#define ORIGIN_SIZE     256
#define KEY_ARENA_BYTES 65536

/* What a value must be on this host. */
enum path_kind {
    PATH_FOLDER,
    PATH_FILE,
    PATH_SECRET,       /* a file with USER:PASSWORD */
    PATH_PASSWORD,     /* a file with a password in its first line */
    PATH_CERTIFICATES, /* a file in PEM form */
    PATH_PARENT,       /* of a file that will be made: its folder must be there */
    PATH_GROUP,
    PATH_USER,
    PATH_KEY, /* a dkim_key's file */
};

static const struct {
    const char *what; /* that it is not */
    const char *fix;
} PATH_RULES[] = {
    [PATH_FOLDER] = {"is not a folder", "make it, or name another one"},
    [PATH_FILE] = {"cannot be read", "name a file that can, or remove the line"},
    [PATH_SECRET] = {"cannot be read", "name a file that can, or remove the line"},
    [PATH_PASSWORD] = {"cannot be read", "name a file that can, or remove the line"},
    [PATH_CERTIFICATES] = {"cannot be read", "name a file that can, or remove the line"},
    [PATH_PARENT] = {"lies in no folder that is there", "make the folder, or name another one"},
    [PATH_GROUP] = {"is no group here", "correct the name, or make the group"},
    [PATH_USER] = {"is no user here", "correct the name, or use a number"},
    [PATH_KEY] = {"cannot be read", "name a key file that can"},
};

struct inspection {
    const struct config *config;
    bool is_dry_run;
    struct err *err;
};

static enum status refuse(const struct inspection *inspection, const char *setting, enum path_kind kind,
                          const char *value, int sys_errno)
{
    char origin[ORIGIN_SIZE];
    const char *reason = sys_errno != 0 ? strerror(sys_errno) : "";

    options_origin_format(&inspection->config->options, setting, origin, sizeof origin);
    return err_set(inspection->err, ST_CONFIG, "%s: %s: \"%.200s\" %s%s%s%s; %s", origin, setting, value,
                   PATH_RULES[kind].what, *reason != '\0' ? " (" : "", reason, *reason != '\0' ? ")" : "",
                   PATH_RULES[kind].fix);
}

static bool is_folder(const char *path)
{
    struct stat found;

    errno = 0;
    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static bool has_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];

    (void)snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, path);
    return is_folder(folder);
}

/* A dry run by somebody who may not read a secret is fine. */
static bool is_readable(const struct inspection *inspection, const char *path)
{
    errno = 0;
    return access(path, R_OK) == 0 || (inspection->is_dry_run && errno == EACCES);
}

static bool is_key_readable(const struct inspection *inspection, const char *value)
{
    struct dkim_key_setting key;
    struct arena arena;
    bool is_good = true;

    arena_init(&arena, KEY_ARENA_BYTES);
    if (dkim_key_parse(value, &arena, &key, NULL) == ST_OK)
        is_good = is_readable(inspection, key.file);
    arena_done(&arena);
    return is_good;
}

static bool is_user(const char *name)
{
    return name[strspn(name, "0123456789")] == '\0' || getpwnam(name) != NULL;
}

static bool is_there(const struct inspection *inspection, enum path_kind kind, const char *value)
{
    switch (kind) {
    case PATH_FOLDER:
        return is_folder(value);
    case PATH_FILE:
    case PATH_SECRET:
    case PATH_PASSWORD:
    case PATH_CERTIFICATES:
        return is_readable(inspection, value);
    case PATH_PARENT:
        return has_folder(value);
    case PATH_GROUP:
        errno = 0;
        return getgrnam(value) != NULL;
    case PATH_USER:
        return is_user(value);
    case PATH_KEY:
        break;
    }
    return is_key_readable(inspection, value);
}

/* A file that can be read must be of its kind too. */
static enum status check_files(const struct inspection *inspection, const char *setting, enum path_kind kind,
                               const char *path)
{
    enum named_file_kind file_kind = kind == PATH_SECRET         ? NAMED_FILE_SECRET
                                     : kind == PATH_PASSWORD     ? NAMED_FILE_PASSWORD
                                     : kind == PATH_CERTIFICATES ? NAMED_FILE_CERTIFICATES
                                                                 : NAMED_FILE_ANY;
    struct named_file_fault fault;
    char origin[ORIGIN_SIZE];

    if (file_kind == NAMED_FILE_ANY || named_file_is_good(file_kind, path, &fault) || fault.what == NULL)
        return ST_OK;
    options_origin_format(&inspection->config->options, setting, origin, sizeof origin);
    return err_set(inspection->err, ST_CONFIG, "%s: %s: \"%.200s\" %s; %s%s%.200s", origin, setting, path,
                   fault.what, fault.fix, fault.is_mode ? " " : "", fault.is_mode ? path : "");
}

static enum status check_path(const struct inspection *inspection, const char *setting, enum path_kind kind,
                              const char *value)
{
    bool names_account = kind == PATH_GROUP || kind == PATH_USER;

    if (*value == '\0')
        return ST_OK;
    if (is_there(inspection, kind, value))
        return check_files(inspection, setting, kind, value);
    return refuse(inspection, setting, kind, value, names_account ? 0 : errno);
}

static enum status check_list(const struct inspection *inspection, const char *setting, enum path_kind kind,
                              const struct option_list *list)
{
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < list->count; i++)
        status = check_path(inspection, setting, kind, list->items[i]);
    return status;
}

static enum status check_collector(const struct inspection *inspection, bool makes_sockets)
{
    const struct config *config = inspection->config;
    enum status status = check_list(inspection, "allow_uid", PATH_USER, &config->allow_uid);

    if (status != ST_OK || !makes_sockets)
        return status;
    status = check_list(inspection, "socket", PATH_PARENT, &config->socket);
    return status == ST_OK ? check_path(inspection, "socket_group", PATH_GROUP, config->socket_group)
                           : status;
}

static enum status check_generator(const struct inspection *inspection)
{
    const struct config *config = inspection->config;
    const struct {
        const char *setting;
        enum path_kind kind;
        const char *value;
    } ROWS[] = {
        {"suppress", PATH_FILE, config->suppress},
        {"relay_auth", PATH_SECRET, config->relay_auth},
        {"relay_ca_file", PATH_CERTIFICATES, config->relay_ca_file},
        {"https_ca_file", PATH_CERTIFICATES, config->https_ca_file},
        {"fleet_password_file", PATH_PASSWORD, config->fleet_password_file},
        {"archive_dir", PATH_FOLDER, config->archive_dir},
    };
    enum status status = check_list(inspection, "dkim_key", PATH_KEY, &config->dkim_key);

    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(ROWS); i++)
        status = check_path(inspection, ROWS[i].setting, ROWS[i].kind, ROWS[i].value);
    return status;
}

enum status host_settings_check(const struct config *config, enum host_settings_for purpose, struct err *err)
{
    const struct inspection inspection = {config, purpose == HOST_SETTINGS_DRY_RUN, err};
    enum status status = check_path(&inspection, "state_dir", PATH_FOLDER, config->state_dir);

    if (status != ST_OK)
        return status;
    if (purpose == HOST_SETTINGS_RUN || purpose == HOST_SETTINGS_DRY_RUN)
        return check_generator(&inspection);
    return check_collector(&inspection, purpose == HOST_SETTINGS_COLLECT);
}
