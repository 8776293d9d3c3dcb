/*
 * The health path: whether this server is ready for requests, and whether its
 * loop runs.
 *
 *     PATH        200 "ready", or 503 "stopping" once it drains
 *     PATH/live   200 "live"
 *
 * For balancers and orchestrators, which stop sending requests to what is not
 * ready and restart what does not live.  Pure.
 */
#ifndef WSGI_SERVER_HEALTH_H
#define WSGI_SERVER_HEALTH_H

#include "server/page.h"

typedef struct wsgi__health {
    wsgi__pages pages;
    wsgi__span path; /* as the request has it; empty: none */
    bool ready;      /* the owner's to change */
} wsgi__health;

/* Ready; path outlives it. */
void wsgi__health_init(wsgi__health *health, wsgi__span path);

#endif
