/* The time as HTTP writes it.  Pure, and independent of the locale. */
#ifndef WSGI_HTTP_DATE_H
#define WSGI_HTTP_DATE_H

#include <time.h>

#include "base/span.h"

#define WSGI__DATE_LEN 29
/* IMF-fixdate (RFC 9110 5.6.7) and a NUL.  The format has four digits for a
 * year: times outside the years 0 to 9999 give their first or last second. */
void wsgi__http_date(time_t when, char out[WSGI__DATE_LEN + 1]);

/* The same, made once a second; zero-filled at first.  Valid until the next
 * call with that date. */
typedef struct wsgi__date {
    time_t when;
    char text[WSGI__DATE_LEN + 1]; /* "": none yet */
} wsgi__date;

wsgi__span wsgi__date_at(wsgi__date *date, time_t when);

#endif
