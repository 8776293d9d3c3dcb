# Python comes through pkg-config: the first python3 on PATH may be another
# installation than the one libpython belongs to.
#
# Sets WSGI_PYTHON_PC, the target wsgi_python, WSGI_PYTHON_VERSION and
# WSGI_PYTHON_EXECUTABLE, the interpreter of the same installation.
if(WSGI_PYTHON)
  set(WSGI_PYTHON_PC python-${WSGI_PYTHON}-embed)
else()
  set(WSGI_PYTHON_PC python3-embed)
endif()
pkg_check_modules(WSGI_PY REQUIRED IMPORTED_TARGET "${WSGI_PYTHON_PC}>=3.9")
set(WSGI_PYTHON_VERSION ${WSGI_PY_VERSION})
pkg_get_variable(WSGI_PYTHON_PREFIX ${WSGI_PYTHON_PC} exec_prefix)
find_program(WSGI_PYTHON_EXECUTABLE python${WSGI_PYTHON_VERSION}
  PATHS ${WSGI_PYTHON_PREFIX}/bin NO_DEFAULT_PATH REQUIRED)

add_library(wsgi_python INTERFACE)
# As system headers, so that our warnings stay ours.
target_include_directories(wsgi_python SYSTEM INTERFACE ${WSGI_PY_INCLUDE_DIRS})
target_link_libraries(wsgi_python INTERFACE ${WSGI_PY_LINK_LIBRARIES})

# ---- The interpreter inside wsgid --------------------------------------------
#
# The archive runs Python code faster than the shared library, which is compiled
# to be interposed (docs/architecture.md has figures), so wsgid takes it in where
# there is one, exporting its symbols as the python3 command does: C extensions
# look for them there.  libwsgi never does: its host brings the Python.
#
# Sets WSGI_PYTHON_STATIC and, if so, the target wsgi_python_static.
set(WSGI_STATIC_PYTHON AUTO CACHE STRING
  "Whether wsgid has Python linked in: ON, OFF, or AUTO for where it can be")
set_property(CACHE WSGI_STATIC_PYTHON PROPERTY STRINGS AUTO ON OFF)

# wsgi_python_static(why): makes the target; `why` is empty, or why it cannot be.
function(wsgi_python_static why)
  # What the installation's own python3 was linked with.
  execute_process(COMMAND ${WSGI_PYTHON_EXECUTABLE} -c
    "import sysconfig as s; get = lambda n: s.get_config_var(n) or ''
print(get('LIBPL') + '/' + get('LIBRARY'))
print(get('MODLIBS'), get('LIBS'), get('SYSLIBS'))
print(get('LINKFORSHARED'))"
    OUTPUT_VARIABLE said RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REPLACE "\n" ";" said "${said}")
  list(LENGTH said n)
  if(failed OR NOT n EQUAL 3)
    set(${why} "${WSGI_PYTHON_EXECUTABLE} does not tell how it was linked" PARENT_SCOPE)
    return()
  endif()
  list(GET said 0 archive)
  list(GET said 1 libraries)
  list(GET said 2 options)
  if(NOT EXISTS ${archive})
    set(${why} "there is no ${archive}" PARENT_SCOPE)
    return()
  endif()
  separate_arguments(libraries UNIX_COMMAND "${libraries}")
  list(REMOVE_DUPLICATES libraries)
  separate_arguments(options UNIX_COMMAND "${options}")
  # Whole: what only extensions call is taken in, too.  Debian's archive is not
  # position-independent, as its python3 is not.
  list(PREPEND libraries -Wl,--whole-archive ${archive} -Wl,--no-whole-archive)

  include(CheckCSourceCompiles)
  set(CMAKE_REQUIRED_LINK_OPTIONS -no-pie ${options})
  set(CMAKE_REQUIRED_LIBRARIES ${libraries})
  check_c_source_compiles(
    "void Py_Initialize(void);\nint main(void) { Py_Initialize(); return 0; }"
    WSGI_PYTHON_${WSGI_PYTHON_VERSION}_ARCHIVE_LINKS)
  if(NOT WSGI_PYTHON_${WSGI_PYTHON_VERSION}_ARCHIVE_LINKS)
    set(${why} "${archive} does not link (CMakeFiles/CMakeError.log has details)" PARENT_SCOPE)
    return()
  endif()
  add_library(wsgi_python_static INTERFACE)
  target_include_directories(wsgi_python_static SYSTEM INTERFACE ${WSGI_PY_INCLUDE_DIRS})
  list(JOIN options " " options)
  target_link_options(wsgi_python_static INTERFACE -no-pie "SHELL:${options}")
  target_link_libraries(wsgi_python_static INTERFACE ${libraries})
endfunction()

set(WSGI_PYTHON_STATIC OFF)
if(WSGI_STATIC_PYTHON STREQUAL AUTO AND WSGI_SANITIZE MATCHES "thread|fuzzer")
  message(STATUS "wsgid: the shared libpython, for the sanitizer")
elseif(NOT WSGI_STATIC_PYTHON STREQUAL OFF)
  set(why "")
  wsgi_python_static(why)
  if(NOT why)
    set(WSGI_PYTHON_STATIC ON)
  elseif(WSGI_STATIC_PYTHON STREQUAL AUTO)
    message(STATUS "wsgid: the shared libpython, because ${why}")
  else()
    message(FATAL_ERROR "WSGI_STATIC_PYTHON is ${WSGI_STATIC_PYTHON}, but ${why}")
  endif()
endif()
