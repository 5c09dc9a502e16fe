/* SPDX-License-Identifier: MIT */
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
enum place {
    PLACE_FOLDER,
    PLACE_FILE,
    PLACE_SECRET,       /* a file with USER:PASSWORD */
    PLACE_PASSWORD,     /* a file with a password in its first line */
    PLACE_CERTIFICATES, /* a file in PEM form */
    PLACE_PARENT,       /* of a file that will be made: its folder must be there */
    PLACE_GROUP,
    PLACE_USER,
    PLACE_KEY, /* a dkim_key's file */
};

static const struct {
    const char *what; /* that it is not */
    const char *mend;
} PLACES[] = {
    [PLACE_FOLDER] = {"is not a folder", "make it, or name another one"},
    [PLACE_FILE] = {"cannot be read", "name a file that can, or remove the line"},
    [PLACE_SECRET] = {"cannot be read", "name a file that can, or remove the line"},
    [PLACE_PASSWORD] = {"cannot be read", "name a file that can, or remove the line"},
    [PLACE_CERTIFICATES] = {"cannot be read", "name a file that can, or remove the line"},
    [PLACE_PARENT] = {"lies in no folder that is there", "make the folder, or name another one"},
    [PLACE_GROUP] = {"is no group here", "correct the name, or make the group"},
    [PLACE_USER] = {"is no user here", "correct the name, or use a number"},
    [PLACE_KEY] = {"cannot be read", "name a key file that can"},
};

struct look {
    const struct config *config;
    bool is_rehearsal;
    struct err *err;
};

static enum status refuse(const struct look *look, const char *setting, enum place place, const char *value,
                          int sys_errno)
{
    char origin[ORIGIN_SIZE];
    const char *reason = sys_errno != 0 ? strerror(sys_errno) : "";

    options_origin_format(&look->config->options, setting, origin, sizeof origin);
    return err_set(look->err, ST_CONFIG, "%s: %s: \"%.200s\" %s%s%s%s; %s", origin, setting, value,
                   PLACES[place].what, *reason != '\0' ? " (" : "", reason, *reason != '\0' ? ")" : "",
                   PLACES[place].mend);
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

/* A rehearsal by somebody who may not read a secret is fine. */
static bool is_readable(const struct look *look, const char *path)
{
    errno = 0;
    return access(path, R_OK) == 0 || (look->is_rehearsal && errno == EACCES);
}

static bool is_key_readable(const struct look *look, const char *value)
{
    struct dkim_key_setting key;
    struct arena arena;
    bool is_good = true;

    arena_init(&arena, KEY_ARENA_BYTES);
    if (dkim_key_parse(value, &arena, &key, NULL) == ST_OK)
        is_good = is_readable(look, key.file);
    arena_done(&arena);
    return is_good;
}

static bool is_user(const char *name)
{
    return name[strspn(name, "0123456789")] == '\0' || getpwnam(name) != NULL;
}

static bool is_there(const struct look *look, enum place place, const char *value)
{
    switch (place) {
    case PLACE_FOLDER:
        return is_folder(value);
    case PLACE_FILE:
    case PLACE_SECRET:
    case PLACE_PASSWORD:
    case PLACE_CERTIFICATES:
        return is_readable(look, value);
    case PLACE_PARENT:
        return has_folder(value);
    case PLACE_GROUP:
        errno = 0;
        return getgrnam(value) != NULL;
    case PLACE_USER:
        return is_user(value);
    case PLACE_KEY:
        break;
    }
    return is_key_readable(look, value);
}

/* A file that can be read must be of its kind too. */
static enum status look_into(const struct look *look, const char *setting, enum place place, const char *path)
{
    enum named_file_kind kind = place == PLACE_SECRET         ? NAMED_FILE_SECRET
                                : place == PLACE_PASSWORD     ? NAMED_FILE_PASSWORD
                                : place == PLACE_CERTIFICATES ? NAMED_FILE_CERTIFICATES
                                                              : NAMED_FILE_ANY;
    struct named_file_fault fault;
    char origin[ORIGIN_SIZE];

    if (kind == NAMED_FILE_ANY || named_file_is_good(kind, path, &fault) || fault.what == NULL)
        return ST_OK;
    options_origin_format(&look->config->options, setting, origin, sizeof origin);
    return err_set(look->err, ST_CONFIG, "%s: %s: \"%.200s\" %s; %s%s%.200s", origin, setting, path,
                   fault.what, fault.mend, fault.is_mode ? " " : "", fault.is_mode ? path : "");
}

static enum status look_at(const struct look *look, const char *setting, enum place place, const char *value)
{
    bool names_account = place == PLACE_GROUP || place == PLACE_USER;

    if (*value == '\0')
        return ST_OK;
    if (is_there(look, place, value))
        return look_into(look, setting, place, value);
    return refuse(look, setting, place, value, names_account ? 0 : errno);
}

static enum status look_at_list(const struct look *look, const char *setting, enum place place,
                                const struct option_list *list)
{
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < list->count; i++)
        status = look_at(look, setting, place, list->items[i]);
    return status;
}

static enum status check_collector(const struct look *look, bool makes_sockets)
{
    const struct config *config = look->config;
    enum status status = look_at_list(look, "allow_uid", PLACE_USER, &config->allow_uid);

    if (status != ST_OK || !makes_sockets)
        return status;
    status = look_at_list(look, "socket", PLACE_PARENT, &config->socket);
    return status == ST_OK ? look_at(look, "socket_group", PLACE_GROUP, config->socket_group) : status;
}

static enum status check_generator(const struct look *look)
{
    const struct config *config = look->config;
    const struct {
        const char *setting;
        enum place place;
        const char *value;
    } ROWS[] = {
        {"suppress", PLACE_FILE, config->suppress},
        {"relay_auth", PLACE_SECRET, config->relay_auth},
        {"relay_ca_file", PLACE_CERTIFICATES, config->relay_ca_file},
        {"https_ca_file", PLACE_CERTIFICATES, config->https_ca_file},
        {"fleet_password_file", PLACE_PASSWORD, config->fleet_password_file},
        {"archive_dir", PLACE_FOLDER, config->archive_dir},
    };
    enum status status = look_at_list(look, "dkim_key", PLACE_KEY, &config->dkim_key);

    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(ROWS); i++)
        status = look_at(look, ROWS[i].setting, ROWS[i].place, ROWS[i].value);
    return status;
}

enum status host_settings_check(const struct config *config, enum host_settings_for purpose, struct err *err)
{
    const struct look look = {config, purpose == HOST_SETTINGS_REHEARSE, err};
    enum status status = look_at(&look, "state_dir", PLACE_FOLDER, config->state_dir);

    if (status != ST_OK)
        return status;
    if (purpose == HOST_SETTINGS_RUN || purpose == HOST_SETTINGS_REHEARSE)
        return check_generator(&look);
    return check_collector(&look, purpose == HOST_SETTINGS_COLLECT);
}
