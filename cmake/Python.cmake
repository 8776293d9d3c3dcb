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
