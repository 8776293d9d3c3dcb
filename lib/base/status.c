#include <wsgi/wsgi.h>

const char *
wsgi_strerror(int status)
{
    switch ((wsgi_status)status) {
    case WSGI_OK:
        return "success";
    case WSGI_STOPPED:
        return "stopped";
    case WSGI_ERR_NOMEM:
        return "out of memory";
    case WSGI_ERR_INVALID:
        return "invalid argument";
    case WSGI_ERR_STATE:
        return "not allowed in this state";
    case WSGI_ERR_OPTION:
        return "unknown option";
    case WSGI_ERR_SYSTEM:
        return "a system call failed";
    case WSGI_ERR_ADDRESS:
        return "the address cannot be parsed or resolved";
    case WSGI_ERR_BIND:
        return "the address cannot be bound";
    case WSGI_ERR_PYTHON:
        return "the Python interpreter could not be initialised";
    case WSGI_ERR_APP_IMPORT:
        return "the application could not be imported";
    case WSGI_ERR_APP_MISSING:
        return "the module has no such attribute";
    case WSGI_ERR_APP_TYPE:
        return "the application is not callable";
    case WSGI_ERR_WORKER:
        return "no worker process could start";
    }
    return "unknown status";
}

const char *
wsgi_version(void)
{
    return WSGI_VERSION;
}

uint32_t
wsgi_version_num(void)
{
    return WSGI_VERSION_NUM;
}
