/*
 * The time as log lines have it.
 *
 * Not with localtime() and strftime(): they take a lock, and a log line may be
 * written in a signal handler.  The offset from UTC is remembered instead, and
 * looked up again each quarter of an hour, when summer time may begin.
 */
#ifndef WSGID_STAMP_H
#define WSGID_STAMP_H

#include <time.h>

#include "text.h"

/* Seconds east of UTC at `now`.  Any thread, but no signal handler. */
int stamp_offset(time_t now);

/* What stamp_offset() said last; 0 before.  Async-signal-safe. */
int stamp_offset_known(void);

/* "2026-11-22 20:04:53 +0000".  Pure. */
void stamp_put(text *out, time_t now, int offset);

/* "[22/Nov/2026:20:04:53 +0000]", as the Common Log Format.  Pure. */
void stamp_put_clf(text *out, time_t now, int offset);

#endif
