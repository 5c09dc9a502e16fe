/* SPDX-License-Identifier: MIT */
/*
 * fault.h - memory that runs out on order: ours by the linker's --wrap, that of Jansson, SQLite, c-ares,
 * curl and OpenSSL by their own hooks.
 */
#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H

#include <stdbool.h>

enum fault_mode {
    FAULT_ONCE,    /* one allocation fails, those after it succeed */
    FAULT_FOREVER, /* it and all after it fail */
};

/* Before anything else allocates. */
void fault_install(void);

/* The allocation number nth from now on (from 0) fails. */
void fault_arm(unsigned nth, enum fault_mode mode);

/* Everything succeeds again.  True if an allocation failed since fault_arm. */
bool fault_disarm(void);

#endif
