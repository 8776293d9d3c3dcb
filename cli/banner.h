/* Where the server is to be found, as text to click on.  Pure. */
#ifndef WSGID_BANNER_H
#define WSGID_BANNER_H

#include "text.h"

/* address as of wsgi_server_address(): "127.0.0.1:8888" becomes
 * "http://127.0.0.1:8888"; an address of all interfaces gets one in brackets
 * that a browser on this machine can open; Unix sockets stay as they are. */
void banner_url(text *out, const char *address);

#endif
