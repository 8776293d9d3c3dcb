#include "python/appspec.h"

#include <wsgi/wsgi.h>

static bool
ends_with(wsgi__span span, wsgi__span end)
{
    return span.len >= end.len &&
           memcmp(span.ptr + span.len - end.len, end.ptr, end.len) == 0;
}

/* At the last colon; but "/srv/a:b/app.py" has none that counts. */
static wsgi__span
split(wsgi__span text, wsgi__span *rest)
{
    const char *colon = memrchr(text.ptr, ':', text.len);
    *rest = (wsgi__span){ "", 0 };
    if (!colon)
        return text;
    wsgi__span after = { colon + 1,
                         (size_t)(text.ptr + text.len - colon - 1) };
    if (memchr(after.ptr, '/', after.len))
        return text;
    *rest = after;
    return (wsgi__span){ text.ptr, (size_t)(colon - text.ptr) };
}

/* Bytes past ASCII are left to Python: names may be in any alphabet. */
static bool
is_name_byte(char c, bool is_first)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 0x80 || c == '_' || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (!is_first && c >= '0' && c <= '9');
}

/* name[.name]... */
static bool
is_dotted_name(wsgi__span span)
{
    bool is_first = true;
    for (size_t i = 0; i < span.len; i++) {
        if (span.ptr[i] == '.' && !is_first)
            is_first = true;
        else if (is_name_byte(span.ptr[i], is_first))
            is_first = false;
        else
            return false;
    }
    return span.len > 0 && !is_first;
}

/* Not a name by the grammar: "my-app" is not, but can be imported. */
static bool
is_module_path(wsgi__span span)
{
    bool after_dot = true;
    for (size_t i = 0; i < span.len; i++) {
        bool is_dot = span.ptr[i] == '.';
        if ((is_dot && after_dot) || (unsigned char)span.ptr[i] <= ' ' ||
            strchr(":()", span.ptr[i]))
            return false;
        after_dot = is_dot;
    }
    return span.len > 0 && !after_dot;
}

/* What is wrong with it, and what to write; NULL when nothing is. */
static const char *
fault(const wsgi__appspec *spec, bool has_colon)
{
    if (spec->text.len == 0)
        return "it is empty";
    if (spec->module.len == 0)
        return "the module before the colon is missing";
    if (has_colon && spec->attr.len == 0)
        return "the callable after the colon is missing; without the colon, "
               "application or app is taken";
    if (!spec->is_file && spec->module.ptr[0] == '.')
        return "a relative module name means nothing here: write the full "
               "name";
    if (!spec->is_file && !is_module_path(spec->module))
        return "the module is not a dotted name";
    if (memchr(spec->attr.ptr, '(', spec->attr.len))
        return "only empty call parentheses are accepted: for arguments, "
               "write a function without parameters that passes them, and "
               "name that";
    if (spec->attr.len > 0 && !is_dotted_name(spec->attr))
        return "the callable is not a dotted name";
    return NULL;
}

int
wsgi__appspec_parse(const char *text, wsgi__appspec *spec, wsgi__buf *error)
{
    *spec = (wsgi__appspec){ .text = wsgi__span_of(text) };
    spec->module = split(spec->text, &spec->attr);
    bool has_colon = spec->module.len < spec->text.len;
    spec->is_file = memchr(spec->module.ptr, '/', spec->module.len) ||
                    ends_with(spec->module, WSGI__SPAN(".py"));
    if (spec->attr.len > 2 && ends_with(spec->attr, WSGI__SPAN("()"))) {
        spec->attr.len -= 2;
        spec->is_call = true;
    }
    const char *why = fault(spec, has_colon);
    if (!why)
        return WSGI_OK;
    wsgi__buf_puts(error, "\"");
    wsgi__buf_escape(error, spec->text);
    wsgi__buf_printf(error,
                     "\" names no application: %s.\nWrite it as "
                     "module:callable, such as \"myapp:app\", "
                     "\"package.module:make_app()\" or \"path/file.py:app\".",
                     why);
    return WSGI_ERR_INVALID;
}
