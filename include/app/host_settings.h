/* SPDX-License-Identifier: MIT */
/*
 * host_settings.h - check the settings that name something on this host (folders, files, groups, users) when
 * a program starts, so that a mistake is found then and not at midnight.
 */
#ifndef APP_HOST_SETTINGS_H
#define APP_HOST_SETTINGS_H

#include "base/err.h"
#include "model/config.h"

enum host_settings_for {
    HOST_SETTINGS_COLLECT, /* the collector makes its sockets itself */
    HOST_SETTINGS_INHERIT, /* the service manager made them */
    HOST_SETTINGS_RUN,     /* the generator */
    HOST_SETTINGS_DRY_RUN, /* it only shows: what it may not read does not matter */
};

/* ST_CONFIG  something is missing or of the wrong kind; err names file, line, setting and fix */
MUST_CHECK enum status host_settings_check(const struct config *config, enum host_settings_for purpose,
                                           struct err *err);

#endif
