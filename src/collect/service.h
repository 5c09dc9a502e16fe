/* SPDX-License-Identifier: MIT */
/*
 * service.h - report to the service manager, in the protocol of sd_notify(3).  Without one, nothing happens.
 */
#ifndef COLLECT_SERVICE_H
#define COLLECT_SERVICE_H

#include <stdint.h>

/* Send "READY=1", "WATCHDOG=1", "STATUS=text", ... to NOTIFY_SOCKET. */
void service_notify(const char *state);

/* How often WATCHDOG=1 is wanted, in ms: half of WATCHDOG_USEC.  0: not at all. */
int64_t service_watchdog_ms(void);

#endif
